"""How a bench ends: the comparison as tables, what computed it, where the results are and what to type next."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from rich.console import Console

from unlearnkit.results import Budget, Result, compare, read_results
from unlearnkit.results.files import Found
from unlearnkit.results.tables import terminal

__all__ = ["comparable", "hardware", "show_summary"]


def show_summary(folder: Path, console: Console) -> None:
    """Print what a folder of results comes to; only results of the same budget stand in one table."""
    kept, left_out = comparable(read_results([folder]))
    for group in compare([item.result for item in kept]):
        drawn = terminal(group)
        # In a narrow window, or a pipe, lines break; numbers do not.
        console.width = max(console.width, console.measure(drawn, options=console.options.update(width=1000)).minimum)
        console.print(drawn)
        for row in group.rows:
            for failure in row.failures:
                console.print(f"{row.method} failed on {failure}", soft_wrap=True, markup=False)
    for sentence in (*left_out, *hardware([item.result for item in kept])):
        console.print(sentence, soft_wrap=True, markup=False)
    console.print(f"results: {folder}", soft_wrap=True, markup=False)
    console.print(f"next: unlearnkit compare {_path(folder)} --html compare.html", soft_wrap=True, markup=False)


def comparable(found: list[Found]) -> tuple[list[Found], list[str]]:
    """The results that have, on their generator, the budget that most have; and a sentence on each method left out."""
    budgets: dict[str, Counter[Budget]] = {}
    for item in found:
        budgets.setdefault(item.result.generator, Counter())[item.result.budget] += 1
    usual = {generator: counted.most_common(1)[0][0] for generator, counted in budgets.items()}
    kept = [item for item in found if item.result.budget == usual[item.result.generator]]
    others = {(item.result.method, item.result.generator): item.result.budget for item in found if item not in kept}
    return kept, [
        f"left out: {method} on {generator}, which had {budget}; the others had {usual[generator]}"
        + (f". Tune it: unlearnkit bench --tune {method}; then its cases once more: --methods {method} --again"
           if budget.tuning_trials < usual[generator].tuning_trials else "")
        for (method, generator), budget in sorted(others.items(), key=lambda pair: pair[0])
    ]


def hardware(results: list[Result]) -> list[str]:
    """What the times were taken on: processor, threads, kernels and instruction set; a sentence for each kind."""
    kinds = Counter(result.hardware for result in results)
    found = []
    for kind, count in kinds.most_common():
        kernels = f"{kind.kernels or 'kernels not noted'}{f', {kind.instructions}' if kind.instructions else ''}"
        threads = f"{kind.threads} thread{'' if kind.threads == 1 else 's'}"
        where = "" if len(kinds) == 1 else f" ({count} results)"
        found.append(f"times are from: {kind.cpu}, {kind.device}, {threads}, kernels: {kernels}{where}")
    return found


def _path(folder: Path) -> str:
    """A path that a command line takes: ``runs/mine``, quoted where it must be."""
    import shlex

    return shlex.quote(str(folder))
