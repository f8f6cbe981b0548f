"""Whom does a face show? Scores what an attacker without a photo puts forward."""

from __future__ import annotations

import attrs
import torch
from torch import Tensor

from unlearnkit.attacks.trace import references
from unlearnkit.interfaces import Case
from unlearnkit.metrics.gallery import BATCH, front_images

__all__ = ["ENOUGH", "Identified", "identify"]

CANDIDATES = 20
"""People among whom the erased one is looked for, where as many can be drawn."""
ENOUGH = 10
"""With fewer candidates, being named first says little."""


@attrs.frozen
class Identified:
    """The erased person's place among ``candidates`` people, 1 the one whom the guesses resemble most.

    Among too few candidates (less than :data:`ENOUGH`) it decides nothing.
    """

    rank: int
    candidates: int

    @property
    def chance(self) -> float:
        """The probability that a guess knowing nothing names them first."""
        return 1 / self.candidates

    @property
    def named(self) -> bool:
        """True if they are named first, among enough candidates."""
        return self.rank == 1 and self.candidates >= ENOUGH


@torch.no_grad()
def identify(case: Case, guesses: Tensor) -> Identified:
    """The person's rank among the candidates, by the judge's likeness to the best of the ``guesses`` ``(G, 3, H, W)``.

    The candidates are the person, the request's bystanders, and random people of the original generator. A random
    person whom the judge takes for the erased one is left out, so there may be fewer than :data:`CANDIDATES`. Whoever
    resembles the guesses as much as the person does, comes before them.
    """
    evidence, judge = case.evidence, case.evidence.judge

    def embed(images: Tensor) -> Tensor:
        return torch.cat([judge.embed(part) for part in images.split(BATCH)])

    def likeness(pictures: Tensor) -> float:
        seen = (embed(guesses.to(pictures)) @ embed(pictures).T).mean(1)
        return float(seen.nan_to_num(nan=-1.0).max())

    own = references(case)
    bystanders = [person.pictures.to(own) if person.pictures is not None else
                  front_images(evidence.frozen, person.latents.to(own)) for person in evidence.request.bystanders]
    drawn = front_images(evidence.frozen, evidence.random_latents(2 * CANDIDATES, evidence.stream("attack/candidates")))
    known = (embed(drawn) @ embed(own).T).mean(1)
    strangers = drawn if case.border is None else drawn[known < case.border]
    others = [*bystanders, *strangers[:, None]][: CANDIDATES - 1]
    person = likeness(own)
    return Identified(1 + sum(likeness(other) >= person for other in others), 1 + len(others))
