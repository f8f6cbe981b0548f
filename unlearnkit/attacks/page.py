"""``audit.html``: every attack with its curve, and the best face it found beside the person."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from unlearnkit.attacks.summary import summary
from unlearnkit.attacks.words import effort_text, overall
from unlearnkit.report.curves import COLOURS, INK, SMALL, drawing, dress
from unlearnkit.report.numbers import seconds_text
from unlearnkit.report.pictures import png
from unlearnkit.report.template import fill

if TYPE_CHECKING:
    from torch import Tensor

    from unlearnkit.attacks.running import Result
    from unlearnkit.runs import Run

__all__ = ["attack_curve", "write_audit_page"]


def write_audit_page(
    run: Run, stem: str, audit: Mapping[str, Any], results: Sequence[Result], known: Mapping[str, Tensor]
) -> Path:
    """Write ``STEM.html`` into the run directory and return its path; the page is self-contained.

    * ``audit``: the content of ``STEM.json``
    * ``known``: a picture ``(3, H, W)`` of each person, by name
    """
    context = {
        "name": audit["run"], "people": " and ".join(known), "several": len(known) > 1,
        "verdict": overall(result.finding for result in results), "levels": audit["levels"], "audit": audit,
        "time": seconds_text(audit["seconds"]), "cards": [_card(result, audit["levels"], known) for result in results],
        "ways": summary(results),
        "settings": [(f"attack.{attack}.{key}", str(value)) for attack, table in audit["settings"].items()
                     for key, value in table.items()],
    }
    return run.write_text(f"{stem}.html", fill(Path(__file__).with_name("audit.html"), **context))


def _card(result: Result, levels: Mapping[str, float | None], known: Mapping[str, Tensor]) -> dict[str, Any]:
    """One attack on one person, as the page shows it."""
    def effort(found: int | None) -> str:
        return effort_text(found, result.budget, result.unit, levels["border"] is not None)

    return {
        "result": result, "picture": _data_uri(known[result.person]), "found": _data_uri(result.edited.image),
        "control": _data_uri(result.control.image), "best": result.edited.points[-1][1],
        "beside": result.control.points[-1][1], "effort": effort(result.effort_to_recognise),
        "control_effort": effort(result.control_effort),
        # matplotlib escapes the text that it writes.
        "curve": Markup(attack_curve(result, levels)),
    }


def attack_curve(result: Result, levels: Mapping[str, float | None]) -> str:
    """An ``<svg>`` plot of the best similarity so far against effort, for the edited generator and its control."""
    def draw(axes: Any) -> None:
        for label, key in (("same person", "same_person"), ("recognised", "border"), ("strangers", "strangers")):
            value = levels.get(key)
            if value is not None:
                axes.axhline(value, color=INK, alpha=0.45, linewidth=1, linestyle="--" if key == "border" else ":")
                axes.annotate(label, (1, value), xycoords=("axes fraction", "data"), xytext=(4, 0), color=INK,
                              textcoords="offset points", fontsize=SMALL, va="center", annotation_clip=False)
        lines = (("edited generator", result.edited, COLOURS[5], 2.2),
                 (f"control: {result.control_kind}", result.control, COLOURS[0], 1.5))
        for label, attempt, colour, width in lines:
            efforts, best = zip(*attempt.points, strict=True)
            axes.plot(efforts, best, color=colour, linewidth=width, label=label, drawstyle="steps-post")
        dress(axes, result.unit)
        axes.set_ylabel("best similarity so far", color=INK, fontsize=SMALL)
        axes.set_xlim(0, result.budget)
        axes.legend(frameon=False, labelcolor=INK, fontsize=SMALL, loc="lower right")

    return drawing(draw, (7.4, 3.2))


def _data_uri(image: Tensor) -> str:
    return "data:image/png;base64," + base64.b64encode(png(image)).decode()
