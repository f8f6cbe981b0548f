"""A comparison as plain values, for programs to read. Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from unlearnkit.results.columns import Column
from unlearnkit.results.statistics import LEVEL, Cell, Group, Row

__all__ = ["plain"]


def plain(groups: Sequence[Group]) -> dict[str, Any]:
    """``{"confidence": 0.95, "groups": [...]}``; see docs/benchmarks.md."""
    return {"confidence": 1 - LEVEL, "groups": [_group(group) for group in groups]}


def _group(group: Group) -> dict[str, Any]:
    return {
        "generator": group.generator, "scenario": group.scenario, "people": group.people(),
        "levels": {"strangers": group.strangers, "same_person": group.same}, "notes": list(group.notes),
        "machines": list(group.machines),
        "columns": [_column(column) for column in group.columns], "rows": [_row(row) for row in group.rows],
    }


def _column(column: Column) -> dict[str, Any]:
    return {"name": column.name, "title": column.title, "better": column.better, "help": column.help,
            "least": _bound(column.least), "most": _bound(column.most)}


def _row(row: Row) -> dict[str, Any]:
    return {"method": row.method, "people": row.identities, "failures": list(row.failures),
            "cells": {name: _cell(cell) for name, cell in row.cells.items()}}


def _cell(cell: Cell) -> dict[str, Any]:
    return {"mean": cell.mean, "low": cell.low, "high": cell.high, "n": cell.n, "mark": cell.mark, "p": cell.p}


def _bound(value: float) -> float | None:
    return value if math.isfinite(value) else None
