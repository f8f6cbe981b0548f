"""A leaderboard in a folder: the comparison, behind every number a page of its own, and the results as one file.

Nothing runs and nothing is loaded from elsewhere, so any web server or a folder on a disk can hold it.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import attrs

from unlearnkit.errors import RunError
from unlearnkit.files import atomic
from unlearnkit.report.numbers import by_metric, lines, seconds_text
from unlearnkit.report.template import fill
from unlearnkit.results.files import Found, merge_results
from unlearnkit.results.page import page, small_picture
from unlearnkit.results.schema import PICTURES
from unlearnkit.results.statistics import Group

__all__ = ["INDEX", "RESULTS", "case_page", "write_site"]

INDEX, RESULTS = "index.html", "results.json"
_SIDE = 256
"""Pixels of a picture on the page of a case, at most."""


def write_site(folder: Path, found: Sequence[Found], groups: Sequence[Group]) -> None:
    """Write ``index.html``, ``cases/ID.html`` for every result, and ``results.json``; the folder appears as a whole.

    :raises RunError: if the folder exists or cannot be written.
    """
    if folder.exists():
        raise RunError(f"{folder} exists and is never overwritten; give another folder with --site")
    with atomic.plain_errors("write", folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            (made / "cases").mkdir()
            for item in found:
                (made / "cases" / f"{item.result.id}.html").write_text(case_page(item))
            merge_results(made / RESULTS, found)
            (made / INDEX).write_text(page(found, groups, cases="cases/", merged=RESULTS))
            made.chmod(0o755)  # mkdtemp's folders are for their owner alone, and a server is somebody else
            os.rename(made, folder)
        except BaseException:
            shutil.rmtree(made, ignore_errors=True)
            raise


def case_page(item: Found) -> str:
    """The HTML of one case: pictures, every number as its metric declares it, attacks, settings, where it was made."""
    result = item.result
    seen = {role: path for role in PICTURES if (path := item.picture(role)) is not None}
    shown = {role: small_picture(path, _SIDE) for role, path in seen.items()}
    facts = {
        "profile": result.profile, "budget": str(result.budget), "device": result.hardware.device,
        "processor": f"{result.hardware.cpu}, {result.hardware.threads} threads, {result.hardware.platform}",
        "kernels": f"{result.hardware.kernels} {result.hardware.instructions}".strip(),
        **{f"time, {name}": seconds_text(value) for name, value in result.seconds.items()}, **result.versions,
    }
    return fill(
        Path(__file__).with_name("case.html"), result=result, index=f"../{INDEX}",
        pictures={role: data for role, data in shown.items() if data}, facts=facts,
        metrics=by_metric(lines(result.metrics, result.numbers)),
        attacks={name: attrs.asdict(attack) for name, attack in (result.audit or {}).items()},
        settings=json.dumps(result.settings, indent=1, sort_keys=True, default=str),
    )
