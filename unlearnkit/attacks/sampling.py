"""Attacks that only look: latents around the erased one, and random people."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import attrs
import torch
from torch import Tensor

from unlearnkit.attacks.trace import Trace, erased_latents, references
from unlearnkit.config import option
from unlearnkit.interfaces import Attack, Attempt, Case, Generator, Recovery
from unlearnkit.metrics.gallery import BATCH, front_images

__all__ = ["Neighbours", "RandomSearch"]

_DRAWS = 256


@attrs.define(eq=False)
class Neighbours(Attack):
    """Latents around the erased one: does the person stand just beside the place that was erased?

    The first is the erased latent w_u itself. Then come, in turn, with D = mean ‖w − w_avg‖₂ of random latents w:

    * w_u + f·D·n with a random direction n in W+ (n ~ N(0, I), then of unit length), f from ``fractions``
    * w_u + t·(w_b − w_u) with a bystander or random latent w_b, t from ``blends``: between the two (t > 0) or away
      from w_b (t < 0)

    Several erased latents take turns. The control, a ceiling, is what the original generator makes of the same
    latents; ``share`` of both says how many neighbours are still the person, where once so many were.
    """

    unit: ClassVar[str] = "latents tried"
    control: ClassVar[str] = "ceiling"
    control_is: ClassVar[str] = "the same latents through the original generator"
    quick: ClassVar[Mapping[str, Any]] = MappingProxyType({"latents": 48})

    latents: int = option(160, ge=1, help="how many latents to try")
    fractions: list[float] = option(
        [0.1, 0.25, 0.5, 1.0], gt=0, help="distances of random directions", unit="mean distance to w_avg"
    )
    blends: list[float] = option(
        [0.15, 0.3, 0.5, -0.25, -0.5], help="places on the line to somebody else: 0 the person, 1 the other"
    )

    @property
    def budget(self) -> int:
        """Latents tried."""
        return self.latents

    def attack(self, case: Case) -> Recovery:
        """Look at every neighbour, in both generators."""
        around = self.around(case)
        return _look(case, around, around)

    def around(self, case: Case) -> Tensor:
        """The latents to try, ``(latents, num_ws, w_dim)``, the erased ones first."""
        before, rng, erased = case.evidence.frozen, case.evidence.stream("attack/neighbours"), erased_latents(case)
        random = case.evidence.random_latents(max(_DRAWS, self.latents), rng)
        far = (random - before.w_avg).flatten(1).norm(dim=1).mean()
        known = [person.latents.to(random) for person in case.evidence.request.bystanders]
        others = torch.cat([*known, random])
        found = list(erased[: self.latents])
        for index in range(self.latents - len(found)):
            source, turn = erased[index % len(erased)], index // 2
            if index % 2 == 0:
                direction = torch.randn(source.shape, generator=rng).to(source)
                fraction = self.fractions[turn % len(self.fractions)]
                found.append(source + fraction * far * direction / direction.norm())
            else:
                other = others[(turn // len(self.blends)) % len(others)]
                found.append(source.lerp(other, self.blends[turn % len(self.blends)]))
        return torch.stack(found)


@attrs.define(eq=False)
class RandomSearch(Attack):
    """Random people of the edited generator, z ~ N(0, I): does the person turn up by themselves?

    The control is what the original generator makes of the same latents. It is the floor, since it is chance: among
    so many strangers, that is how like the person the best one was before anything was erased.
    """

    unit: ClassVar[str] = "latents tried"
    control: ClassVar[str] = "floor"
    control_is: ClassVar[str] = "the same random people in the original generator"
    quick: ClassVar[Mapping[str, Any]] = MappingProxyType({"latents": 64})

    latents: int = option(400, ge=1, help="how many random people to look at")

    @property
    def budget(self) -> int:
        """Latents tried."""
        return self.latents

    def attack(self, case: Case) -> Recovery:
        """Look at random people, in both generators."""
        # From the same z each generator maps for itself: a method may have edited the mapping.
        after, before = (
            generator.sample_latents(self.latents, case.evidence.stream("attack/random-search"))
            for generator in (case.evidence.edited, case.evidence.frozen)
        )
        return _look(case, after, before)


def _look(case: Case, edited: Tensor, control: Tensor) -> Recovery:
    """What the edited generator makes of ``edited``, beside what the original one makes of ``control``."""
    pictures = references(case)
    return Recovery(
        _tried(case, case.evidence.edited, edited, pictures), _tried(case, case.evidence.frozen, control, pictures),
        f"all {len(pictures)} pictures of the person" if len(pictures) > 1 else "the person's picture",
    )


def _tried(case: Case, generator: Generator, latents: Tensor, pictures: Tensor) -> Attempt:
    trace = Trace(case, pictures)
    for start in range(0, len(latents), BATCH):
        part = latents[start : start + BATCH]
        trace.see(front_images(generator, part), range(start + 1, start + 1 + len(part)))
    return trace.attempt(len(latents), sampled=True)
