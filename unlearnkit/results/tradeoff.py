"""Erasure against preservation as one inline SVG: a dot a method, its size the time."""

from __future__ import annotations

import io
from typing import Any

from unlearnkit.report.numbers import bytes_text, seconds_text
from unlearnkit.results.statistics import Group, Row

__all__ = ["tradeoff"]

_INK = "#010203"
_COLOURS = ("#4e79e6", "#e0803c", "#2fa37c", "#b565c9", "#c9a227", "#d65a6f", "#4fb3c8", "#8a8f98")
_SHAPES = ("o", "s", "D", "^", "v", "P", "X")
_AXES = ("preservation", "erasure")


def tradeoff(group: Group) -> str | None:
    """An ``<svg>`` of all methods that have both scores; None without any. The best corner is the upper right."""
    rows = [row for row in group.rows if all(name in row.cells for name in _AXES)]
    if not rows:
        return None
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "unlearnkit", "font.family": "sans-serif"}):
        figure = Figure(figsize=(8.2, max(3.8, 0.26 * len(rows) + 0.8)), layout="constrained")
        canvas = FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        longest = max((_seconds(row) for row in rows), default=0.0) or 1.0
        for index, row in enumerate(rows):
            _draw(axes, row, index, longest)
        _dress(axes)
        buffer = io.StringIO()
        canvas.print_svg(buffer, metadata={"Creator": None, "Date": None, "Format": None, "Type": None})
    svg = buffer.getvalue()
    return svg[svg.index("<svg"):].replace(_INK, "currentColor")


def _draw(axes: Any, row: Row, index: int, longest: float) -> None:
    x, y = (row.cells[name] for name in _AXES)
    colour, shape = _COLOURS[index % len(_COLOURS)], _SHAPES[index // len(_COLOURS) % len(_SHAPES)]
    # Area in proportion to the time; never so small that it cannot be seen.
    side = 5 + 13 * (_seconds(row) / longest) ** 0.5
    axes.errorbar(x.mean, y.mean, xerr=_error(x.mean, x.half), yerr=_error(y.mean, y.half), color=colour, alpha=0.55,
                  elinewidth=1.1, zorder=2)
    axes.plot([x.mean], [y.mean], shape, color=colour, markersize=side, markeredgecolor=_INK, markeredgewidth=0.5,
              alpha=0.9, zorder=3)
    axes.plot([], [], shape, color=colour, markersize=7, label=f"{row.method}  {_cost(row)}".rstrip())


def _error(mean: float, half: float | None) -> list[list[float]] | None:
    """Interval bars end where the scale of a score does."""
    return None if half is None else [[min(half, max(mean, 0.0))], [min(half, max(1 - mean, 0.0))]]


def _seconds(row: Row) -> float:
    return row.cells["seconds"].mean if "seconds" in row.cells else 0.0


def _cost(row: Row) -> str:
    parts = [seconds_text(row.cells["seconds"].mean)] if "seconds" in row.cells else []
    if "memory" in row.cells:
        parts.append(bytes_text(row.cells["memory"].mean * 2**20))
    return ", ".join(parts)


def _dress(axes: Any) -> None:
    axes.figure.patch.set_alpha(0)
    axes.patch.set_alpha(0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_INK)
    axes.tick_params(which="both", colors=_INK, labelsize=8)
    axes.grid(color=_INK, alpha=0.12, linewidth=0.6)
    axes.set_xlim(-0.03, 1.05)
    axes.set_ylim(-0.03, 1.05)
    axes.set_xlabel("preservation → (1: everybody else stays)", color=_INK, fontsize=9)
    axes.set_ylabel("erasure → (1: like strangers)", color=_INK, fontsize=9)
    axes.legend(frameon=False, labelcolor=_INK, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
