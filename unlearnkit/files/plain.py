"""Plain values for the JSON and TOML files of a run. Imports no torch."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w

from unlearnkit.errors import RunError

__all__ = ["json_bytes", "parse_json", "toml_bytes"]


def json_bytes(value: Any, indent: int | None = 2) -> bytes:
    """Strict JSON of plain values; numbers that are not finite become null, since JSON has none.

    :raises RunError: for a value that JSON cannot hold.
    """
    try:
        return json.dumps(_finite(value), indent=indent, allow_nan=False).encode() + b"\n"
    except (TypeError, ValueError, RecursionError) as error:
        raise RunError(f"this value cannot be written as JSON: {error}; use numbers, text and tables") from error


def parse_json(data: bytes) -> Any:
    """Plain values from JSON; a whole number that no tensor or file can hold becomes a float, as in other languages.

    :raises ValueError: if it is no JSON, or nested too deeply.
    """
    try:
        return json.loads(data, parse_int=_whole)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _whole(text: str) -> int | float:
    # Python reads numbers of any length, and fails where one meets a float.
    return int(text) if len(text) < 20 else float(text)


def toml_bytes(settings: Mapping[str, Any]) -> bytes:
    """TOML of nested settings; None is left out, since TOML has no null.

    :raises RunError: for a value that TOML cannot hold, such as a path that is not UTF-8.
    """
    try:
        return tomli_w.dumps(_settings(settings, "")).encode()
    except UnicodeEncodeError as error:
        start, end = error.object.rfind('"', 0, error.start) + 1, error.object.find('"', error.end)
        raise RunError(f"the setting {error.object[start:end]!r} is not UTF-8, as "
                       "settings must be: rename the file or folder, or make a link to it with a plain name") from error


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _settings(value: Any, name: str) -> Any:
    if isinstance(value, Mapping):
        return {
            str(key): _settings(item, f"{name}.{key}" if name else str(key))
            for key, item in value.items() if item is not None
        }
    if isinstance(value, list | tuple):
        return [_settings(item, f"{name}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, bool | int | float | str):
        return value
    kind = type(value).__name__
    raise RunError(f"the setting '{name}' cannot be saved: a {kind} is not a number, text, list or table")
