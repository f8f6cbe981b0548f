"""Does one world predict another: do methods stand in the same order in both? Imports no torch.

For each column that both worlds have, the methods' means over people are ranked in each, and Spearman's rank
correlation says how alike the two orders are: 1 the same, 0 unrelated, -1 turned round. People were sampled, and so
were the means: the 95 % interval is a bootstrap over people, of both worlds at once (percentiles of 2,000 resamples).
Chance alone makes two orders of the same truth differ, so the correlation is, on average, lower than that of the true
means: a high one says that the order holds, a low one may also mean that there were too few people.

What a reader takes from a table is which of two methods is better. So, beside the whole order, every pair is counted
that one world tells apart (paired t-test over people, Holm's correction over the pairs, 5 %): it stands if the other
world tells it apart the same way, falls if it does the opposite, and is open otherwise.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from unlearnkit.errors import RunError
from unlearnkit.results.columns import Column, columns_of
from unlearnkit.results.schema import RUN, Result
from unlearnkit.results.statistics import ALL, LEVEL, MIN_PEOPLE, holm, paired_p

__all__ = ["COLUMNS", "COUNTERPARTS", "Pair", "Prediction", "World", "predictions", "spearman", "world"]

COLUMNS = {
    "erasure": "erasure", "preservation": "preservation", "erased": "erased", "others": "others",
    "bystanders": "bystanders", "random": "random people", "collapse": "collapse",
    "metric_erased_strangeness": "strangeness of the erased",
    "metric_bystanders_strangeness": "strangeness of bystanders",
}
"""Quality that may be measured anywhere, and its title; time and memory are no question of the world."""
COUNTERPARTS = ((ALL, ALL), ("random", "random"), ("ind", "inverted"))
"""Scenarios of the bundled world, and what comes nearest to them in the photorealistic one."""
RESAMPLES, SEED = 2000, 0
MIN_METHODS = 4
"""With three there are six orders: any correlation is likely by chance."""
Array = NDArray[np.float64]


@attrs.frozen
class Pair:
    """Two methods of which the first world says that ``better`` is better than ``worse`` in a column."""

    better: str
    worse: str


@attrs.frozen
class Prediction:
    """One column in a scenario of each world.

    * ``correlation``: Spearman's; ``low``, ``high``: its interval, None for fewer than three people in either world
    * ``methods``: those that both worlds have; ``people``: how many each world has whom all these methods erased
    * ``places``: of each method in both worlds, 1 is the best
    * ``stands``, ``falls``, ``open``: the pairs that the first world tells apart
    """

    column: Column
    scenarios: tuple[str, str]
    correlation: float
    low: float | None
    high: float | None
    methods: tuple[str, ...]
    people: tuple[int, int]
    places: Mapping[str, tuple[float, float]]
    stands: tuple[Pair, ...] = ()
    falls: tuple[Pair, ...] = ()
    open: tuple[Pair, ...] = ()

    @property
    def title(self) -> str:
        """The column's."""
        return COLUMNS[self.column.name]

    @property
    def verdict(self) -> str:
        """``holds``, ``holds in part``, ``cannot be told``, ``does not hold`` or ``is turned round``."""
        if self.low is None or self.high is None:
            return "cannot be told"
        if self.low > 0.5:
            return "holds"
        if self.low > 0:
            return "holds in part"
        if self.high < 0:
            return "is turned round"
        return "does not hold" if self.high < 0.5 else "cannot be told"

    @property
    def moved(self) -> tuple[str, float, float] | None:
        """The method whose place changed most, and its two places; None if none moved by two or more."""
        name = max(self.places, key=lambda method: abs(self.places[method][0] - self.places[method][1]))
        first, second = self.places[name]
        return (name, first, second) if abs(first - second) >= 2 else None


@attrs.frozen
class World:
    """The results of the bench on one generator; its name."""

    generator: str
    results: tuple[Result, ...]

    def of(self, scenario: str) -> list[Result]:
        """The results of a scenario, or of all together."""
        return [result for result in self.results if scenario in (ALL, result.scenario)]


def world(results: Sequence[Result], where: str) -> World:
    """The results of the generator that most cases of the bench are of; ``where`` names the file in messages.

    :raises RunError: if there is none of the bench.
    """
    benched = [result for result in results if result.profile != RUN]
    if not benched:
        raise RunError(f"{where} holds no results of the bench, and runs were granted no common budget; give a folder "
                       "of 'unlearnkit bench' or a file that --merge wrote")
    names = [result.generator for result in benched]
    generator = max(dict.fromkeys(names), key=names.count)
    return World(generator, tuple(result for result in benched if result.generator == generator))


