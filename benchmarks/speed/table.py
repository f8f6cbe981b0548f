"""What was measured, as a table and as JSON that says on what machine."""

from __future__ import annotations

import importlib
import json
import os
import statistics
from pathlib import Path
from typing import Any

import attrs
import torch

from benchmarks.speed.works import Row
from unlearnkit.runs.manifest import cpu_model, now, versions

__all__ = ["machine", "table", "write_json"]

ALLOCATOR = ("LD_PRELOAD", "MALLOC_ARENA_MAX", "MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_",
             "MALLOC_TRIM_THRESHOLD_", "THP_MEM_ALLOC_ENABLE")
"""Variables that change how fast large tensors are had; they speed up both sides."""


def machine() -> dict[str, Any]:
    """Processor, cores, threads, versions, our native kernels, and the allocator's settings."""
    return {
        "date": now(), "cpu": cpu_model(), "cores": os.cpu_count(), "threads": torch.get_num_threads(),
        **versions(), "native": _native(), "UNLEARNKIT_NATIVE": os.environ.get("UNLEARNKIT_NATIVE"),
        "allocator": {name: os.environ[name] for name in ALLOCATOR if name in os.environ},
    }


def table(rows: list[Row]) -> str:
    """Markdown, one line a phase: medians, the ratio, the bar and whether it is met."""
    lines = [
        "| work | phase | size | ours | authors' | ratio | bar | met |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        ratio = "–" if row.ratio is None else f"x{row.ratio:.2f}"
        met = {True: "yes", False: "NO", None: "–"}[row.met]
        cells = (row.title if row.size == "full" else row.work, row.phase, row.size, _shown(row.ours, row.unit),
                 _shown(row.authors, row.unit), ratio, _bar(row), met)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def write_json(file: Path, rows: list[Row]) -> None:
    """Every turn of every work, and the machine."""
    found = [attrs.asdict(row) | {"met": row.met} for row in rows]
    file.write_text(json.dumps({"machine": machine(), "rows": found}, indent=1) + "\n", encoding="utf-8")


def _bar(row: Row) -> str:
    if row.bar is None:
        return "–"
    return f"x{row.bar:g}" if row.ratio is not None else f"≤ {_shown((row.bar,), row.unit)}"


def _shown(numbers: tuple[float, ...], unit: str) -> str:
    if not numbers:
        return "–"
    middle = statistics.median(numbers)
    if unit == "bytes":
        return f"{middle / 1e9:.2f} GB"
    return f"{middle:.2f} s" if middle >= 1 else f"{1000 * middle:.1f} ms"


def _native() -> Any:
    """What `unlearnkit.ops.native` says of itself; None where there are no native kernels."""
    try:
        native = importlib.import_module("unlearnkit.ops.native")
    except ModuleNotFoundError:
        return None
    status = native.status()
    return attrs.asdict(status) if attrs.has(type(status)) else status
