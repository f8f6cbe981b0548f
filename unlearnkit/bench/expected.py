"""What the quick profile should come to, and whether it still does: ``python -m unlearnkit.bench.expected RESULTS...``

That command writes ``expected_quick.json`` from results of the quick profile, best of several seeds
(``pytest benchmarks/ --quick --seeds 3 --results RESULTS``). For each method, generator and scenario it keeps the mean
over people of a few headline numbers, and the half width of the interval in which one new run of the same people is to
be expected: Student's prediction interval over the seeds, 95 %, and ``MARGIN`` for what another processor's rounding
makes of twenty steps. The same people are erased in every run, so how people differ does not belong in it.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from unlearnkit.files.atomic import write_bytes
from unlearnkit.files.plain import json_bytes
from unlearnkit.results import Result, read_results
from unlearnkit.results.columns import columns_of
from unlearnkit.results.statistics import half_width

__all__ = ["expected_of", "group_of", "read_expected", "regressions"]

MARGIN = 0.1
"""Of similarities and scores, absolute."""
HEADLINES = ("erasure", "preservation", "erased", "others", "bystanders", "random")


def regressions(expected: dict[str, Any], results: Sequence[Result]) -> list[str]:
    """One line for each headline number that is worse than its interval; better is never a regression."""
    found = []
    failed = [f"{r.identity}: {r.error}" for r in results if r.error is not None]
    if failed:
        return [f"it used to work, and now fails: {'; '.join(failed)}"]
    known = {column.name: column for column in columns_of(results)}
    for name, wanted in expected["numbers"].items():
        if name not in known:
            found.append(f"{name} is no longer measured")
            continue
        now = fmean(known[name].values(results).values())
        worse = wanted["mean"] - now if known[name].higher else now - wanted["mean"]
        if worse > wanted["half"]:
            found.append(f"{name} is {now:.3f}, expected {wanted['mean']:.3f} ± {wanted['half']:.3f}")
    return found


def expected_of(results: Sequence[Result]) -> dict[str, Any]:
    """What to expect of one method on one generator in one scenario."""
    seeds = sorted({result.seed for result in results})
    numbers = {}
    for column in columns_of(results):
        if column.name not in HEADLINES:
            continue
        runs = [fmean(column.values([r for r in results if r.seed == seed]).values()) for seed in seeds]
        spread = half_width(runs)
        half = MARGIN + (0.0 if spread is None else spread * math.sqrt(len(runs) + 1))
        numbers[column.name] = {"mean": round(fmean(runs), 4), "half": round(half, 4)}
    return {"identities": sorted({r.identity for r in results}), "seeds": seeds, "numbers": numbers}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="+", help="folders of results of the quick profile")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/expected_quick.json"))
    args = parser.parse_args()
    groups: dict[str, list[Result]] = {}
    for item in read_results(args.results):
        if item.result.profile == "quick" and item.result.error is None:
            groups.setdefault(group_of(item.result), []).append(item.result)
    write_bytes(args.out, json_bytes({name: expected_of(found) for name, found in sorted(groups.items())}))
    print(f"wrote {args.out}: {len(groups)} methods")


def group_of(result: Result) -> str:
    """``method on generator, scenario``: the key of the file."""
    return f"{result.method} on {result.generator}, {result.scenario}"


def read_expected(file: Path) -> dict[str, Any]:
    """A file that was written so; empty before there is one."""
    return dict(json.loads(file.read_text())) if file.exists() else {}


if __name__ == "__main__":
    main()
