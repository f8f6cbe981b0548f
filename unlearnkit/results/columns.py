"""The columns of a comparison: how each is read from results, its range, and which way is better. Imports no torch.

The headline columns know the names of a few numbers; every other column is what a metric declared (``Result.numbers``).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from statistics import fmean

import attrs

from unlearnkit.numbers import Number
from unlearnkit.numbers import levels as judge_levels
from unlearnkit.results.schema import RUN, Result

__all__ = ["Column", "columns_of", "erasure", "forgotten", "kept", "levels", "preservation"]

Read = Callable[[Result], float | None]
_HEADLINE = ("erased_after", "others_after", "bystanders_change", "preserved_identity")
"""Numbers that have headline columns."""


@attrs.frozen
class Column:
    """One column: ``values`` gives a number for each identity, the mean over its seeds.

    * ``better``: ``higher``, ``lower``, or empty where neither is: then nothing is tested
    * ``least``, ``most``: the range of the number, which no interval leaves
    * ``headline``: shown wherever there is little room; the others only where there is more
    """

    name: str
    title: str
    better: str
    values: Callable[[Sequence[Result]], dict[str, float]]
    help: str
    digits: int = 2
    least: float = -math.inf
    most: float = math.inf
    headline: bool = True

    @property
    def higher(self) -> bool:
        """True if higher is better."""
        return self.better == "higher"

    @property
    def arrow(self) -> str:
        """Which way is better; empty where neither is."""
        return {"higher": "↑", "lower": "↓"}.get(self.better, "")


# ---------------------------------------------------------------- scores

def forgotten(similarity: float, strangers: float, same: float) -> float:
    """1 where the likeness is that of ``strangers`` or less, 0 where it is that of the ``same`` person's pictures."""
    return 1 - _clip((similarity - strangers) / (same - strangers))


def kept(change: float, strangers: float) -> float:
    """1 where a picture before and after shows the same (similarity 1), 0 where it shows two strangers."""
    return _clip((change - strangers) / (1 - strangers))


def erasure(result: Result) -> float | None:
    """Mean of :func:`forgotten` over the erased latent and, where there are any, the person's other pictures."""
    strangers, same = levels(result)
    if strangers is None or same is None or same <= strangers:
        return None
    found = [_metric(result, "erased_after"), _metric(result, "others_after")]
    if found[0] is None:
        return None
    return fmean(forgotten(value, strangers, same) for value in found if value is not None)


def preservation(result: Result) -> float | None:
    """Mean of :func:`kept` over bystanders and random people, of those that were measured."""
    strangers, _ = levels(result)
    found = [_metric(result, "bystanders_change"), _metric(result, "preserved_identity")]
    known = [value for value in found if value is not None]
    if strangers is None or strangers >= 1 or not known:
        return None
    return fmean(kept(value, strangers) for value in known)


def levels(result: Result) -> tuple[float | None, float | None]:
    """Similarity of strangers and of one person's two pictures: the judge's own levels, else those of the case."""
    strangers = _metric(result, "strangers_level", "strangers")
    return strangers, _metric(result, "same_person_level", "same_person")


def _clip(value: float) -> float:
    return min(max(value, 0.0), 1.0)


def _metric(result: Result, *names: str) -> float | None:
    return next((value for name in names if (value := result.metrics.get(name)) is not None), None)


# ---------------------------------------------------------------- columns

def columns_of(results: Sequence[Result]) -> list[Column]:
    """The columns for which at least one of the results has a number, in the order in which they are shown."""
    found = [*_headline(results), *_attacks(results), *_cost(results), *_declared(results)]
    return [column for column in found if column.values(results)]


def _headline(results: Sequence[Result]) -> list[Column]:
    return [
        _score("erasure", erasure, "forgetting, in [0, 1]"),
        _score("preservation", preservation, "everybody else stays, in [0, 1]"),
        _cosine("erased", "erased", "lower", _read("erased_after"), "likeness left at the erased latent"),
        _cosine("others", "others", "lower", _read("others_after"), "likeness left in the person's other pictures"),
        _cosine("bystanders", "bystanders", "higher", _read("bystanders_change"), "bystanders, before to after"),
        _cosine("random", "random people", "higher", _read("preserved_identity"), "drawn others, before to after"),
        Column("collapse", "collapse", "lower", _alike, "likeness among those who replaced different people",
               least=-1.0, most=1.0),
    ]


def _attacks(results: Sequence[Result]) -> list[Column]:
    """Relearning by its effort, any other attack by the best likeness that it finds."""
    found = {name for result in results for name in result.audit or {}}
    budgets = [result.audit["relearning"].budget for result in results if result.audit and "relearning" in result.audit]
    relearning = Column(
        "relearning", "relearning", "higher", _by_identity(_relearning),
        "steps until fine-tuning brings the person back; the whole budget where it does not", 0, 0.0,
        max(budgets, default=math.inf))
    others = [_cosine(f"attack_{name}", name, "lower", _best(name), "best likeness that this attack finds")
              for name in sorted(found - {"relearning"})]
    return [relearning, *others]


