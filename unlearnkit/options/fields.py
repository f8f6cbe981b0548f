"""Component options: declaring, describing and building them. Imports no torch.

    @attrs.define(eq=False)
    class Extrapolate(TargetSelector):
        distance: float = option(30.0, gt=0, unit="latent units", help="distance of the target from the mean face")
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

import attrs

from unlearnkit.errors import ConfigError, nearest
from unlearnkit.options.values import plain, structure, type_words

__all__ = ["Option", "build", "describe", "option"]

T = TypeVar("T")
_NONE_GIVEN = object()
_BOUNDS: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "gt": (">", lambda value, bound: value > bound),
    "ge": ("≥", lambda value, bound: value >= bound),
    "lt": ("<", lambda value, bound: value < bound),
    "le": ("≤", lambda value, bound: value <= bound),
}


@attrs.frozen
class Option:
    """One option as ``unlearnkit show`` prints it; ``required`` if there is no default."""

    name: str
    type: str
    default: Any
    unit: str
    allowed: str
    help: str
    required: bool = False


def option(
    default: Any = _NONE_GIVEN,
    *,
    help: str,
    unit: str | None = None,
    validator: Callable[..., Any] | None = None,
    choices: Iterable[Any] | None = None,
    gt: float | None = None,
    ge: float | None = None,
    lt: float | None = None,
    le: float | None = None,
) -> Any:
    """An attrs field that is an option of a component.

    * ``default``: without one the option is required; a list, dict or set is copied for each component
    * ``unit``: unit of a number (``"latent units"``, ``"steps"``)
    * ``choices``, ``gt``, ``ge``, ``lt``, ``le``: allowed values; None always passes
    * ``validator``: an additional attrs validator
    """
    bounds = {name: bound for name, bound in zip(_BOUNDS, (gt, ge, lt, le), strict=True) if bound is not None}
    allowed = None if choices is None else tuple(choices)
    metadata = {"help": help, "unit": unit or "", "bounds": bounds, "choices": allowed}
    checks: list[Any] = [_check] if validator is None else [_check, validator]
    if default is _NONE_GIVEN:
        return attrs.field(validator=checks, metadata=metadata)
    if isinstance(default, list | dict | set):
        return attrs.field(factory=lambda: type(default)(default), validator=checks, metadata=metadata)
    return attrs.field(default=default, validator=checks, metadata=metadata)


def build(cls: type[T], values: Mapping[str, Any], where: str = "") -> T:
    """Build a component from plain values; ``where`` (``"target"``) names the table in messages.

    :raises ConfigError: naming the option, the value and what was expected.
    """
    fields = _fields(cls)
    prefix = f"{where}." if where else ""
    for key in values:
        if key not in fields:
            raise ConfigError(unknown(prefix + key, key, fields))
    types = _types(cls)
    arguments = {}
    for key, field in fields.items():
        if key in values:
            arguments[key] = _convert(values[key], types[field.name], field, prefix)
        elif field.default is attrs.NOTHING:
            raise ConfigError(f"{prefix}{key}: must be given, as {_expected(field, types[field.name])}")
    try:
        return cls(**arguments)
    except ConfigError as error:
        raise ConfigError(f"{prefix}{error}") from error
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{where or cls.__name__}: {' '.join(str(error).split())}") from error


def describe(cls: type) -> list[Option]:
    """All options of a component, in declaration order."""
    types = _types(cls)
    records = []
    for name, field in _fields(cls).items():
        metadata = field.metadata
        required = field.default is attrs.NOTHING
        records.append(
            Option(
                name, type_words(types[field.name]), None if required else plain(_default(field)),
                metadata.get("unit", ""), _allowed(field), metadata.get("help", ""), required,
            )
        )
    return records


def complete(cls: type, component: Any) -> dict[str, Any]:
    """Every option of a component as plain TOML values, from which ``build`` makes the same component again.

    Paths become absolute, so that settings can be replayed from any folder. TOML has no null: None is left out if it
    is the default, and written as ``"none"`` otherwise.
    """
    table: dict[str, Any] = {}
    for name, field in _fields(cls).items():
        value = plain(_absolute(getattr(component, field.name)))
        if value is not None:
            table[name] = value
        elif field.default is not None:
            table[name] = "none"
    return table


def unknown(full: str, name: str, known: Iterable[str]) -> str:
    """The error message for a setting that does not exist."""
    names = list(known)
    options = f" Known: {', '.join(names)}." if names else " It has no options."
    return f"there is no setting '{full}'.{nearest(name, names)}{options}"


def _fields(cls: type) -> dict[str, Any]:
    """Options by user-facing name (attrs drops the underscore of private fields)."""
    return {field.alias or field.name: field for field in attrs.fields(cls) if field.init}


def _types(cls: type) -> dict[str, Any]:
    try:
        return get_type_hints(cls)
    except NameError as error:
        where = f"{cls.__module__}.{cls.__qualname__}"
        raise ConfigError(f"{where}: the type of an option cannot be resolved: {error}") from error


def _default(field: Any) -> Any:
    if not isinstance(field.default, attrs.Factory):  # type: ignore[arg-type]  # a class at run time
        return field.default
    return None if field.default.takes_self else field.default.factory()


def _absolute(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_absolute(item) for item in value]
    if attrs.has(type(value)):
        return complete(type(value), value)
    return value.absolute() if isinstance(value, Path) else value


def _convert(value: Any, kind: Any, field: Any, prefix: str) -> Any:
    value = _nested(value, kind, f"{prefix}{field.alias or field.name}")
    try:
        converted = structure(value, kind)
        _check(None, field, converted)
    except ConfigError:
        raise ConfigError(_wrong(field, value, kind, prefix)) from None
    except Exception as error:
        raise ConfigError(_wrong(field, value, kind, prefix)) from error
    return converted


def _nested(value: Any, kind: Any, where: str) -> Any:
    """For ``tuple[Record, ...]``, convert a list of tables to records; anything else is returned unchanged."""
    parts = get_args(kind)
    if not parts or not isinstance(parts[0], type) or not attrs.has(parts[0]) or not isinstance(value, list | tuple):
        return value
    return [
        build(parts[0], item, f"{where}[{place}]") if isinstance(item, Mapping) else item
        for place, item in enumerate(value)
    ]


def _check(_: Any, field: Any, value: Any) -> None:
    """Check bounds, choices and finiteness; as an attrs validator, it also covers components built in Python."""
    metadata = field.metadata
    choices, bounds = metadata.get("choices"), metadata.get("bounds", {})
    if value is None:
        return
    valid, items = True, value if isinstance(value, tuple | list) else (value,)
    for item in items:
        valid = valid and (choices is None or item in choices)
        if isinstance(item, int | float):
            valid = valid and math.isfinite(item)
            valid = valid and all(_BOUNDS[name][1](item, bound) for name, bound in bounds.items())
        elif bounds and item is not None:
            valid = False
    if not valid:
        raise ConfigError(_wrong(field, value, field.type, ""))


def _wrong(field: Any, value: Any, kind: Any, prefix: str) -> str:
    return f"{prefix}{field.alias or field.name}: got {plain(value)!r}, expected {_expected(field, kind)}"


def _allowed(field: Any) -> str:
    """``> 0, ≤ 1`` or ``a, b, c``; empty without restrictions beyond the type."""
    choices = field.metadata.get("choices")
    if choices is not None:
        return ", ".join(str(choice) for choice in choices)
    bounds = field.metadata.get("bounds", {})
    return ", ".join(f"{_BOUNDS[name][0]} {bound:g}" for name, bound in bounds.items())


def _expected(field: Any, kind: Any) -> str:
    choices = field.metadata.get("choices")
    words = kind if isinstance(kind, str) else type_words(kind)
    if choices is not None:
        text = "one of " + ", ".join(str(choice) for choice in choices)
    else:
        text = f"{words} {_allowed(field)}".rstrip()
    unit, help_text = field.metadata.get("unit"), field.metadata.get("help")
    text += f", in {unit}" if unit else ""
    return f"{text} ({help_text})" if help_text else text
