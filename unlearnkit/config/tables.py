"""Settings as nested tables of plain values: read, write, merge, and the ``--set`` of the command line."""

from __future__ import annotations

import datetime
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import tomli_w

from unlearnkit.errors import ConfigError
from unlearnkit.files import atomic
from unlearnkit.files.reading import read_file

__all__ = ["merge", "nest", "parse_set", "read_toml", "user_tables", "write_toml"]

_KEY = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_WHO = ("images", "latent", "latent_seed", "people")
_COMPONENTS = ("generator", "method", "target", "inverter", "identity", "judge", "perceptual")


def nest(values: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted names to nested tables: ``{"target.distance": 3}`` -> ``{"target": {"distance": 3}}``."""
    tables: dict[str, Any] = {}
    for key, value in values.items():
        *path, last = key.split(".")
        table = tables
        for part in path:
            table = table.setdefault(part, {})
            if not isinstance(table, dict):
                raise ConfigError(f"'{key}' needs a table '{part}', which is already set to {table!r}")
        value = nest(value) if isinstance(value, Mapping) else value
        known = table.get(last)
        table[last] = _join(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return tables


def merge(low: Mapping[str, Any], high: Mapping[str, Any]) -> dict[str, Any]:
    """``low`` overridden by ``high``; both may hold nested tables and dotted names.

    If ``high`` names another component than ``low``, the options that ``low`` had for the old one are dropped. A new
    method likewise drops the losses of the old one, and a new way to specify whom to erase (``request.images``,
    ``.latent``, ``.latent_seed``, ``.people``) drops the old one.
    """
    below, above = nest(low), nest(high)
    for section in _COMPONENTS:
        old, new = below.get(section), above.get(section)
        if isinstance(old, dict) and isinstance(new, dict) and _differ(old.get("name"), new.get("name")):
            del below[section]
            if section == "method":
                below.pop("losses", None)
                below.pop("loss", None)
    old, new = below.get("request"), above.get("request")
    if isinstance(old, dict) and isinstance(new, dict) and any(key in new for key in _WHO):
        named = new.get("people") and any(old.get(key) for key in _WHO)  # the name of the one person before
        gone = (*_WHO, "name") if named else _WHO
        below["request"] = {key: value for key, value in old.items() if key not in gone}
    return _join(below, above)


def parse_set(text: str) -> tuple[str, Any]:
    """``section.field=value`` -> dotted name and value; the value is parsed as TOML, else taken as text."""
    key, equals, value = text.partition("=")
    key, value = key.strip(), value.strip()
    if not equals or not _KEY.fullmatch(key):
        raise ConfigError(f"--set needs section.field=value, such as target.distance=30; got {text!r}")
    try:
        parsed = tomllib.loads(f"value = {value}")
    except tomllib.TOMLDecodeError:
        return key, value
    # More than one key: the value contained line breaks. No setting is a date: 2024-01-01 is text.
    if set(parsed) != {"value"} or isinstance(parsed["value"], datetime.date | datetime.time):
        return key, value
    return key, parsed["value"]


def user_tables(
    config: Path | None, sets: Iterable[str] | Mapping[str, Any], options: Mapping[str, Any]
) -> dict[str, Any]:
    """All settings given by the user: a configuration file, overridden by ``--set`` and the other options.

    * ``sets``: ``section.field=value``, or values by dotted name
    * ``options``: values by dotted name; None and an empty list mean not given

    :raises ConfigError: if a setting is given twice.
    """
    pairs = sets.items() if isinstance(sets, Mapping) else [parse_set(text) for text in sets]
    assigned = nest(dict(pairs))
    given = {key: value for key, value in options.items() if value is not None and value != []}
    for key in given:
        if _has(assigned, key):
            raise ConfigError(f"{key} is given twice, by an option and by --set")
    return merge(read_toml(config) if config else {}, merge(assigned, nest(given)))


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file."""
    try:
        return tomllib.loads(read_file(path).decode("utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read settings from {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path} is no valid TOML file: {error}") from error


def write_toml(path: Path, settings: Mapping[str, Any]) -> None:
    """Write settings; a reader never sees half a file."""
    with atomic.plain_errors("write", path):
        atomic.write_bytes(path, tomli_w.dumps(settings).encode())


def _has(tables: Mapping[str, Any], key: str) -> bool:
    node: Any = tables
    for part in key.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return False
        node = node[part]
    return True


def _join(low: dict[str, Any], high: dict[str, Any]) -> dict[str, Any]:
    joined = dict(low)
    for key, value in high.items():
        both_tables = isinstance(joined.get(key), dict) and isinstance(value, dict)
        joined[key] = _join(joined[key], value) if both_tables else value
    return joined


def _differ(old: Any, new: Any) -> bool:
    return isinstance(old, str) and isinstance(new, str) and old != new
