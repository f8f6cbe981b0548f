"""The three losses of latent target unlearning (GUIDE, section 3.3): which latents, and which distance.

Each term is summed, not averaged, over its pairs, as in the released code.
"""

from __future__ import annotations

from typing import ClassVar

import attrs
import torch
from torch import Tensor

from unlearnkit.config import option
from unlearnkit.interfaces import Loss, Measures, Pairs, Rendering, Step

__all__ = ["Adjacency", "Global", "Local"]


@attrs.define
class Likeness(Loss):
    """``l(a, b) = mse * MSE(features) + perceptual * LPIPS(images) + identity * (1 - cos(identities))``."""

    mse: float = option(1e-2, help="weight of the mean squared feature difference", ge=0.0)
    perceptual: float = option(1.0, help="weight of the perceptual distance", ge=0.0)
    identity: float = option(0.1, help="weight of 1 - identity similarity", ge=0.0)

    def weights(self) -> dict[str, float]:
        """The three weights by name."""
        return {"mse": self.mse, "perceptual": self.perceptual, "identity": self.identity}

    def terms(self, edited: Rendering, frozen: Rendering, measures: Measures) -> dict[str, Tensor]:
        """The three distances, each ``(N,)``."""
        return {
            "mse": (edited.features - frozen.features).square().flatten(1).mean(1),
            "perceptual": measures.perceptual_distance(edited, frozen),
            "identity": 1 - measures.identity_similarity(edited, frozen),
        }


@attrs.define
class Local(Likeness):
    """``l(w_u, w_t)``: the erased latent renders as its target."""

    def pairs(self, step: Step) -> Pairs:
        """One pair per erased latent, the same at every step."""
        return step.pairs(step.erased, step.targets, constant=True)


@attrs.define
class Adjacency(Likeness):
    """``sum_i l(w_u + D_i, w_t + D_i)`` with ``D_i = alpha_i * (w_r - w_u) / |w_r - w_u|``, alpha ~ U[0, alpha_max].

    ``w_r`` is a random latent; the norm runs over all ``num_ws * w_dim`` elements. Erases the whole neighbourhood.
    """

    samples: int = option(2, help="neighbours per step and erased latent (N_a)", ge=1)
    alpha_max: float = option(15.0, help="maximum distance of a neighbour", unit="latent units", gt=0.0)

    def pairs(self, step: Step) -> Pairs:
        """``samples`` pairs per erased latent, resampled at every step."""
        erased = step.erased.repeat_interleave(self.samples, 0)
        targets = step.targets.repeat_interleave(self.samples, 0)
        directions = step.directions(erased)
        alpha = self.alpha_max * torch.rand(len(erased), generator=step.rng).to(erased.device, non_blocking=True)
        delta = alpha[:, None, None] * directions
        return step.pairs(erased + delta, targets + delta)


@attrs.define
class Global(Loss):
    """``sum_j LPIPS(I_edited(w_r), I_frozen(w_r))``: random faces are preserved."""

    retains: ClassVar[bool] = True
    samples: int = option(2, help="random latents per step (N_g)", ge=1)
    perceptual: float = option(1.0, help="weight of the perceptual distance", ge=0.0)

    def pairs(self, step: Step) -> Pairs:
        """``samples`` random latents, each paired with itself."""
        latents = step.random_latents(self.samples)
        return step.pairs(latents, latents)

    def weights(self) -> dict[str, float]:
        """The weight by name."""
        return {"perceptual": self.perceptual}

    def terms(self, edited: Rendering, frozen: Rendering, measures: Measures) -> dict[str, Tensor]:
        """The perceptual distance ``(N,)``."""
        return {"perceptual": measures.perceptual_distance(edited, frozen)}
