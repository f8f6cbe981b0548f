"""Erasure against preservation as one inline SVG: a dot a method, its size the time."""

from __future__ import annotations

from typing import Any

from unlearnkit.report.curves import COLOURS, INK, drawing, dress
from unlearnkit.report.numbers import bytes_text, seconds_text
from unlearnkit.results.statistics import Cell, Group, Row

__all__ = ["tradeoff"]

_SHAPES = ("o", "s", "D", "^", "v", "P", "X")
_AXES = ("preservation", "erasure")


def tradeoff(group: Group) -> str | None:
    """An ``<svg>`` of all methods that have both scores; None without any. The best corner is the upper right."""
    rows = [row for row in group.rows if all(name in row.cells for name in _AXES)]
    if not rows:
        return None
    longest = max((_seconds(row) for row in rows), default=0.0) or 1.0

    def draw(axes: Any) -> None:
        for index, row in enumerate(rows):
            _draw(axes, row, index, longest)
        _dress(axes)

    return drawing(draw, (8.2, max(3.8, 0.26 * len(rows) + 0.8)))


def _draw(axes: Any, row: Row, index: int, longest: float) -> None:
    x, y = (row.cells[name] for name in _AXES)
    colour, shape = COLOURS[index % len(COLOURS)], _SHAPES[index // len(COLOURS) % len(_SHAPES)]
    # Area in proportion to the time; never so small that it cannot be seen.
    side = 5 + 13 * (_seconds(row) / longest) ** 0.5
    axes.errorbar(x.mean, y.mean, xerr=_error(x), yerr=_error(y), color=colour, alpha=0.55, elinewidth=1.1, zorder=2)
    axes.plot([x.mean], [y.mean], shape, color=colour, markersize=side, markeredgecolor=INK, markeredgewidth=0.5,
              alpha=0.9, zorder=3)
    axes.plot([], [], shape, color=colour, markersize=7, label=f"{row.method}  {_cost(row)}".rstrip())


def _error(cell: Cell) -> list[list[float]] | None:
    return None if cell.low is None or cell.high is None else [[cell.mean - cell.low], [cell.high - cell.mean]]


def _seconds(row: Row) -> float:
    return row.cells["seconds"].mean if "seconds" in row.cells else 0.0


def _cost(row: Row) -> str:
    parts = [seconds_text(row.cells["seconds"].mean)] if "seconds" in row.cells else []
    if "memory" in row.cells:
        parts.append(bytes_text(row.cells["memory"].mean * 2**20))
    return ", ".join(parts)


def _dress(axes: Any) -> None:
    dress(axes, "preservation → (1: everybody else stays)")
    axes.set_xlim(-0.03, 1.05)
    axes.set_ylim(-0.03, 1.05)
    axes.set_ylabel("erasure → (1: like strangers)", color=INK, fontsize=9)
    axes.legend(frameon=False, labelcolor=INK, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
