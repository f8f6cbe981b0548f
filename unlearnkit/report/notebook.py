"""What a notebook shows of a run: verdict, pictures, headline numbers. It needs nothing from outside."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING

from unlearnkit.report.numbers import NUMBERS_FILE, read_declared
from unlearnkit.report.of_run import run_metrics, run_verdict
from unlearnkit.report.pictures import ROLES, load_images
from unlearnkit.report.table import sentences, summary_rows
from unlearnkit.report.template import fill

if TYPE_CHECKING:
    from unlearnkit.runs import Run

__all__ = ["notebook_html"]

_TEMPLATE = Path(__file__).with_name("notebook.html")


def notebook_html(run: Run) -> str:
    """A fragment of HTML with its pictures in it; of a run that is not finished, its status."""
    manifest = run.manifest
    if manifest["status"] != "finished":
        return fill(_TEMPLATE, verdict=None, status=manifest["status"], path=run.path)
    known = {name: value for name, value in run_metrics(run).items() if value is not None}
    declared = read_declared(run.read_json(NUMBERS_FILE), str(run.path / NUMBERS_FILE))
    people = run.request.names
    answer = run_verdict(run)
    compared, single = summary_rows(known, manifest, people, declared)
    return fill(
        _TEMPLATE, verdict=answer, sentences=sentences(answer), rows=compared + single, pictures=_pictures(run),
        path=run.path,
    )


def _pictures(run: Run) -> list[dict[str, str]]:
    """The erased people, in the order picture, before, target, after."""
    shown = [entry for entry in load_images(run) if entry["group"] == "erased"]
    shown.sort(key=lambda entry: (entry["person"], entry["index"], ROLES.index(entry["role"])))
    return [
        {"role": entry["role"],
         "data": "data:image/png;base64," + base64.b64encode((run.path / entry["file"]).read_bytes()).decode()}
        for entry in shown
    ]
