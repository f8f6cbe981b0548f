"""Run attacks in memory, and turn their results into numbers and findings in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs
from torch import Tensor

from unlearnkit.attacks.identification import Identified, identify
from unlearnkit.attacks.words import Finding, finding, speedup
from unlearnkit.interfaces import Attack, Attempt, Case, Evidence, Holds, IdentityEncoder
from unlearnkit.metrics.identity import Identity
from unlearnkit.report.verdict import Levels, levels

__all__ = ["Result", "effort_to_recognise", "judge_levels", "run_attacks"]


@attrs.frozen(eq=False)
class Result:
    """The result of one attack on one person.

    * ``effort_to_recognise``: the first effort at which the judge recognises them, or None: not within ``budget``;
      ``control_effort`` is the same for the control
    * ``speedup``: control effort / effort, for attacks with a floor; 1 means as forgotten as somebody never seen, more
      that the edit only hides the person. ``speedup_is``: ``exact``, ``at least``, ``at most`` (one of the two was not
      recognised within the budget) or ``unknown``
    * ``identified``: the person's rank among candidates, for attacks without a photo; ``control_identified`` is the
      same for the control
    """

    attack: str
    person: str
    holds: Holds
    unit: str
    budget: int
    edited: Attempt
    control: Attempt
    control_kind: str
    control_is: str
    judged_on: str
    effort_to_recognise: int | None
    control_effort: int | None
    speedup: float | None
    speedup_is: str
    identified: Identified | None
    control_identified: Identified | None
    remark: str
    finding: Finding

    def plain(self) -> dict[str, Any]:
        """Plain values for JSON, without the pictures."""
        control = {"kind": self.control_kind, "is": self.control_is, **_plain(self.control, self.control_effort),
                   "identified": _identified(self.control_identified)}
        floor = {"speedup": self.speedup, "speedup_is": self.speedup_is} if self.control_kind == "floor" else {}
        return {
            "attack": self.attack, "person": self.person, "holds": attrs.asdict(self.holds),
            "unit": self.unit, "budget": self.budget,
            **_plain(self.edited, self.effort_to_recognise), self.control_kind: control.pop("best"), **floor,
            "tone": self.finding.tone, "answer": self.finding.answer, "verdict": self.finding.sentence,
            "identified": _identified(self.identified), "remark": self.remark,
            "judged_on": self.judged_on, "control": control,
        }


def run_attacks(
    evidence: Evidence, attacks: Mapping[str, Attack], *, targets: Tensor | None = None,
    identity: IdentityEncoder | None = None, scale: Levels | None = None,
    tell: Callable[[str, str], None] = lambda attack, person: None,
) -> list[Result]:
    """Run prepared ``attacks`` (by name) on each person of ``evidence.request``; needs no run directory.

    * ``targets``: the target of each erased latent, one row each, in the order of the request; the floor of
      ``relearning`` starts at a person's first
    * ``identity``: an encoder that the attacker may use (typically the one of the losses), never the judge
    * ``scale``: the judge's levels; by default :func:`judge_levels` of this evidence
    * ``tell``: called with the names of attack and person before each attempt

    Deterministic for a given evidence. Generators and request are not modified. The budget of an attack is one of its
    options: ``Relearning(steps=20)``.
    """
    scale = judge_levels(evidence) if scale is None else scale
    results = []
    for name, attack in attacks.items():
        row = 0
        for person in evidence.request.people:
            tell(name, person.name)
            target = None if targets is None else targets[row : row + 1]
            row += person.n_erased
            results.append(_run(name, attack, Case(evidence, person, target, identity, scale.border), scale))
    return results


def judge_levels(evidence: Evidence) -> Levels:
    """Similarity of strangers and of one person's pictures: the judge's own levels, else those of this evidence."""
    known = evidence.judge.levels()
    if known is not None and {"strangers", "same_person"} <= known.keys():
        return Levels(known["strangers"], known["same_person"], known.get("border"))
    return levels(Identity().measure(evidence))


def effort_to_recognise(attempt: Attempt, border: float | None) -> int | None:
    """The first effort at which the likeness reaches the border; None if it never does, or without a border."""
    return next((effort for effort, best in attempt.points if border is not None and best >= border), None)


def _run(name: str, attack: Attack, case: Case, scale: Levels) -> Result:
    recovery = attack.attack(case)
    effort, control = (effort_to_recognise(attempt, case.border) for attempt in (recovery.edited, recovery.control))
    ratio, exact = speedup(effort, control, attack.budget) if attack.control == "floor" else (None, "unknown")
    identified, beside = (None if attempt.guesses is None else identify(case, attempt.guesses)
                          for attempt in (recovery.edited, recovery.control))
    return Result(
        name, case.person.name, attack.holds, attack.unit, attack.budget, recovery.edited, recovery.control,
        attack.control, attack.control_is, recovery.judged_on, effort, control, ratio, exact, identified, beside,
        recovery.remark, finding(attack, recovery, (effort, control), (ratio, exact), scale, identified),
    )


def _identified(found: Identified | None) -> dict[str, Any] | None:
    return None if found is None else {**attrs.asdict(found), "chance": found.chance}


def _plain(attempt: Attempt, effort: int | None) -> dict[str, Any]:
    return {
        "effort_to_recognise": effort, "best": attempt.points[-1][1], "share_recognised": attempt.share,
        "curve": [list(point) for point in attempt.points],
    }
