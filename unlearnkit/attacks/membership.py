"""Membership: which of several people did the edit erase? For whoever has a photo of each."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import attrs
import torch
from torch import Tensor

from unlearnkit.attacks.difference import gap, shuffled
from unlearnkit.attacks.trace import Trace, erased_latents, judged_on, references
from unlearnkit.config import option
from unlearnkit.interfaces import Attack, Attempt, Case, Generator, Holds, Recovery
from unlearnkit.metrics.gallery import BATCH, front_images

__all__ = ["Membership"]


@attrs.define(eq=False)
class Membership(Attack):
    """Renders many people with base and edit, and names whom the edit changed most.

    The people are the erased one, the bystanders and random people, each at their latent (what an inverter finds for a
    photo). A person's score is how much the edit changed their identity, by the attacker's encoder; without one, how
    much it changed their picture perceptually. The face put forward is that of the highest score, so the effort is all
    of the people, or they are not found. The remark has the erased person's rank and the AUC: the share of the others
    who changed less (0.5: nothing is given away; 1: certain).

    The control, a floor, is the same with an edit of the same size in random order.
    """

    holds: ClassVar[Holds] = Holds(base=True, photo=True, encoder=True)
    unit: ClassVar[str] = "people compared"
    control: ClassVar[str] = "floor"
    control_is: ClassVar[str] = "the same with an edit of the same size in random order"
    quick: ClassVar[Mapping[str, Any]] = MappingProxyType({"people": 50})

    people: int = option(100, ge=2, help="people to compare, the erased one among them")

    @property
    def budget(self) -> int:
        """People compared."""
        return self.people

    def attack(self, case: Case) -> Recovery:
        """Compare with the edited generator, then with the shuffled edit."""
        evidence = case.evidence
        bystanders = [person.latents[:1].to(evidence.frozen.w_avg) for person in evidence.request.bystanders]
        random = evidence.random_latents(self.people, evidence.stream("attack/membership"))
        latents = torch.cat([erased_latents(case)[:1], *bystanders, random])[: self.people]
        (edited, remark), (control, _) = (
            self._name(case, generator, latents) for generator in (evidence.edited, shuffled(case)))
        return Recovery(edited, control, judged_on(references(case)), remark)

    @torch.no_grad()
    def _name(self, case: Case, edited: Generator, latents: Tensor) -> tuple[Attempt, str]:
        before, after = front_images(case.evidence.frozen, latents), front_images(edited, latents)
        pairs = zip(before.split(BATCH), after.split(BATCH), strict=True)
        scores = torch.cat([gap(case, *pair) for pair in pairs]).nan_to_num(nan=-1.0)
        trace = Trace(case, references(case))
        trace.see(before[scores.argmax()][None], [self.people])
        less = (scores[1:] < scores[0]).float().mean() + 0.5 * (scores[1:] == scores[0]).float().mean()
        rank = 1 + int((scores[1:] >= scores[0]).sum())
        return attrs.evolve(trace.attempt(self.people), guesses=before[scores.argmax()][None].cpu()), (
            f"The edit changed the erased person more than {100 * float(less):.0f} % of the {self.people - 1} others "
            f"(AUC {float(less):.2f}; rank {rank} of {self.people})."
        )
