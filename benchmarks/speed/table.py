"""What was measured, as a table and as JSON that says on what machine."""

from __future__ import annotations

import json
import os
import statistics
from pathlib import Path
from typing import Any

import attrs
import torch

from speed.works import Row
from unlearnkit.errors import BuildError
from unlearnkit.ops import native
from unlearnkit.runs.manifest import cpu_model, now, versions

__all__ = ["check_kernels", "kernels_sentence", "machine", "table", "write_json"]

ALLOCATOR = ("LD_PRELOAD", "MALLOC_ARENA_MAX", "MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_",
             "MALLOC_TRIM_THRESHOLD_", "THP_MEM_ALLOC_ENABLE")
"""Variables that change how fast large tensors are had; they speed up both sides."""


def machine() -> dict[str, Any]:
    """Processor, cores, threads, versions, our native kernels, and the allocator's settings."""
    return {
        "date": now(), "cpu": cpu_model(), "cores": os.cpu_count(), "threads": torch.get_num_threads(),
        **versions(), **dict(zip(("kernels", "instructions"), native.in_use("cpu"), strict=True)),
        "native": native.status(), "UNLEARNKIT_NATIVE": os.environ.get("UNLEARNKIT_NATIVE"),
        "allocator": {name: os.environ[name] for name in ALLOCATOR if name in os.environ},
    }


def check_kernels(without: bool) -> None:
    """Refuse to time pure PyTorch by mistake: it says nothing of what is installed elsewhere.

    :raises BuildError: if there are no native kernels, and the user does not want to go on ``without`` them.
    """
    kernels, _ = native.in_use("cpu")
    if kernels != "native" and not without:
        raise BuildError(f"there are no native kernels to time: {kernels}. Build them with 'unlearnkit build-ext', or "
                         "time pure PyTorch with --without-kernels")


def kernels_sentence() -> str:
    """What computed our side, to stand below each table; in capitals where it is not what users have."""
    kernels, instructions = native.in_use("cpu")
    if kernels == "native":
        return f"kernels: native, {instructions}"
    return f"WITHOUT NATIVE KERNELS: {kernels}, {instructions}. THESE TIMES ARE NOT THOSE OF AN ORDINARY INSTALLATION."


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
