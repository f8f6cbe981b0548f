"""How a bench ends: the comparison as tables, where the results are, and what to type next."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from rich.console import Console

from unlearnkit.results import Budget, Found, compare, read_results
from unlearnkit.results.files import leave_out_less_tuned
from unlearnkit.results.tables import print_groups

__all__ = ["comparable", "show_summary"]


def show_summary(folder: Path, console: Console) -> None:
    """Print what a folder of results comes to; only results of the same budget stand in one table."""
    kept, left_out = comparable(read_results([folder]))
    print_groups(compare([item.result for item in kept]), console)
    for sentence in left_out:
        console.print(sentence, soft_wrap=True, markup=False)
    console.print(f"results: {folder}", soft_wrap=True, markup=False)
    console.print(f"next: unlearnkit compare {_path(folder)} --html compare.html", soft_wrap=True, markup=False)


def comparable(found: list[Found]) -> tuple[list[Found], list[str]]:
    """The results that have, on their generator, the budget that most have; and a sentence on each method left out."""
    tuned, left_out = leave_out_less_tuned(found)
    budgets: dict[str, Counter[Budget]] = {}
    for item in tuned:
        budgets.setdefault(item.result.generator, Counter())[item.result.budget] += 1
    usual = {generator: counted.most_common(1)[0][0] for generator, counted in budgets.items()}
    kept = [item for item in tuned if item.result.budget == usual[item.result.generator]]
    others = {(item.result.method, item.result.generator): item.result.budget for item in tuned if item not in kept}
    return kept, left_out + [
        f"left out: {method} on {generator}, which had {budget}; the others had {usual[generator]}"
        for (method, generator), budget in sorted(others.items(), key=lambda pair: pair[0])
    ]


def _path(folder: Path) -> str:
    """A path that a command line takes: ``runs/mine``, quoted where it must be."""
    import shlex

    return shlex.quote(str(folder))
