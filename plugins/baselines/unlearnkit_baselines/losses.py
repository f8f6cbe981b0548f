"""Losses of simple baselines: away from what the person looks like, towards anybody, or as far as a hinge lets."""

from __future__ import annotations

import attrs
import torch
from torch import Tensor

from unlearnkit.config import option
from unlearnkit.interfaces import Loss, Measures, Pairs, Rendering, Step

__all__ = ["Ascent", "Hinge", "RandomFace"]


def nearby(latents: Tensor, length: Tensor, step: Step) -> Tensor:
    """Each latent moved by ``length`` ``(N,)`` towards a random latent; L2 norm over all ``num_ws * w_dim`` numbers."""
    return latents + length.to(latents, non_blocking=True)[:, None, None] * step.directions(latents)


@attrs.define
class Ascent(Loss):
    """``identity * cos(E(I_u), E(I_s)) + features * mean cos(T_u, T_s)`` at the person: minimised, so likeness falls.

    Gradient ascent in GED-Unlearning's program (read there) minimises the mean cosine of tri-planes; the identity term
    is ours, since the person is what shall go. Both are cosines because they end at -1: an unbounded distance can be
    driven up without end, and its gradient drowns every other loss on the way. Where both generators are alike a cosine
    is at its maximum and has no slope. The source's program draws fresh noise in each rendering and so never meets that
    point; here the edited latent lies a little beside the person (``spread``), which does the same with constant noise.
    """

    identity: float = option(1.0, help="weight of the identity similarity", ge=0.0)
    features: float = option(1.0, help="weight of the features' cosine", ge=0.0)
    spread: float = option(1.0, help="how far beside the person the edited latent lies", unit="latent units", gt=0.0)

    def pairs(self, step: Step) -> Pairs:
        """One pair a person: a latent beside it, drawn anew at each step, and the person itself."""
        length = torch.full((len(step.erased),), self.spread)
        return step.pairs(nearby(step.erased, length, step), step.erased, constant=True)

    def weights(self) -> dict[str, float]:
        """The two weights by name."""
        return {"identity": self.identity, "features": self.features}

    def terms(self, edited: Rendering, frozen: Rendering, measures: Measures) -> dict[str, Tensor]:
        """Two cosines in [-1, 1], each ``(N,)``; that of features is taken over channels, then averaged over places."""
        cosine = torch.cosine_similarity(edited.features, frozen.features, dim=1)
        return {"identity": measures.identity_similarity(edited, frozen), "features": cosine.flatten(1).mean(1)}


@attrs.define
class RandomFace(Loss):
    """``P(I_u(w_u), I_s(w_r))`` with a new random latent ``w_r`` at each step: the person becomes nobody in particular.

    GED-Unlearning's program calls it RMU and measures LPIPS (read there). Over many steps the best answer is the face
    that is nearest to all, so it drifts to a mean face without naming it.
    """

    perceptual: float = option(1.0, help="weight of the perceptual distance", ge=0.0)

    def pairs(self, step: Step) -> Pairs:
        """One pair a person."""
        return step.pairs(step.erased, step.random_latents(len(step.erased)))

    def weights(self) -> dict[str, float]:
        """The one weight by name."""
        return {"perceptual": self.perceptual}

    def terms(self, edited: Rendering, frozen: Rendering, measures: Measures) -> dict[str, Tensor]:
        """The perceptual distance ``(N,)``."""
        return {"perceptual": measures.perceptual_distance(edited, frozen)}


@attrs.define
class Hinge(Loss):
    """``I_u(w) ~ I_s(w - max(0, p - t) e)``: what lies too far towards the person is drawn back to a threshold.

    ``e = w_id / |w_id|``, ``w_id = w_u - w_avg``, ``p = <w - w_avg, e>``, over all ``num_ws * w_dim`` numbers.
    Moon et al. (AAAI 2024, arXiv 2303.05699; a secondary source) do so in z, with e from the mean difference of
    pictures with and without a feature, a reconstruction and a perceptual loss. For one identity the natural direction
    is w_id. Weights and threshold are ours, the source does not say them: t = 0.3 |w_id| is one standard deviation of
    random people's projections on the bundled world, so the person ends among the ordinary ones. Ours too is that half
    of the latents are drawn around the person: random ones hardly ever lie as far.
    """

    samples: int = option(2, help="random latents a step, and as many around each person", ge=1)
    alpha_max: float = option(15.0, help="farthest latent around the person", unit="latent units", gt=0.0)
    threshold: float = option(0.3, help="where the hinge begins (t)", unit="|w_id|", ge=0.0)
    pixels: float = option(1.0, help="weight of the mean absolute difference of pictures", ge=0.0)
    perceptual: float = option(1.0, help="weight of the perceptual distance", ge=0.0)

    def pairs(self, step: Step) -> Pairs:
        """``samples`` random latents and ``samples`` around each person, drawn anew at each step."""
        around = step.erased.repeat_interleave(self.samples, 0)
        around = nearby(around, self.alpha_max * torch.rand(len(around), generator=step.rng), step)
        latents = torch.cat([step.random_latents(self.samples), around])
        return step.pairs(latents, self.drawn_back(latents, step.erased, step.edited.w_avg))

    def drawn_back(self, latents: Tensor, erased: Tensor, w_avg: Tensor) -> Tensor:
        """Latents ``(N, num_ws, w_dim)`` without what they have beyond the threshold of each person, one by one."""
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
