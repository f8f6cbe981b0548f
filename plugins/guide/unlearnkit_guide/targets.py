"""Target selectors of GUIDE: what the generator should produce instead of the erased person."""

from __future__ import annotations

import attrs
import torch
from torch import Tensor

from unlearnkit.config import option
from unlearnkit.interfaces import Generator, TargetSelector
from unlearnkit.streams import stream

__all__ = ["Average", "Ufo", "mean_radius"]

RADIUS_SAMPLES = 1000


def mean_radius(generator: Generator, samples: int = RADIUS_SAMPLES) -> float:
    """Mean distance of random latents from ``w_avg``: the L2 norm over all ``num_ws * w_dim`` elements.

    A length scale for this generator's latent space, estimated from a fixed seed.
    """
    offsets = generator.sample_latents(samples, stream(0, "guide/mean-radius")) - generator.w_avg.detach()
    return float(offsets.flatten(1).norm(dim=1).mean())


@attrs.define
class Ufo(TargetSelector):
    """Un-Identifying Face On latent space: ``w_t = w_avg - d * w_id / |w_id|``, ``w_id = w_u - w_avg``.

    The norm runs over all ``num_ws * w_dim`` elements (GUIDE, section 3.2; d = 30 on EG3D's 14 x 512). ``rows``, ours,
    changes nothing for a latent whose rows are all alike.
    """

    distance: float = option(30.0, help="distance of the target beyond the mean face (d)", unit="see unit", ge=0.0)
    rows: str = option(
        "each", choices=("each", "mean"),
        help="each: away from the person in every row of the latent; mean: along the offset that all rows share, for "
        "photos inverted into W+, most of whose offset is not common to its rows and leads off the manifold",
    )
    unit: str = option(
        "latent", help="unit of distance: latent units, or the mean distance of random latents from w_avg",
        choices=("latent", "mean-radius"),
    )

    def select(self, erased: Tensor, generator: Generator, rng: torch.Generator) -> Tensor:
        """``(P, num_ws, w_dim)`` -> the points at distance d beyond the mean. Deterministic; ``rng`` is unused."""
        offset = erased - generator.w_avg
        if self.rows == "mean":
            offset = offset.mean(1, keepdim=True).expand_as(offset)
        length = offset.flatten(1).norm(dim=1).clamp_min(1e-12)[:, None, None]
        scale = 1.0 if self.unit == "latent" else mean_radius(generator)
        return generator.w_avg - self.distance * scale * offset / length


@attrs.define
class Average(TargetSelector):
    """``w_t = w_avg``: everyone becomes the mean face (the baseline of GUIDE's released code)."""

    def select(self, erased: Tensor, generator: Generator, rng: torch.Generator) -> Tensor:
        """``(P, num_ws, w_dim)`` -> copies of the mean latent. Deterministic; ``rng`` is unused."""
        return generator.w_avg.expand_as(erased).clone()
