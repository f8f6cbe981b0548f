"""A comparison as one page that holds everything: tables, the trade-off, pictures. No script runs."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
from markupsafe import Markup

from unlearnkit.report.template import fill
from unlearnkit.results.answer import answer
from unlearnkit.results.files import Found
from unlearnkit.results.schema import RUN, Result
from unlearnkit.results.statistics import Group, Row
from unlearnkit.results.tables import failures, heading, interval_text, legend, mean_text
from unlearnkit.results.tradeoff import tradeoff

__all__ = ["page", "small_picture"]

_SIDE = 112
"""Pixels of a picture in the grid, at most: hundreds of them make one file."""
_GIVEN = {"picture": "picture", "before": "before"}


@attrs.frozen
class Picture:
    """One field of the grid: ``data`` is None where there is no picture."""

    data: str | None
    words: str


@attrs.frozen
class Link:
    """A case in the table of all cases: what is left of the person there, or that the method failed."""

    address: str
    words: str


def page(found: Sequence[Found], groups: Sequence[Group], cases: str | None = None, merged: str | None = None) -> str:
    """The page's HTML. Pictures that are missing leave their fields empty.

    ``cases``: the folder with a page for every case, which are then linked; ``merged``: the file with all results.
    """
    results = [item.result for item in found]
    return fill(
        Path(__file__).with_name("compare.html"),
        groups=[_group(group, found, cases) for group in groups], merged=merged,
        methods=len({r.method for r in results}), people=len({(r.scenario, r.identity) for r in results}),
        cases=len(results),
        mean_text=mean_text, interval_text=interval_text, heading=heading, facts=_facts(results),
        bench=all(result.profile != RUN for result in results),
        notes=list(dict.fromkeys(f"{group.title}: {note}" for group in groups for note in group.notes)),
    )


def _group(group: Group, found: Sequence[Found], cases: str | None) -> dict[str, Any]:
    here = [item for item in found
            if (item.result.generator, item.result.scenario) == (group.generator, group.scenario)]
    drawn = tradeoff(group)
    main, others = ([c for c in group.columns if c.headline is headline] for headline in (True, False))
    return {
        # Drawn by matplotlib, which escapes what it writes.
        "group": group, "answer": answer(group), "legend": legend(group),
        "plot": None if drawn is None else Markup(drawn),
        "grid": _grid(here, group.rows), "failures": failures(group), "main": main, "others": others,
        "links": [] if cases is None else _links(here, group.rows, cases),
    }


def _links(found: Sequence[Found], rows: Sequence[Row], folder: str) -> list[tuple[str, int, list[Link | None]]]:
    """A row for every person and seed, with the case of each method, in the order of the table."""
    known = [item.result for item in found]
    people = sorted({(result.identity, result.seed) for result in known})
    return [(*who, [next((_link(result, folder) for result in known
                          if (result.identity, result.seed) == who and result.id in row.cases), None) for row in rows])
            for who in people]


def _link(result: Result, folder: str) -> Link:
    left = result.metrics.get("erased_after")
    words = "failed" if result.error else "record" if left is None else f"{left:.2f}"
    return Link(f"{folder}{result.id}.html", words)


def _grid(found: Sequence[Found], rows: Sequence[Row]) -> list[tuple[str, list[Picture]]]:
    """One row a person: the picture given, the generator before, then after each method, in the order of the table."""
    grid = []
    for identity in sorted({item.result.identity for item in found}):
        of_person = sorted((item for item in found if item.result.identity == identity), key=lambda i: i.result.seed)
        fields = [_field(of_person, role, f"{identity}, {words}") for role, words in _GIVEN.items()]
        for row in rows:
            own = [item for item in of_person if item.result.id in row.cases]
            fields.append(_field(own, "after", f"{identity} after {row.method}"))
        grid.append((identity, fields))
    return grid if any(field.data for _, fields in grid for field in fields) else []


def _field(found: Sequence[Found], role: str, words: str) -> Picture:
    """The first of these results that has the picture."""
    path = next((path for item in found if (path := item.picture(role)) is not None), None)
    return Picture(None if path is None else small_picture(path), words)


def small_picture(path: Path, side: int = _SIDE) -> str | None:
    """A ``data:`` address of the picture, at most ``side`` pixels; None if it cannot be read.

    A page of hundreds survives that.
    """
    from PIL import Image

    try:
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):  # SyntaxError: a PNG with a bad chunk
        return None
    picture.thumbnail((side, side))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _facts(results: Sequence[Result]) -> list[tuple[str, str]]:
    """Where the numbers come from: every budget, version and machine among the results."""
    facts = {
        "profile": {r.profile for r in results},
        "seeds": {str(r.seed) for r in results},
        "hardware": {f"{r.hardware.cpu}, {r.hardware.threads} threads, {r.hardware.device}, {r.hardware.platform}"
                     for r in results},
        "memory": {r.peak_source for r in results if r.peak_source},
    }
    facts |= {f"budget, {name}": {str(r.budget) for r in results if r.generator == name}
              for name in sorted({r.generator for r in results})}
    facts |= {name: {r.versions[name] for r in results if name in r.versions}
              for name in sorted({name for r in results for name in r.versions})}
    return [(name, "; ".join(sorted(values))) for name, values in facts.items() if values]
