"""The verdict on a run directory: the same in the terminal, the report, a notebook and the Python API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unlearnkit.errors import RunError
from unlearnkit.report.audits import audited, read_audits
from unlearnkit.report.numbers import flat
from unlearnkit.report.verdict import Verdict, verdict

if TYPE_CHECKING:
    from unlearnkit.runs import Run

__all__ = ["bystander_names", "run_metrics", "run_verdict"]


def run_verdict(run: Run) -> Verdict:
    """The verdict on a run; "Not measured" before it is finished.

    :raises RunError: if a file of it is damaged.
    """
    audit = audited(read_audits(run))
    return verdict(run_metrics(run), run.manifest, run.request.names, bystander_names(run), audit)


def run_metrics(run: Run) -> dict[str, float | None]:
    """The numbers of a run by name; empty before it has any.

    :raises RunError: if they are damaged.
    """
    value: Any = run.read_json("metrics.json")
    if value is not None and not isinstance(value, dict):
        raise RunError(f"{run.path / 'metrics.json'} is damaged: it holds no table; start a new run, or restore it")
    return flat(value)


def bystander_names(run: Run) -> list[str]:
    """The bystanders in the order of the request: those with a picture by its name, then the random ones."""
    request = run.request
    return [path.stem for path in request.bystanders] + [f"random-{i}" for i in range(request.random_bystanders)]