def _cost(results: Sequence[Result]) -> list[Column]:
    seconds = _by_identity(lambda result: result.seconds.get("unlearn"))
    memory = "of unlearning alone; of the whole process in an ordinary run"
    steps = Column("steps", "steps", "", _by_identity(_steps), "optimiser steps that a run took", 0)
    return [
        *([steps] if any(result.profile == RUN for result in results) else []),
        Column("seconds", "time (s)", "lower", seconds, "of unlearning alone", 1, 0.0),
        Column("memory", "peak (MiB)", "lower", _by_identity(_memory), memory, 0, 0.0),
    ]


def _declared(results: Sequence[Result]) -> list[Column]:
    """A column for every other number that a metric declares to have a better direction."""
    numbers: dict[str, Number] = {}
    for result in results:
        numbers = {**result.numbers, **numbers}  # the first to declare a number names it
    order = dict.fromkeys(name for result in results for name in result.numbers)
    return [_from_declaration(numbers[name]) for name in order if numbers[name].better and name not in _HEADLINE]


def _from_declaration(number: Number) -> Column:
    unit = f" ({number.unit})" if number.unit else ""
    return Column(
        f"metric_{number.name}", (number.short or number.title) + unit, number.better,
        _by_identity(_read(number.name)), f"{number.title} ({number.name})", number.digits,
        -math.inf if number.least is None else number.least, math.inf if number.most is None else number.most, False,
    )


def _score(name: str, read: Read, help: str) -> Column:
    return Column(name, name, "higher", _by_identity(read), help, least=0.0, most=1.0)


def _cosine(name: str, title: str, better: str, read: Read, help: str) -> Column:
    return Column(name, title, better, _by_identity(read), help, least=-1.0, most=1.0)


def _by_identity(read: Read) -> Callable[[Sequence[Result]], dict[str, float]]:
    """What ``read`` finds in the results of each identity, seeds averaged."""
    def values(results: Sequence[Result]) -> dict[str, float]:
        found: dict[str, list[float]] = {}
        for result in results:
            value = None if result.error is not None else read(result)
            if value is not None and math.isfinite(value):
                found.setdefault(result.identity, []).append(value)
        return {identity: fmean(numbers) for identity, numbers in found.items()}

    return values


def _read(name: str) -> Read:
    return lambda result: result.metrics.get(name)


def _steps(result: Result) -> float | None:
    return None if result.budget.steps is None else float(result.budget.steps)


def _memory(result: Result) -> float | None:
    return None if result.peak_bytes is None else result.peak_bytes / 2**20


def _relearning(result: Result) -> float | None:
    found = (result.audit or {}).get("relearning")
    if found is None:
        return None
    effort = found.numbers.get("effort_to_recognise")
    if effort is not None:
        return effort
    return None if judge_levels(result.metrics).border is None else float(found.budget)  # no border: nobody can tell


def _best(attack: str) -> Read:
    def read(result: Result) -> float | None:
        found = (result.audit or {}).get(attack)
        return None if found is None else found.numbers.get("best")

    return read


def _alike(results: Sequence[Result]) -> dict[str, float]:
    """Mean similarity of the faces that replaced different people, same run and seed, as one number a person.

    Pairs share people, so they are not independent. The numbers are the jackknife's pseudo-values (Tukey 1958): where
    everybody is in as many pairs, their mean is the mean over pairs, otherwise the jackknife's estimate of it, and
    Student's interval of them is that of the jackknife. Two people are one pair, from which nobody can tell how it
    varies: one number.
    """
    pairs: dict[tuple[str, str], list[float]] = {}
    known = [result for result in results if result.error is None and result.embedding is not None]
    for a, b in itertools.combinations(sorted(known, key=lambda result: result.identity), 2):
        same_run = (a.method, a.generator, a.scenario, a.seed) == (b.method, b.generator, b.scenario, b.seed)
        if same_run and a.identity != b.identity and len(a.embedding or ()) == len(b.embedding or ()):
            dot = sum(x * y for x, y in zip(a.embedding or (), b.embedding or (), strict=True))
            pairs.setdefault((a.identity, b.identity), []).append(dot)
    likeness = {pair: fmean(numbers) for pair, numbers in pairs.items()}
    people = sorted({who for pair in likeness for who in pair})
    if len(people) < 3:
        return {pair[0]: value for pair, value in likeness.items()}
    whole, found = fmean(likeness.values()), {}
    for who in people:
        without = [value for pair, value in likeness.items() if who not in pair]
        if without:
            found[who] = len(people) * whole - (len(people) - 1) * fmean(without)
    return found
