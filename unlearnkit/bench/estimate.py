"""How long cases take: a table of what they took on one core, corrected by what finished cases took here.

The table is from benchmarks/results/full.json (AMD EPYC, AVX-512, native kernels, one thread). On mobilestylegan GUIDE,
average-target and closed-form were timed, the others are in proportion to their steps on StyleGAN2. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from unlearnkit.bench.cases import Case
    from unlearnkit.results import Result

__all__ = ["Estimate", "about", "case_seconds"]


@attrs.frozen
class _Costs:
    """Seconds on one generator: ``step`` by method, ``once`` (before the steps) by method, the others for any method.

    * ``invert``: to find the latents of a person and of the bystanders, for all methods together
    * ``measure``: a case, and a sample
    """

    step: dict[str, float]
    once: dict[str, float]
    invert: float
    measure: tuple[float, float]
    audit: float


_COSTS = {
    "stylegan2": _Costs(
        step={"average-target": 0.15, "ewc": 0.45, "gradient-ascent": 0.38, "gradient-ascent-only": 0.14,
              "gradient-surgery": 0.69, "guide": 0.69, "guide-released": 1.13, "legato": 1.1, "projection-hinge": 0.52,
              "random-target": 0.41, "saliency": 0.45, "sugar": 0.4},
        once={"closed-form": 0.4, "ewc": 1.2, "saliency": 2.7, "sugar": 12.0}, invert=22.0, measure=(1.4, 0.07),
        audit=90.0,
    ),
    "eg3d": _Costs(
        step={"average-target": 0.61, "ewc": 1.8, "gradient-ascent": 1.8, "gradient-ascent-only": 0.63,
              "gradient-surgery": 3.0, "guide": 3.1, "guide-released": 3.9, "legato": 3.3, "projection-hinge": 2.8,
              "random-target": 1.8, "saliency": 1.6, "sugar": 1.5},
        once={"closed-form": 0.3, "ewc": 5.0, "saliency": 8.0, "sugar": 30.0}, invert=31.0, measure=(8.0, 0.64),
        audit=250.0,
    ),
    "mobilestylegan": _Costs(
        step={"average-target": 1.1, "ewc": 2.2, "gradient-ascent": 1.8, "gradient-ascent-only": 1.0,
              "gradient-surgery": 3.4, "guide": 3.3, "guide-released": 5.5, "legato": 5.3, "projection-hinge": 2.5,
              "random-target": 2.0, "saliency": 2.2, "sugar": 1.9},
        once={"closed-form": 2.0, "ewc": 5.0, "saliency": 12.0, "sugar": 50.0}, invert=120.0, measure=(10.0, 1.2),
        audit=900.0,
    ),
}
_TRUST = 10.0
"""Seconds of finished cases from which on they count for more than the table."""


def case_seconds(case: Case) -> float:
    """What the table says of a case, but for inversion; a method that it does not know costs as much as the mean."""
    costs = _costs(case)
    steps = case.profile.steps.get(case.generator, 0)
    closed = case.method in costs.once and case.method not in costs.step
    a_step = 0.0 if closed else costs.step.get(case.method, fmean(costs.step.values()))
    fixed, a_sample = costs.measure
    return (a_step * steps + costs.once.get(case.method, 0.0) + fixed + a_sample * case.profile.samples
            + (costs.audit if case.audited else 0.0))


class Estimate:
    """How long the cases that are left will take; every finished case makes it better."""

    def __init__(self) -> None:
        self._expected = self._taken = _TRUST

    def learn(self, case: Case, result: Result) -> None:
        """Note what a case took, on this computer; a failed one says nothing."""
        if result.error is None:
            self._expected += case_seconds(case)
            self._taken += sum(seconds for phase, seconds in result.seconds.items() if phase != "invert")

    def left(self, cases: Sequence[Case], after: Case | None = None) -> float:
        """Seconds that ``cases`` will take; each person's latents are found once, and are known ``after`` a case."""
        people = {_person(case): case for case in cases}
        if after is not None:
            people.pop(_person(after), None)
        expected = sum(map(case_seconds, cases)) + sum(_costs(case).invert for case in people.values())
        return expected * self._taken / self._expected


def about(seconds: float) -> str:
    """``about 40 seconds``, ``about 5 minutes``, ``about 2.5 hours``."""
    if seconds < 90:
        return f"about {max(10, round(seconds, -1)):.0f} seconds"
    if seconds < 5400:
        return f"about {seconds / 60:.0f} minutes"
    return f"about {seconds / 3600:.1f} hours"


def _person(case: Case) -> tuple[str, str, str, int]:
    return case.generator, case.scenario, case.identity.name, case.seed


def _costs(case: Case) -> _Costs:
    return _COSTS.get(case.generator, _COSTS["stylegan2"])
