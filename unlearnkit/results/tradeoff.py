"""Erasure against preservation as one inline SVG: a labelled dot a method, its size the time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from unlearnkit.report.curves import COLOURS, INK, SMALL, drawing, dress
from unlearnkit.results.statistics import Cell, Group, Row

__all__ = ["tradeoff"]

_AXES = ("preservation", "erasure")
_GAP = 0.052
"""Height of a line of letters, in the plot's unit."""


def tradeoff(group: Group) -> str | None:
    """An ``<svg>`` of all methods that have both scores; None without any. The best corner is the upper right.

    Methods that are not significantly behind in either are coloured. Each name stands at the right, joined to its dot.
    """
    rows = [row for row in group.rows if all(name in row.cells for name in _AXES)]
    if not rows:
        return None
    longest = max((_seconds(row) for row in rows), default=0.0) or 1.0

    def draw(axes: Any) -> None:
        for row, place in zip(rows, _spread([row.cells["erasure"].mean for row in rows]), strict=True):
            _draw(axes, row, place, longest)
        _dress(axes)

    return drawing(draw, (7.4, 4.4))


def _draw(axes: Any, row: Row, place: float, longest: float) -> None:
    x, y = (row.cells[name] for name in _AXES)
    leads = x.leads and y.leads
    colour = COLOURS[2] if leads else COLOURS[7]
    # Area in proportion to the time; never so small that it cannot be seen.
    side = 5 + 13 * (_seconds(row) / longest) ** 0.5
    axes.errorbar(x.mean, y.mean, xerr=_error(x), yerr=_error(y), color=colour, alpha=0.5, elinewidth=1.1, zorder=2)
    axes.plot([x.mean], [y.mean], "o", color=colour, markersize=side, markeredgecolor=INK, markeredgewidth=0.5,
              alpha=0.9, zorder=3)
    axes.plot([x.mean, 1.07], [y.mean, place], color=INK, alpha=0.3, linewidth=0.7, zorder=1, clip_on=False)
    axes.annotate(row.method.replace("$", r"\$"), (1.08, place), color=INK, fontsize=SMALL, va="center",
                  annotation_clip=False, weight="bold" if leads else "normal")


def _spread(heights: Sequence[float]) -> list[float]:
    """Heights of the labels: in the order of the dots, near them, and no two closer than a line."""
    order = sorted(range(len(heights)), key=lambda i: heights[i])
    placed = [0.0] * len(heights)
    lowest = -0.03
    for index in order:
        placed[index] = lowest = max(heights[index], lowest + _GAP)
    over = max(0.0, lowest - 1.05)
    return [height - over for height in placed] if over else placed


def _error(cell: Cell) -> list[list[float]] | None:
    return None if cell.low is None or cell.high is None else [[cell.mean - cell.low], [cell.high - cell.mean]]


def _seconds(row: Row) -> float:
    return row.cells["seconds"].mean if "seconds" in row.cells else 0.0


def _dress(axes: Any) -> None:
    dress(axes, "preservation → (1: everybody else stays)")
    axes.set_xlim(-0.03, 1.05)
    axes.set_ylim(-0.03, 1.07)
    axes.set_ylabel("erasure → (1: like strangers)", color=INK, fontsize=SMALL)
