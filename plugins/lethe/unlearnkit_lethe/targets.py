"""Whom to show instead: the nearest face that is somebody else."""

from __future__ import annotations

import attrs
import torch
from torch import Tensor

from unlearnkit.config import option
from unlearnkit.errors import ConfigError
from unlearnkit.interfaces import Generator, IdentityEncoder, Measures, TargetSelector
from unlearnkit.streams import stream

__all__ = ["NearestStranger", "spread", "strangers_level"]

SPREAD_SAMPLES = 600


def spread(generator: Generator) -> float:
    """Standard deviation of the elements of random latents, from a fixed seed: a length scale of the latent space."""
    offsets = generator.sample_latents(SPREAD_SAMPLES, stream(0, "lethe/spread")) - generator.w_avg.detach()
    return max(float(offsets.square().mean().sqrt()), 1e-8)


def strangers_level(identity: IdentityEncoder) -> float:
    """The similarity below which this encoder sees a stranger: its own level of two strangers, at least zero."""
    levels = identity.levels() or {}
    return max(0.0, levels.get("strangers", 0.0))


@attrs.define
class NearestStranger(TargetSelector):
    """From the person, Adam on one offset for all rows until the loss's encoder sees somebody else, and no further.

    Minimises ``identity * max(0, similarity - strangers' level) + perceptual * P(face, person) + stay *
    mean(offset^2)`` on the frozen generator, with the offset in standard deviations of the latents.

    On the bundled world it may be the same face in another colour (docs/lethe.md shows one).

    UFO's target is the person's mirror image, so an edit tells who was erased, and everybody between the two moves.
    """

    steps: int = option(40, help="optimiser steps", ge=1, le=10_000)
    step_size: float = option(0.03, help="Adam's learning rate", unit="standard deviations of the latents", gt=0.0)
    identity: float = option(4.0, help="weight of being recognised", ge=0.0)
    perceptual: float = option(0.3, help="weight of looking different", ge=0.0)
    stay: float = option(0.02, help="weight of the mean squared offset", ge=0.0)
    _targets: dict[bytes, Tensor] = attrs.field(init=False, factory=dict, repr=False)

    def fit(self, erased: Tensor, generator: Generator, measures: Measures, rng: torch.Generator) -> None:
        """Find the stranger of each latent ``(P, num_ws, w_dim)``, one after the other; deterministic."""
        scale = spread(generator)
        self._targets = {_key(one): self._find(one[None], generator, measures, scale)[0] for one in erased}

    def select(self, erased: Tensor, generator: Generator, rng: torch.Generator) -> Tensor:
        """``(P, num_ws, w_dim)`` -> the strangers that :meth:`fit` found for them.

        :raises ConfigError: for a latent that was not fitted.
        """
        missing = [number for number, one in enumerate(erased) if _key(one) not in self._targets]
        if missing:
            raise ConfigError(f"target nearest-stranger: latent {missing[0]} was not fitted, and other latents have no "
                              "stranger of their own; choose a loss that asks for no more targets")
        return torch.stack([self._targets[_key(one)] for one in erased])

    def _find(self, erased: Tensor, generator: Generator, measures: Measures, scale: float) -> Tensor:
        level = strangers_level(measures.identity)
        with torch.no_grad():
            person = generator.render_front(erased)
            face, features = measures.embed(person), measures.features(person)
        offset = torch.zeros_like(erased[:, :1], requires_grad=True)
        adam = torch.optim.Adam([offset], lr=self.step_size)
        for _ in range(self.steps):
            image = generator.render_front(erased + scale * offset)
            recognised = ((measures.embed(image) * face).sum(1) - level).clamp_min(0)
            different = measures.perceptual.distance(measures.features(image), features)
            loss = self.identity * recognised + self.perceptual * different + self.stay * offset.square().mean((1, 2))
            (offset.grad,) = torch.autograd.grad(loss.sum(), [offset])
            adam.step()
        return (erased + scale * offset).detach()


def _key(latent: Tensor) -> bytes:
    return latent.detach().cpu().numpy().tobytes()
