"""Curves as inline SVG that takes its colours from the page."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["COLOURS", "INK", "SMALL", "drawing", "dress", "loss_curves"]

INK = "#010203"
SMALL = 10.5
"""Points of the smallest letters: 11 pixels where a drawing is as narrow as pages let it be."""
COLOURS = ("#4e79e6", "#e0803c", "#2fa37c", "#b565c9", "#c9a227", "#d65a6f", "#4fb3c8", "#8a8f98")


def loss_curves(log: Sequence[dict[str, float]]) -> str | None:
    """An ``<svg>`` of every term over the steps, ``total`` strongest; None with fewer than two steps."""
    if len(log) < 2:
        return None
    names = sorted({name for entry in log for name in entry} - {"step"})
    names.sort(key=lambda name: name != "total")

    def draw(axes: Any) -> None:
        for index, name in enumerate(names):
            _draw(axes, log, name, INK if name == "total" else COLOURS[index % len(COLOURS)])
        _dress(axes, log, names)

    return drawing(draw)


def drawing(draw: Callable[[Any], None], size: tuple[float, float] = (7.4, 3.6)) -> str:
    """An ``<svg>`` of what ``draw`` makes on matplotlib axes of ``size`` (inches); :data:`INK` is the page's ink."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "unlearnkit", "font.family": "sans-serif"}):
        figure = Figure(figsize=size, layout="constrained")
        canvas = FigureCanvasSVG(figure)
        draw(figure.add_subplot())
        buffer = io.StringIO()
        canvas.print_svg(buffer, metadata={"Creator": None, "Date": None, "Format": None, "Type": None})
    svg = buffer.getvalue()
    return svg[svg.index("<svg"):].replace(INK, "currentColor")


def dress(axes: Any, label: str) -> None:
    """Bare axes that stand on any page, with a label below."""
    axes.figure.patch.set_alpha(0)
    axes.patch.set_alpha(0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(INK)
    axes.tick_params(which="both", colors=INK, labelsize=SMALL)
    axes.grid(color=INK, alpha=0.12, linewidth=0.6)
    axes.set_xlabel(label, color=INK, fontsize=SMALL)
    axes.margins(x=0.01)


def _draw(axes: Any, log: Sequence[dict[str, float]], name: str, colour: str) -> None:
    steps = [entry["step"] for entry in log if name in entry]
    values = _smooth([entry[name] for entry in log if name in entry])
    total = name == "total"
    label = name.replace("$", r"\$").lstrip("_")  # $ starts a formula, _ hides from the legend
    width, order = (2.0, 3) if total else (1.3, 2)
    axes.plot(steps, values, color=colour, linewidth=width, label=label, zorder=order)


def _dress(axes: Any, log: Sequence[dict[str, float]], names: Sequence[str]) -> None:
    values = sorted(entry[name] for entry in log for name in names if name in entry and math.isfinite(entry[name]))
    # A few values of nearly zero, as of a loss that starts at its minimum, must not flatten all the others.
    low, high = (values[round(share * (len(values) - 1))] for share in (0.02, 0.98)) if values else (0.0, 0.0)
    if low <= 0 < high:
        low = min(value for value in values if value > 1e-4 * high)
    if low > 0 and high > 20 * low and values[0] >= 0:
        axes.set_yscale("log")
        axes.set_ylim(bottom=max(low / 3, 1e-4 * high))
    dress(axes, "step")
    if names:
        axes.legend(frameon=False, labelcolor=INK, fontsize=SMALL, loc="upper left", bbox_to_anchor=(1.0, 1.0))


def _smooth(values: Sequence[float]) -> list[float]:
    """Running mean over a hundredth of the run, for long and noisy ones."""
    width = max(1, len(values) // 100)
    if width == 1:
        return list(values)
    parts = (values[max(0, i - width): i + width + 1] for i in range(len(values)))
    return [sum(part) / len(part) for part in parts]