def predictions(first: World, second: World) -> list[Prediction]:
    """Every column and pair of scenarios that both worlds have, for at least four methods.

    :raises RunError: if there is none.
    """
    found = []
    for scenarios in COUNTERPARTS:
        results = first.of(scenarios[0]), second.of(scenarios[1])
        known = [{column.name: column for column in columns_of(side)} for side in results]
        for name in COLUMNS:
            if all(name in side for side in known):
                prediction = _prediction(known[0][name], scenarios, results)
                found += [] if prediction is None else [prediction]
    if not found:
        raise RunError(f"{first.generator} and {second.generator} have no number of the same {MIN_METHODS} methods; "
                       "give results of the same methods")
    return found


def spearman(a: Array, b: Array) -> Array:
    """Spearman's rank correlation of rows ``(N, M)``, as ``(N,)``; 0 where a row has one value only."""
    ranks = [rankdata(side, axis=1) for side in (a, b)]
    centred = [side - side.mean(1, keepdims=True) for side in ranks]
    scale = np.sqrt((centred[0] ** 2).sum(1) * (centred[1] ** 2).sum(1))
    products = (centred[0] * centred[1]).sum(1)
    return np.divide(products, scale, out=np.zeros_like(products), where=scale > 0)


# ---------------------------------------------------------------- one column

def _prediction(
    column: Column, scenarios: tuple[str, str], results: tuple[list[Result], list[Result]]
) -> Prediction | None:
    values = [_by_method(column, side) for side in results]
    methods = tuple(sorted(values[0].keys() & values[1].keys()))
    if len(methods) < MIN_METHODS:
        return None
    tables = [_table(side, methods) for side in values]
    people = len(tables[0]), len(tables[1])
    if not all(people):
        return None
    sign = -1.0 if column.higher else 1.0
    ranks = [rankdata(sign * table.mean(0)) for table in tables]
    low, high = _interval(tables) if min(people) >= MIN_PEOPLE else (None, None)
    correlation = float(spearman(*(table.mean(0)[None] for table in tables))[0])
    told = [_told_apart(table, sign) for table in tables]
    sorted_pairs: dict[str, list[Pair]] = {"stands": [], "falls": [], "open": []}
    for better, worse in sorted(told[0]):
        key = "stands" if (better, worse) in told[1] else "falls" if (worse, better) in told[1] else "open"
        sorted_pairs[key].append(Pair(methods[better], methods[worse]))
    places = {name: (float(ranks[0][i]), float(ranks[1][i])) for i, name in enumerate(methods)}
    return Prediction(column, scenarios, correlation, low, high, methods, people, places,
                      **{key: tuple(pairs) for key, pairs in sorted_pairs.items()})


def _by_method(column: Column, results: Sequence[Result]) -> dict[str, dict[str, float]]:
    """Method -> identity -> value; without methods that failed on most: they would leave too few people in common."""
    names = sorted({result.method for result in results})
    found = {name: column.values([result for result in results if result.method == name]) for name in names}
    most = max((len(values) for values in found.values()), default=0)
    return {name: values for name, values in found.items() if values and 2 * len(values) >= most}


def _table(values: Mapping[str, Mapping[str, float]], methods: Sequence[str]) -> Array:
    """``(people, methods)`` of the people whom all methods have."""
    people = sorted(set.intersection(*(set(values[name]) for name in methods)))
    return np.array([[values[name][who] for name in methods] for who in people], float).reshape(-1, len(methods))


def _interval(tables: Sequence[Array]) -> tuple[float, float]:
    rng = np.random.default_rng(SEED)
    means = []
    for table in tables:
        drawn = rng.integers(len(table), size=(RESAMPLES, len(table)))
        means.append(table[drawn].mean(1))
    low, high = np.percentile(spearman(means[0], means[1]), [100 * LEVEL / 2, 100 * (1 - LEVEL / 2)])
    return float(low), float(high)


def _told_apart(table: Array, sign: float) -> set[tuple[int, int]]:
    """The pairs ``(better, worse)`` of columns that differ significantly; ``sign`` -1 where higher is better."""
    pairs = list(itertools.combinations(range(table.shape[1]), 2))
    tested = [(pair, p) for pair in pairs
              if (p := paired_p(table[:, pair[0]].tolist(), table[:, pair[1]].tolist())) is not None]
    means = sign * table.mean(0)
    significant = [pair for (pair, _), p in zip(tested, holm([p for _, p in tested]), strict=True) if p < LEVEL]
    return {(i, j) if means[i] < means[j] else (j, i) for i, j in significant}
