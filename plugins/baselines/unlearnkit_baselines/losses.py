"""Losses of simple baselines: gradient ascent, random relabelling, and a hinge on the person's direction."""

from __future__ import annotations

import attrs
import torch
from torch import Tensor

from unlearnkit.config import option
from unlearnkit.interfaces import Loss, Measures, Pairs, Rendering, Step

__all__ = ["Ascent", "Hinge", "RandomFace"]


def nearby(latents: Tensor, length: Tensor, step: Step) -> Tensor:
    """Each latent moved by ``length`` ``(N,)`` towards a random latent; L2 over all ``num_ws * w_dim`` elements."""
    return latents + length.to(latents, non_blocking=True)[:, None, None] * step.directions(latents)


@attrs.define
class Ascent(Loss):
    """Minimises ``identity * cos(E(I_u), E(I_s)) + features * mean cos(T_u, T_s)`` at the person.

    Gradient ascent in GED-Unlearning's released code minimises the mean cosine of tri-planes; the identity term is
    ours, since identity is what should be forgotten. Both terms are cosines because these are bounded by -1: an
    unbounded distance grows without limit, and its gradient drowns out every other loss. Where both generators agree a
    cosine is at its maximum and its gradient vanishes. The source draws fresh noise in each rendering and so never hits
    that point; here the edited latent is offset slightly from the person (``spread``), to the same effect.
    """

    identity: float = option(1.0, help="weight of the identity similarity", ge=0.0)
    features: float = option(1.0, help="weight of the feature cosine similarity", ge=0.0)
    spread: float = option(1.0, help="offset of the edited latent from the person", unit="latent units", gt=0.0)

    def pairs(self, step: Step) -> Pairs:
        """One pair per erased latent: a latent near it, resampled at each step, and the erased latent itself."""
        length = torch.full((len(step.erased),), self.spread)
        return step.pairs(nearby(step.erased, length, step), step.erased, constant=True)

    def weights(self) -> dict[str, float]:
        """The two weights by name."""
        return {"identity": self.identity, "features": self.features}

    def terms(self, edited: Rendering, frozen: Rendering, measures: Measures) -> dict[str, Tensor]:
        """Two cosines in [-1, 1], each ``(N,)``; the one of features is over channels, averaged over positions."""
        cosine = torch.cosine_similarity(edited.features, frozen.features, dim=1)
        return {"identity": measures.identity_similarity(edited, frozen), "features": cosine.flatten(1).mean(1)}


@attrs.define
class RandomFace(Loss):
    """``P(I_u(w_u), I_s(w_r))`` with a new random latent ``w_r`` at each step: no fixed target.

    GED-Unlearning's released code calls it RMU and uses LPIPS. Over many steps the minimiser is the face nearest to all
    random faces, so the person drifts towards an implicit mean face.
    """

    perceptual: float = option(1.0, help="weight of the perceptual distance", ge=0.0)

    def pairs(self, step: Step) -> Pairs:
        """One pair per erased latent."""
        return step.pairs(step.erased, step.random_latents(len(step.erased)))

    def weights(self) -> dict[str, float]:
        """The weight by name."""
        return {"perceptual": self.perceptual}

    def terms(self, edited: Rendering, frozen: Rendering, measures: Measures) -> dict[str, Tensor]:
        """The perceptual distance ``(N,)``."""
        return {"perceptual": measures.perceptual_distance(edited, frozen)}


@attrs.define
class Hinge(Loss):
    """``I_u(w) ~ I_s(w - max(0, p - t) e)``: clips each latent's component along the person's direction at a threshold.

    ``e = w_id / |w_id|``, ``w_id = w_u - w_avg``, ``p = <w - w_avg, e>``, over all ``num_ws * w_dim`` elements.
    Moon et al. (AAAI 2024, arXiv 2303.05699; a secondary source) do so in z, with e from the mean difference of
    images with and without a feature, a reconstruction loss and a perceptual loss. For one identity the natural
    direction is w_id. Weights and threshold are ours, as the source does not state them: t = 0.3 |w_id| is one standard
    deviation of random people's projections on the bundled world, so the person ends up within the normal range. Also
    ours: half of the latents are sampled near the person, since random ones hardly ever exceed the threshold.
    """

    samples: int = option(2, help="random latents per step, and as many near each person", ge=1)
    alpha_max: float = option(15.0, help="maximum distance of a latent near the person", unit="latent units", gt=0.0)
    threshold: float = option(0.3, help="threshold of the hinge (t)", unit="|w_id|", ge=0.0)
    pixels: float = option(1.0, help="weight of the mean absolute pixel difference", ge=0.0)
    perceptual: float = option(1.0, help="weight of the perceptual distance", ge=0.0)

    def pairs(self, step: Step) -> Pairs:
        """``samples`` random latents and ``samples`` near each erased one, resampled at each step."""
        around = step.erased.repeat_interleave(self.samples, 0)
        around = nearby(around, self.alpha_max * torch.rand(len(around), generator=step.rng), step)
        latents = torch.cat([step.random_latents(self.samples), around])
        return step.pairs(latents, self.drawn_back(latents, step.erased, step.edited.w_avg))

    def drawn_back(self, latents: Tensor, erased: Tensor, w_avg: Tensor) -> Tensor:
        """Latents ``(N, num_ws, w_dim)`` clipped at the threshold along each person's direction in turn."""
        for latent in erased:
            length = (latent - w_avg).norm().clamp_min(1e-12)
            direction = (latent - w_avg) / length
            beyond = ((latents - w_avg) * direction).flatten(1).sum(1) - self.threshold * length
            latents = latents - beyond.clamp_min(0)[:, None, None] * direction
        return latents

    def weights(self) -> dict[str, float]:
        """The two weights by name."""
        return {"pixels": self.pixels, "perceptual": self.perceptual}

    def terms(self, edited: Rendering, frozen: Rendering, measures: Measures) -> dict[str, Tensor]:
        """The two distances, each ``(N,)``."""
        return {
            "pixels": (edited.image - frozen.image).abs().flatten(1).mean(1),
            "perceptual": measures.perceptual_distance(edited, frozen),
        }
