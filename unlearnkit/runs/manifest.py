"""The manifest of a run: environment, inputs, status. Imports torch only on demand."""

from __future__ import annotations

import datetime
import importlib.metadata
import platform
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["HASHED", "STATUSES", "cpu_model", "facts", "new", "now", "peak_memory", "problem", "versions"]

STATUSES = ("running", "interrupted", "finished", "failed")
"""Possible statuses of a run. A killed run still says ``running``."""

HASHED = {"edit.safetensors": "edit", "latents.safetensors": "latents", "metrics.json": "metrics"}
"""Files of a run whose SHA-256 the manifest notes, and where."""

_FORMAT = 1
_DISTRIBUTIONS = ("torch", "torchvision", "numpy")


def versions() -> dict[str, str]:
    """Versions of everything that can affect results."""
    import unlearnkit

    by_name = {"unlearnkit": unlearnkit.__version__, "python": platform.python_version()}
    for name in _DISTRIBUTIONS:
        try:
            by_name[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            by_name[name] = "not installed"
    return by_name


def cpu_model() -> str:
    """The processor's name, as reported by the system."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def peak_memory() -> dict[str, int]:
    """Peak memory so far, in bytes: ``peak_bytes`` of this process, ``cuda_peak_bytes`` of torch on a GPU."""
    peaks: dict[str, int] = {}
    try:
        import resource
    except ImportError:  # Windows
        pass
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        peaks["peak_bytes"] = peak if sys.platform == "darwin" else peak * 1024
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        peaks["cuda_peak_bytes"] = int(torch.cuda.max_memory_allocated())
    return peaks


def facts() -> dict[str, Any]:
    """The part of a manifest that is known before the first step."""
    import torch

    from unlearnkit.plugins import registry

    plugins = {p.distribution: p.version for p in registry().plugins if p.error is None}
    return {
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "versions": versions(),
        "plugins": plugins,
        "platform": platform.platform(),
        "cpu": cpu_model(),
        "threads": torch.get_num_threads(),
    }


def new(name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest of a run that starts now."""
    return {
        "format": _FORMAT,
        "name": name,
        "status": "running",
        "started": now(),
        "finished": None,
        "seconds": 0.0,
        "seed": settings.get("seed"),
        "device": settings.get("device"),
        **facts(),
        "inputs": {},
        "timings": {},
        "memory": {},
    }


def problem(value: Any) -> str | None:
    """What is wrong with a manifest, as the end of a sentence; None if it is valid."""
    if value is None:
        return "is missing"
    if not isinstance(value, dict):
        return "is damaged (not a table)"
    if value.get("format") != _FORMAT:
        return f"has format {value.get('format')!r}, and this version of unlearnkit reads {_FORMAT}"
    if value.get("status") not in STATUSES:
        return f"has status {value.get('status')!r}, which is none of {', '.join(STATUSES)}"
    if not isinstance(value.get("seconds"), int | float):
        return "is damaged ('seconds' is not a number)"
    for key in ("versions", "plugins", "inputs", "timings", "memory"):
        if not isinstance(value.get(key), dict):
            return f"is damaged ('{key}' is not a table)"
    for key in ("name", *HASHED.values()):
        if not isinstance(value.get(key), str | None):
            return f"is damaged ('{key}' is no text)"
    audits = value.get("audits", {})
    if not isinstance(audits, dict) or not all(isinstance(noted, str) for noted in audits.values()):
        return "is damaged ('audits' is no table of hashes by file)"
    base = value.get("base")
    if base is not None and not (isinstance(base, dict) and all(isinstance(text, str) for text in base.values())
                                 and "sha256" in base):
        return "is damaged ('base' is no table of path, format and sha256)"
    if not isinstance(value.get("chain", []), list) or not all(map(_is_link, value.get("chain", []))):
        return "is damaged ('chain' has an invalid entry)"
    if not all(isinstance(size, int | float) for size in value["memory"].values()):
        return "is damaged ('memory' has an entry that is not a number)"
    return None


def _is_link(entry: Any) -> bool:
    """True for an earlier edit as written by unlearnkit.edits.chain.Link."""
    return (
        isinstance(entry, dict) and isinstance(entry.get("sha256"), str) and isinstance(entry.get("path"), str)
        and isinstance(entry.get("people"), list | None) and isinstance(entry.get("pictures"), dict)
        and all(isinstance(name, str) for name in entry["people"] or ())
    )


def now() -> str:
    """The time, in UTC, as ISO 8601."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
