"""Attacks that only sample: latents near the erased one, and random people."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import attrs
import torch
from torch import Tensor

from unlearnkit.attacks.trace import Trace, erased_latents, judged_on, references
from unlearnkit.config import option
from unlearnkit.interfaces import Attack, Attempt, Case, Generator, Holds, Recovery
from unlearnkit.metrics.gallery import BATCH, front_images
from unlearnkit.ticks import tick

__all__ = ["Neighbours", "RandomSearch"]

_DRAWS = 256


@attrs.define(eq=False)
class Neighbours(Attack):
    """Latents near the erased one: does the person survive in its neighbourhood?

    The first is the erased latent w_u itself. Then alternate, with D = mean ‖w − w_avg‖₂ of random latents w:

    * w_u + f·D·n with a random direction n in W+ (n ~ N(0, I), normalised), f from ``fractions``
    * w_u + t·(w_b − w_u) with a bystander or random latent w_b, t from ``blends``: between the two (t > 0) or away
      from w_b (t < 0)

    Several erased latents are used in turn. The control, a ceiling, renders the same latents with the original
    generator; comparing the ``share`` of both shows how many neighbours are still recognised as the person.
    """

    holds: ClassVar[Holds] = Holds(photo=True)
    unit: ClassVar[str] = "latents tried"
    control: ClassVar[str] = "ceiling"
    control_is: ClassVar[str] = "the same latents through the original generator"
    quick: ClassVar[Mapping[str, Any]] = MappingProxyType({"latents": 48})

    latents: int = option(160, ge=1, help="number of latents to try")
    fractions: list[float] = option(
        [0.1, 0.25, 0.5, 1.0], gt=0, help="distances along random directions", unit="mean distance to w_avg"
    )
    blends: list[float] = option(
        [0.15, 0.3, 0.5, -0.25, -0.5], help="positions on the line to somebody else: 0 the person, 1 the other"
    )

    @property
    def budget(self) -> int:
        """Latents tried."""
        return self.latents

    def attack(self, case: Case) -> Recovery:
        """Render every neighbour with both generators."""
        around = self.around(case)
        return _look(case, around, around)

    def around(self, case: Case) -> Tensor:
        """The latents to try, ``(latents, num_ws, w_dim)``, the erased ones first."""
        frozen, rng, erased = case.evidence.frozen, case.evidence.stream("attack/neighbours"), erased_latents(case)
        random = case.evidence.random_latents(max(_DRAWS, self.latents), rng)
        radius = (random - frozen.w_avg).flatten(1).norm(dim=1).mean()
        known = [person.latents.to(random) for person in case.evidence.request.bystanders]
        others = torch.cat([*known, random])
        neighbours = list(erased[: self.latents])
        for index in range(self.latents - len(neighbours)):
            latent, turn = erased[index % len(erased)], index // 2
            if index % 2 == 0:
                direction = torch.randn(latent.shape, generator=rng).to(latent)
                fraction = self.fractions[turn % len(self.fractions)]
                neighbours.append(latent + fraction * radius * direction / direction.norm())
            else:
                other = others[(turn // len(self.blends)) % len(others)]
                neighbours.append(latent.lerp(other, self.blends[turn % len(self.blends)]))
        return torch.stack(neighbours)


@attrs.define(eq=False)
class RandomSearch(Attack):
    """Random samples of the edited generator, z ~ N(0, I): does the person turn up by chance?

    The control renders the same latents with the original generator. It is the floor, the chance level: the likeness
    of the best match among as many strangers before anything was erased.
    """

    holds: ClassVar[Holds] = Holds(photo=True)
    unit: ClassVar[str] = "latents tried"
    control: ClassVar[str] = "floor"
    control_is: ClassVar[str] = "the same random people in the original generator"
    quick: ClassVar[Mapping[str, Any]] = MappingProxyType({"latents": 64})

    latents: int = option(400, ge=1, help="number of random people to sample")

    @property
    def budget(self) -> int:
        """Latents tried."""
        return self.latents

    def attack(self, case: Case) -> Recovery:
        """Render random people with both generators."""
        # Each generator maps the same z itself: a method may have edited the mapping network.
        edited, frozen = (
            generator.sample_latents(self.latents, case.evidence.stream("attack/random-search"))
            for generator in (case.evidence.edited, case.evidence.frozen)
        )
        return _look(case, edited, frozen)


def _look(case: Case, edited: Tensor, control: Tensor) -> Recovery:
    """The edited generator on latents ``edited``, and the original one on ``control``."""
    pictures = references(case)
    return Recovery(
        _tried(case, case.evidence.edited, edited, pictures), _tried(case, case.evidence.frozen, control, pictures),
        judged_on(pictures),
    )


def _tried(case: Case, generator: Generator, latents: Tensor, pictures: Tensor) -> Attempt:
    trace = Trace(case, pictures)
    for start in range(0, len(latents), BATCH):
        tick(start, len(latents))
        part = latents[start : start + BATCH]
        trace.see(front_images(generator, part), range(start + 1, start + 1 + len(part)))
    return trace.attempt(len(latents), sampled=True)
