"""Means over people with their intervals, and which methods are significantly better. Imports no torch.

A person is the unit: seeds of one person are averaged first, since they say nothing about other people. With fewer than
three people there is no interval, nothing is tested and nothing is marked.

**Intervals** are Student's t over people, 95 %, cut where the range of the number ends: the true mean lies inside, so
the cut costs no coverage. Bootstrap intervals stay inside by themselves, but promise too much of so few: of simulated
scores, their 95 % (BCa) hold the true mean in 63 to 77 % of samples of 3 people and 78 to 92 % of 6; the cut interval
in 80 to 95 % and 87 to 95 %. From about 12 people on, the two differ little.

**Tests** are paired t-tests over the people whom both methods erased: people differ more than methods do, and pairing
removes that. Wilcoxon's and permutation tests assume less, but with n people their smallest two-sided p is 2 / 2**n:
below six people they can find nothing at all, and after the correction for several methods not below nine. The t-test
assumes that the differences are about normal; each is a mean over many pictures.

In each column every method is held against the one with the best mean, and Holm's step-down correction keeps the chance
of one false "worse" among all of them at 5 %. The best is chosen by the same numbers, so the test is a little
optimistic.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, stdev

import attrs

from unlearnkit.results.columns import Column, columns_of, levels
from unlearnkit.results.notes import machines, notes
from unlearnkit.results.rows import rows_of
from unlearnkit.results.schema import RUN, Result

__all__ = [
    "ALL", "LEVEL", "MIN_PEOPLE", "Cell", "Group", "Row", "compare", "half_width", "holm", "interval", "paired_p",
]

ALL = "all scenarios"
LEVEL = 0.05
"""Chance of a false positive that is accepted, and 1 - the level of intervals."""
MIN_PEOPLE = 3
"""Fewer say nothing about how people vary."""


@attrs.frozen
class Cell:
    """One number of the table: ``mean`` over ``n`` people, and its interval from ``low`` to ``high``.

    ``low``, ``high``: None for fewer than three people.
    ``mark``: ``best``, ``tied`` (not significantly worse than the best), ``worse``, or empty where nothing was tested.
    ``p``: of the difference to the best, corrected; None where nothing was tested.
    """

    mean: float
    low: float | None
    high: float | None
    n: int
    mark: str = ""
    p: float | None = None

    @property
    def leads(self) -> bool:
        """True for the best and for those that are not significantly worse."""
        return self.mark in ("best", "tied")


@attrs.frozen(eq=False)
class Row:
    """One method: its cells by column, how many people it was tried on, and why it has no numbers of some.

    ``method``: its name, and the settings that tell its runs apart; ``cases``: the ids of its results.
    """

    method: str
    cells: dict[str, Cell]
    identities: int
    failures: tuple[str, ...]
    cases: frozenset[str]


@attrs.frozen(eq=False)
class Group:
    """All methods on one generator in one scenario, the highest min(erasure, preservation) first, failures last.

    ``strangers``, ``same``: similarity of two strangers and of two pictures of one person, to the judge; ``notes``:
    what was not alike among the results, a sentence each; ``machines``: what the times were taken on.
    """

    generator: str
    scenario: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    strangers: float | None
    same: float | None
    notes: tuple[str, ...] = ()
    machines: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Names the group."""
        return f"{self.generator}, {self.scenario}"

    def people(self, column: str | None = None) -> int:
        """On how many people a column stands; without one, the most that any column has."""
        counts = [cell.n for row in self.rows for name, cell in row.cells.items() if column in (None, name)]
        return max(counts, default=0)


def compare(results: Sequence[Result]) -> list[Group]:
    """Group results by generator and scenario, and compare the methods in each; and, first, in all scenarios together.

    Ordinary runs are a scenario of their own, and no part of all scenarios: nobody granted them one budget. More people
    make smaller intervals, but people of different scenarios are not one population: look at both.
    """
    keys = {(result.generator, result.scenario) for result in results}
    benched = {(result.generator, result.scenario) for result in results if result.profile != RUN}
    generators = [generator for generator, _ in benched]
    keys |= {(generator, ALL) for generator in generators if generators.count(generator) > 1}
    # The generator that most was tried on comes first.
    cases = {generator: -sum(result.generator == generator for result in results) for generator, _ in keys}
    ordered = sorted(keys, key=lambda key: (cases[key[0]], _order(key)))
    return [_group(*key, [result for result in results if _belongs(result, *key)]) for key in ordered]


def _belongs(result: Result, generator: str, scenario: str) -> bool:
    wanted = result.profile != RUN if scenario == ALL else result.scenario == scenario
    return result.generator == generator and wanted


