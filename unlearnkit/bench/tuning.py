"""Tune methods with the same number of trials each, on people whom no other scenario uses.

A method says what is worth trying (``Method.tuning``); its learning rates are those of StyleGAN2, and others are
proportional (``Profile.learning_rate``). A trial is a case of the profile ``tune`` in a folder of its own
(``RESULTS/trial_0``, ...), which ``unlearnkit compare`` reads; what is there is not done again. The score is
min(erasure, preservation), mean over the tuning people: a method that erases by breaking everything, or that keeps
everything by doing nothing, scores 0. The best settings go to a file that the bench reads (:mod:`.tuned`).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import attrs

from unlearnkit.bench.cases import LEARNING_RATE, Case, finished, learning_rate
from unlearnkit.bench.tuned import Tuned
from unlearnkit.errors import ConfigError
from unlearnkit.plugins import registry
from unlearnkit.results import Result
from unlearnkit.results.columns import erasure, preservation

__all__ = ["TRIALS", "chosen", "score", "trial_folder", "trials", "trials_of"]

TRIALS = 4
"""What every method is granted, and results say of it, whether or not it has so much to try."""
RATES = (5e-4, 1e-3, 2e-3, 4e-3)
"""Of a method that has a learning rate and does not say what to try."""


def trials_of(method: str, usual_rate: float = LEARNING_RATE) -> list[dict[str, Any]]:
    """The settings to try, dotted: what the method declares, else four learning rates, else the one that it has.

    ``usual_rate``: of this method on the generator; the learning rates to try are in proportion to it.

    :raises ConfigError: if it declares more than it is granted, or something that is no grid.
    """
    cls: Any = registry().component_class("method", method)
    grids: tuple[Mapping[str, tuple[Any, ...]], ...] = cls.tuning
    owner = f"method '{method}' of {registry().get('method', method).owner}"
    if not grids:
        rates = "learning_rate" in attrs.fields_dict(cls)
        grids = ({"method.learning_rate": RATES},) if rates else ({},)
    found = []
    for grid in grids:
        if not all(isinstance(values, tuple) for values in grid.values()):
            raise ConfigError(f"{owner} declares tuning = {grids}; expected grids of settings, a tuple of values each")
        found += [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    if len(found) > TRIALS:
        raise ConfigError(f"{owner} declares {len(found)} trials in its tuning; every method is granted {TRIALS}, so "
                          "leave some out")
    return [_in_proportion(trial, usual_rate / LEARNING_RATE) for trial in found]


def _in_proportion(trial: dict[str, Any], factor: float) -> dict[str, Any]:
    rate = trial.get("method.learning_rate")
    if rate is None or factor == 1:
        return trial
    return trial | {"method.learning_rate": float(f"{rate * factor:.6g}")}


def trials(cases: Sequence[Case]) -> list[tuple[int, Case]]:
    """Each case with each of the settings to try, and the number of the trial."""
    return [
        (number, attrs.evolve(case, tuned=Tuned(settings, trials=0))) for case in cases
        for number, settings in enumerate(trials_of(case.method, learning_rate(case.method, case.profile)))
    ]


def trial_folder(folder: Path, number: int) -> Path:
    """Where the results of a trial lie: a folder of results like any other."""
    return folder / f"trial_{number}"


def score(result: Result) -> float:
    """min(erasure, preservation); 0 for a failure."""
    if result.error is not None:
        return 0.0
    return min(erasure(result) or 0.0, preservation(result) or 0.0)


def chosen(folder: Path, cases: Sequence[Case]) -> dict[str, dict[str, dict[str, Any]]] | None:
    """By generator and method: the best settings, their score, and everything that was tried.

    None while trials are missing.
    """
    tried: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for number, case in trials(cases):
        result = finished(trial_folder(folder, number), case)
        if result is None:
            return None
        rows = tried.setdefault(case.generator, {}).setdefault(case.method, [])
        if number == len(rows):
            rows.append({"settings": dict(case.tuned.settings), "people": []})
        rows[number]["people"].append({
            "identity": result.identity, "score": round(score(result), 4), "erasure": erasure(result),
            "preservation": preservation(result), "error": result.error,
        })
    return {generator: {name: _best(rows) for name, rows in methods.items()} for generator, methods in tried.items()}


def _best(rows: list[dict[str, Any]]) -> dict[str, Any]:
    for row in rows:
        row["score"] = round(fmean(person["score"] for person in row["people"]), 4)
    best = max(rows, key=lambda row: float(row["score"]))
    return {"settings": best["settings"], "score": best["score"], "trials": TRIALS, "tried": rows}
