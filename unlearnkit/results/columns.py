"""The headline columns of a comparison: how each is read from results, and which way is better. Imports no torch."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Sequence
from statistics import fmean

import attrs

from unlearnkit.results.schema import Result

__all__ = ["Column", "columns_of", "erasure", "forgotten", "kept", "preservation"]

Read = Callable[[Result], float | None]


@attrs.frozen
class Column:
    """One column: ``values`` gives a number for each identity, the mean over its seeds."""

    name: str
    title: str
    higher: bool
    values: Callable[[Sequence[Result]], dict[str, float]]
    help: str
    digits: int = 2

    @property
    def arrow(self) -> str:
        """Which way is better."""
        return "↑" if self.higher else "↓"


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
    return [column for column in _all_columns(results) if column.values(results)]


def _all_columns(results: Sequence[Result]) -> list[Column]:
    measured = sorted({name for result in results for name in result.metrics})
    attacks = sorted({name for result in results for name in result.audit or {}} - {"relearning"})
    return [
        _column("erasure", "erasure", True, erasure, "forgetting, in [0, 1]"),
        _column("preservation", "preservation", True, preservation, "everybody else stays, in [0, 1]"),
        _column("erased", "erased", False, _read("erased_after"), "likeness left at the erased latent"),
        _column("others", "others", False, _read("others_after"), "likeness left in the person's other pictures"),
        _column("bystanders", "bystanders", True, _read("bystanders_change"), "real others, before to after"),
        _column("random", "random people", True, _read("preserved_identity"), "drawn others, before to after"),
        *(_column(name, name.replace("frechet_", "Fréchet ").replace("_", " ") + ", paired", False, _read(name),
                  "distance of all pictures before and after, in this feature space; not FID", 1)
          for name in measured if re.fullmatch(r"frechet_(?!.*_(floor|unpaired)$).+", name)),
        *(_column(name, name.replace("_", " "), True, _read(name), "share of the pictures before still covered")
          for name in measured if re.fullmatch(r"coverage(_(?!.*_(floor|before)$).+)?", name)),
        Column("collapse", "collapse", False, _alike, "likeness among those who replaced different people"),
        _column("relearning", "relearning", True, _relearning, "steps until fine-tuning brings the person back; "
                "the whole budget where it does not", 0),
        *(_column(f"attack_{name}", name, False, _best(name), "best likeness that this attack finds")
          for name in attacks),
        _column("seconds", "time (s)", False, lambda result: result.seconds.get("unlearn"), "of unlearning alone", 1),
        _column("memory", "peak (MiB)", False, _memory, "of unlearning alone", 0),
    ]


def _column(name: str, title: str, higher: bool, read: Read, help: str, digits: int = 2) -> Column:
    def values(results: Sequence[Result]) -> dict[str, float]:
        by_identity: dict[str, list[float]] = {}
        for result in results:
            value = None if result.error is not None else read(result)
            if value is not None and math.isfinite(value):
                by_identity.setdefault(result.identity, []).append(value)
        return {identity: fmean(numbers) for identity, numbers in by_identity.items()}

    return Column(name, title, higher, values, help, digits)


def _read(name: str) -> Read:
    return lambda result: result.metrics.get(name)


def _memory(result: Result) -> float | None:
    return None if result.peak_bytes is None else result.peak_bytes / 2**20


def _relearning(result: Result) -> float | None:
    found = (result.audit or {}).get("relearning")
    if found is None:
        return None
    effort = found.numbers.get("effort_to_recognise")
    return float(found.budget) if effort is None else effort


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
