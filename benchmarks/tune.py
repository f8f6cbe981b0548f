"""Tune every method with the same number of trials, on people whom no test uses: ``python -m benchmarks.tune``

Writes ``tuned.json``: the setting chosen for each method on each generator, and the scores of all trials. A trial is a
case of the profile ``tune`` under ``--results`` (one folder a trial, readable by ``unlearnkit compare``); what is there
is not done again. The score is min(erasure, preservation), mean over the tuning people: a method that erases by
breaking everything, or that keeps everything by doing nothing, scores 0. With ``--part I/N`` several processes share
the work; run once without it at the end to write the table.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import fmean
from typing import Any

import attrs

from benchmarks.harness import TUNED, Case, cases, finished, run_case
from benchmarks.profiles import TUNE
from unlearnkit.files.atomic import write_bytes
from unlearnkit.files.plain import json_bytes
from unlearnkit.plugins import registry
from unlearnkit.results import Result, write_result
from unlearnkit.results.columns import erasure, preservation

TRIALS = 4
RATES = (1e-3, 2e-3)
BALANCES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    # The weight that the bundled world offers, and the paper's.
    "guide-global": ({"loss.guide-global.perceptual": 8.0}, {"loss.guide-global.perceptual": 1.0}),
    # As in the released scripts, where it does nothing; and normalised, with the program's own default weight.
    "sugar-ewc": ({"loss.sugar-ewc.weight": 50.0, "loss.sugar-ewc.normalise": False},
                  {"loss.sugar-ewc.weight": 0.2, "loss.sugar-ewc.normalise": True}),
    "hinge": ({"loss.hinge.threshold": 0.3}, {"loss.hinge.threshold": 0.0}),
}
"""A loss -> two ways to weigh forgetting against keeping; a method is tried with those of the first loss it has."""
GRIDS: dict[str, list[dict[str, Any]]] = {
    "closed-form": [{"method.keep": keep} for keep in (0.3, 1.0, 3.0, 10.0)],
}
"""Method -> what is tried of one that has no learning rate."""


def grid(method: str) -> list[dict[str, Any]]:
    """The settings to try, as many for each: two rates by two balances; four rates where nothing is balanced."""
    if method in GRIDS:
        return GRIDS[method]
    cls: Any = registry().component_class("method", method)
    if "learning_rate" not in attrs.fields_dict(cls):
        return [{}]
    losses: Any = attrs.fields_dict(cls)["losses"].default
    for loss, balances in BALANCES.items():
        if loss in losses:
            return [{"method.learning_rate": rate} | balance for rate in RATES for balance in balances]
    return [{"method.learning_rate": factor * RATES[0]} for factor in (0.5, 1.0, 2.0, 4.0)]


def score(result: Result) -> float:
    """min(erasure, preservation); 0 for a failure."""
    if result.error is not None:
        return 0.0
    return min(erasure(result) or 0.0, preservation(result) or 0.0)


def trial_cases(case: Case) -> list[Case]:
    """The same case with each of the settings to try."""
    return [attrs.evolve(case, tuned=settings) for settings in grid(case.method)]


def run_missing(folder: Path, todo: list[Case], part: int, parts: int) -> None:
    """Do what is not there yet; only every ``parts``-th of it."""
    for place, case in enumerate(todo):
        if place % parts != part - 1:
            continue
        for trial, with_settings in enumerate(trial_cases(case)):
            into = folder / f"trial_{trial}"
            if finished(into, with_settings) is None:
                result, pictures = run_case(with_settings)
                write_result(into, result, pictures)
                print(f"{result.id} {dict(with_settings.tuned)}: {result.error or f'{score(result):.3f}'}", flush=True)


def table(folder: Path, todo: list[Case]) -> dict[str, Any] | None:
    """What ``tuned.json`` holds; None while trials are missing."""
    tried: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for case in todo:
        rows = tried.setdefault(case.generator, {}).setdefault(case.method, [])
        for trial, with_settings in enumerate(trial_cases(case)):
            result = finished(folder / f"trial_{trial}", with_settings)
            if result is None:
                return None
            if trial == len(rows):
                rows.append({"settings": dict(with_settings.tuned), "people": []})
            rows[trial]["people"].append({
                "identity": result.identity, "score": round(score(result), 4), "erasure": erasure(result),
                "preservation": preservation(result), "error": result.error,
            })
    return {generator: {name: _chosen(rows) for name, rows in methods.items()} for generator, methods in tried.items()}


def _chosen(rows: list[dict[str, Any]]) -> dict[str, Any]:
    for row in rows:
        row["score"] = round(fmean(person["score"] for person in row["people"]), 4)
    best = max(rows, key=lambda row: float(row["score"]))
    # All were granted as many trials, also those that have nothing to tune and needed one.
    return {"settings": best["settings"], "score": best["score"], "trials": TRIALS, "tried": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("runs/benchmarks/tuning"), help="folder of the trials")
    parser.add_argument("--generators", default=",".join(TUNE.generators))
    parser.add_argument("--methods", help="only these, separated by commas; others keep what the table says of them")
    parser.add_argument("--part", default="1/1", help="I/N: only every N-th method and person")
    parser.add_argument("--steps", type=int, help="another number of steps than the profile's")
    parser.add_argument("--out", type=Path, default=TUNED)
    args = parser.parse_args()
    profile = attrs.evolve(TUNE, generators=tuple(args.generators.split(",")))
    if args.steps:
        profile = attrs.evolve(profile, steps=dict.fromkeys(profile.steps, args.steps))
    todo = cases(profile, tuple(args.methods.split(",")) if args.methods else None)
    part, parts = (int(number) for number in args.part.split("/"))
    run_missing(args.results, todo, part, parts)
    found = table(args.results, todo)
    if found is None:
        print("trials are missing that other parts do; run once more when they are done, to write the table")
        return
    known = json.loads(args.out.read_text())["generators"] if args.out.exists() else {}
    merged = {name: {**known.get(name, {}), **found.get(name, {})} for name in sorted({*known, *found})}
    write_bytes(args.out, json_bytes({
        "score": "min(erasure, preservation), mean over the tuning people", "steps": profile.steps,
        "samples": profile.samples, "generators": merged,
    }))
    print(f"wrote {args.out}")


if __name__ == "__main__":
    main()
