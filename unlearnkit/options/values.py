"""Strict conversion of plain TOML values to the declared types of options. Imports no torch."""

from __future__ import annotations

import math
import types
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import attrs
import cattrs

from unlearnkit.errors import ConfigError

__all__ = ["expanded", "plain", "structure", "type_words"]

_WORDS: dict[Any, str] = {
    int: "a whole number", float: "a number", bool: "true or false", str: "text", Path: "a path",
    type(None): "none", Any: "any value",
}


def type_words(kind: Any) -> str:
    """Name of a type in messages: ``a whole number``, ``a list of text``, ``'a' or 'b'``."""
    if kind in _WORDS:
        return _WORDS[kind]
    if get_origin(kind) is Literal:
        return " or ".join(repr(value) for value in get_args(kind))
    if _is_union(kind):
        return " or ".join(type_words(part) for part in get_args(kind))
    if _is_sequence(kind):
        parts = get_args(kind)
        if not parts:
            return "a list"
        if get_origin(kind) is tuple and parts[-1] is not Ellipsis:
            return f"a list of {len(parts)}: " + ", ".join(type_words(part) for part in parts)
        return f"a list, each {type_words(parts[0])}"
    if isinstance(kind, type) and issubclass(kind, Enum):
        return " or ".join(repr(member.value) for member in kind)
    if attrs.has(kind):
        return "a table of settings"
    return getattr(kind, "__name__", str(kind))


def structure(value: Any, kind: Any) -> Any:
    """``value`` as ``kind``, without lossy or ambiguous conversions.

    :raises ValueError, TypeError: if it does not convert.
    """
    return _converter.structure(value, kind)


def plain(value: Any) -> Any:
    """Convert a value to plain TOML types; None stays None."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items() if item is not None}
    return value


def _exactly(kind: type) -> Callable[[Any, Any], Any]:
    def check(value: Any, _: Any) -> Any:
        if type(value) is not kind:
            raise TypeError
        return value

    return check


def _number(value: Any, _: Any) -> float:
    # bool is an int in Python; nan or inf in a setting would only surface hours later as a ruined run.
    if type(value) not in (int, float) or not math.isfinite(value):
        raise TypeError
    return float(value)


def expanded(path: Path) -> Path:
    """The path with ``~`` as the home directory.

    :raises ConfigError: if there is none, as for a user that only a number names, in a container.
    """
    try:
        return path.expanduser()
    except RuntimeError:
        raise ConfigError(f"{path}: '~' stands for a home directory, and this user has none; give the whole path, or "
                          "set HOME") from None


def _path(value: Any, _: Any) -> Path:
    if not isinstance(value, str | Path) or not str(value):
        raise TypeError
    return expanded(Path(value))


def _record(value: Any, kind: Any) -> Any:
    # Built from its table by unlearnkit.options.fields.build, which reports errors in it.
    if not isinstance(value, kind):
        raise TypeError
    return value


def _literal(value: Any, kind: Any) -> Any:
    for allowed in get_args(kind):
        if type(allowed) is type(value) and allowed == value:
            return allowed
    raise ValueError


def _union(value: Any, kind: Any) -> Any:
    # TOML has no null: the word "none" stands for it wherever an option may be None.
    if value is None or value == "none":
        if type(None) in get_args(kind):
            return None
        raise TypeError
    for part in get_args(kind):
        if part is type(None):
            continue
        try:
            return structure(value, part)
        except (ValueError, TypeError):
            continue
    raise TypeError


def _sequence(value: Any, kind: Any) -> Any:
    if not isinstance(value, tuple | list):
        raise TypeError  # a string is a sequence too, but never intended as one here
    origin, parts = get_origin(kind) or kind, get_args(kind)
    if origin is tuple and parts and parts[-1] is not Ellipsis:
        if len(parts) != len(value):
            raise ValueError
        return tuple(structure(item, part) for item, part in zip(value, parts, strict=True))
    items = [structure(item, parts[0]) if parts else item for item in value]
    return items if origin is list else tuple(items)


def _is_union(kind: Any) -> bool:
    return get_origin(kind) in (Union, types.UnionType)


def _is_sequence(kind: Any) -> bool:
    return kind in (tuple, list) or get_origin(kind) in (tuple, list)


def _make_converter() -> cattrs.Converter:
    converter = cattrs.Converter(detailed_validation=False)
    for kind in (int, bool, str):
        converter.register_structure_hook(kind, _exactly(kind))
    converter.register_structure_hook(float, _number)
    converter.register_structure_hook(Path, _path)
    converter.register_structure_hook_func(lambda kind: get_origin(kind) is Literal, _literal)
    converter.register_structure_hook_func(attrs.has, _record)
    converter.register_structure_hook_func(_is_sequence, _sequence)
    converter.register_structure_hook_func(_is_union, _union)
    return converter


_converter = _make_converter()