def interval(values: Sequence[float], least: float = -math.inf, most: float = math.inf) -> tuple[float, float] | None:
    """Student's 95 % interval of the mean of independent ``values``, cut at their range; None for fewer than three."""
    half = half_width(values) if len(values) >= MIN_PEOPLE else None
    if half is None:
        return None
    mean = fmean(values)
    return min(max(mean - half, least), mean), max(min(mean + half, most), mean)


def half_width(values: Sequence[float]) -> float | None:
    """Half width of Student's 95 % interval of the mean of independent ``values``; None for fewer than two."""
    if len(values) < 2:
        return None
    from scipy.stats import t

    return float(t.ppf(1 - LEVEL / 2, len(values) - 1)) * stdev(values) / math.sqrt(len(values))


def paired_p(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Two-sided p of the paired t-test; None for fewer than three pairs."""
    differences = [x - y for x, y in zip(a, b, strict=True)]
    if len(differences) < MIN_PEOPLE:
        return None
    rounding = 1e-12 * max(abs(x) for x in (*a, *b))
    if stdev(differences) <= rounding:  # all differences are equal: t would be 0 / 0, or endless
        return 1.0 if abs(fmean(differences)) <= rounding else 0.0
    from scipy.stats import ttest_rel

    return float(ttest_rel(a, b).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values after Holm's step-down correction (Holm 1979), in the order given."""
    corrected, worst = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        worst = max(worst, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = worst
    return corrected


# ---------------------------------------------------------------- one group

def _order(key: tuple[str, str]) -> tuple[str, int, str]:
    known = (ALL, "ind", "ood", "random", "multi")
    return key[0], known.index(key[1]) if key[1] in known else len(known), key[1]


def _group(generator: str, scenario: str, results: list[Result]) -> Group:
    columns = tuple(columns_of(results))
    by_row = rows_of(results)
    cells: dict[str, dict[str, Cell]] = {name: {} for name in by_row}
    for column in columns:
        for name, cell in _cells(column, by_row).items():
            cells[name][column.name] = cell
    rows = [Row(name, cells[name], len({r.identity for r in found}), _failures(found), frozenset(r.id for r in found))
            for name, found in by_row.items()]
    rows.sort(key=lambda row: (bool(row.failures), -min(_mean(row, "erasure"), _mean(row, "preservation")), row.method))
    known = [levels(result) for result in results if result.error is None]
    strangers, same = (_mean_of([pair[side] for pair in known]) for side in (0, 1))
    return Group(generator, scenario, columns, tuple(rows), strangers, same, notes(results), machines(results))


def _cells(column: Column, by_row: dict[str, list[Result]]) -> dict[str, Cell]:
    """One column: means, intervals, and who is significantly worse than the best."""
    values = {name: found for name, results in by_row.items() if (found := column.values(results))}
    cells = {name: _cell(column, list(found.values())) for name, found in values.items()}
    if len(cells) < 2 or not column.better:
        return cells
    # A method that fails on difficult people may not lead by its mean over the easy ones.
    most = max(cell.n for cell in cells.values())
    complete = [name for name, cell in cells.items() if cell.n == most]
    best = (max if column.higher else min)(complete, key=lambda name: cells[name].mean)
    tested = {name: p for name in cells if name != best and (p := _against(values[name], values[best])) is not None}
    if not tested:
        return cells
    corrected = dict(zip(tested, holm(list(tested.values())), strict=True))
    cells[best] = attrs.evolve(cells[best], mark="best")
    for name, p in corrected.items():
        worse = p < LEVEL and _loses(values[name], values[best], column.higher)
        cells[name] = attrs.evolve(cells[name], mark="worse" if worse else "tied", p=p)
    return cells


def _cell(column: Column, values: list[float]) -> Cell:
    low, high = interval(values, column.least, column.most) or (None, None)
    return Cell(fmean(values), low, high, len(values))


def _against(a: dict[str, float], b: dict[str, float]) -> float | None:
    shared = sorted(a.keys() & b.keys())
    return paired_p([a[name] for name in shared], [b[name] for name in shared])


def _loses(a: dict[str, float], b: dict[str, float], higher: bool) -> bool:
    """True if ``a`` is behind on the people whom both erased: the best mean may be that of easier people."""
    ahead = fmean(a[name] - b[name] for name in a.keys() & b.keys())
    return ahead < 0 if higher else ahead > 0


def _failures(results: Sequence[Result]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(f"{r.identity}: {r.error}" for r in results if r.error is not None))


def _mean_of(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _mean(row: Row, column: str) -> float:
    return row.cells[column].mean if column in row.cells else -math.inf
