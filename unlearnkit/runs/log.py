"""The log of a run: ``log.jsonl``, one line per step with every loss term. Imports no torch."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unlearnkit.errors import RunError
from unlearnkit.files import atomic
from unlearnkit.files.plain import json_bytes, parse_json
from unlearnkit.files.reading import read_file

__all__ = ["append", "beginning", "read"]


def append(path: Path, step: int, terms: Mapping[str, float]) -> None:
    """Append one step. The line is written at once; a partial write is rolled back."""
    if "step" in terms:
        raise RunError("a loss term may not be called 'step'; the log uses that name for the step's index")
    line = json_bytes({"step": step, **{name: float(value) for name, value in terms.items()}}, indent=None)
    with atomic.plain_errors("write", path), open(path, "ab", buffering=0, opener=_private) as file:
        size = os.fstat(file.fileno()).st_size
        try:
            written = file.write(line)
            if written < len(line):  # partial write: the next one raises the reason
                file.write(line[written:])
        except BaseException:
            with contextlib.suppress(OSError):
                file.truncate(size)
            raise


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, atomic.PRIVATE)


def read(path: Path) -> list[dict[str, float]]:
    """Every complete line; an incomplete last one, left by a kill or power cut, is skipped."""
    return [entry for entry, _ in _lines(path)]


def beginning(path: Path, steps: int) -> bytes:
    """The bytes of exactly the first ``steps`` steps."""
    lines = [line for entry, line in _lines(path) if entry["step"] < steps]
    if len(lines) != steps:
        raise RunError(
            f"{path} is damaged: it holds {len(lines)} of the {steps} steps that the checkpoint has done; "
            "start a new run, or restore it"
        )
    return b"".join(lines)


def _lines(path: Path) -> list[tuple[dict[str, float], bytes]]:
    with atomic.plain_errors("read", path):
        data = read_file(path) if path.exists() else b""
    entries: list[tuple[dict[str, float], bytes]] = []
    for number, line in enumerate(data.splitlines(keepends=True), 1):
        if not line.endswith(b"\n"):
            break
        entry = _entry(line)
        if entry is None or (entries and entry["step"] <= entries[-1][0]["step"]):
            raise RunError(f"{path} is damaged in line {number}; start a new run, or remove that line")
        entries.append((entry, line))
    return entries


def _entry(line: bytes) -> dict[str, Any] | None:
    """One line of the log, with null as NaN; None if it is invalid."""
    try:
        entry = parse_json(line)
    except ValueError:
        return None
    if not isinstance(entry, dict) or type(entry.get("step")) is not int or entry["step"] < 0:
        return None
    entry = {name: float("nan") if value is None else value for name, value in entry.items()}
    return entry if all(isinstance(value, int | float) for value in entry.values()) else None
