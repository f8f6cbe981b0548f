"""Volume rendering of tri-planes, lean: what EG3D's renderer computes, without what it computes in vain.

Formulas: Chan et al., "Efficient Geometry-aware 3D Generative Adversarial Networks", CVPR 2022; importance sampling and
compositing as in Mildenhall et al., NeRF, ECCV 2020, section 5, with the constants of EG3D's release. `plain_volume`
has the same functions as the papers write them; tests hold the two together. Three savings:

- EG3D's third plane is read at (z, x) where its second is read at (x, z), so the third transposed joins the second and
  two planes are sampled instead of three.
- The coarse pass is never composited: importance sampling needs its weights only, without a gradient. Its samples are
  looked at once and count in the picture with the fine ones.
- Colours are never sorted by depth. A sample's share of its ray is (the weight of the interval before it + that of the
  one behind it) / 2, because an interval shows the mean of its two ends; so only densities are sorted, and one batched
  product makes the picture.

This is the seam for native kernels: depths and rays carry no gradient here, planes, densities and colours do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["Composite", "Look", "composite", "importance", "interval_weights", "march", "merged_planes",
           "sample_planes"]

PDF_EPS = 1e-5
WEIGHT_FLOOR = 0.01
OPAQUE_EPS = 1e-10

Look = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Depths ``(N, R, S)`` -> densities ``(N, R, S)`` before their softplus, and colours ``(N, R, S, C)``."""


class Composite(NamedTuple):
    """Of each ray: colours ``(N, R, C)``, depth ``(N, R)``, opacity ``(N, R)``."""

    colours: Tensor
    depth: Tensor
    opacity: Tensor


def merged_planes(planes: Tensor) -> Tensor:
    """Tri-planes ``(N, 3, C, h, h)`` -> the two planes ``(N, 2, C, h, h)`` whose samples *add up* to their mean."""
    xy, xz, zx = planes.unbind(1)
    return torch.stack([xy, xz + zx.transpose(-1, -2)], 1) / 3


def sample_planes(merged: Tensor, points: Tensor, box_warp: float) -> Tensor:
    """Features ``(N, M, C)`` of points ``(N, M, 3)`` on the planes of :func:`merged_planes`; zeros outside the box."""
    x, y, z = (points * (2 / box_warp)).unbind(-1)
    grid = torch.stack([torch.stack([x, y], -1), torch.stack([x, z], -1)], 1)
    found = F.grid_sample(merged.flatten(0, 1), grid.flatten(0, 1)[:, None], mode="bilinear", padding_mode="zeros",
                          align_corners=False)
    xy, xz = found[:, :, 0].unflatten(0, merged.shape[:2]).unbind(1)
    return (xy + xz).transpose(1, 2)


def interval_weights(depths: Tensor, densities: Tensor) -> Tensor:
    """Weight of each interval between sorted depths ``(N, R, S)``: ``(N, R, S - 1)``."""
    delta = depths.diff(dim=-1)
    middle = (densities[..., 1:] + densities[..., :-1]) / 2
    alpha = 1 - torch.exp(-F.softplus(middle - 1) * delta)
    through = torch.cumprod(torch.cat([torch.ones_like(alpha[..., :1]), 1 - alpha + OPAQUE_EPS], -1), -1)
    return alpha * through[..., :-1]


@torch.no_grad()
def importance(depths: Tensor, weights: Tensor, draws: Tensor) -> Tensor:
    """Depths ``(N, R, F)`` drawn where the coarse weights ``(N, R, S - 1)`` are: they carry no gradient."""
    flat = weights.flatten(0, 1)[:, None]
    smooth = F.avg_pool1d(F.max_pool1d(flat, 2, 1, padding=1), 2, 1)[:, 0] + WEIGHT_FLOOR
    bins = (depths[..., 1:] + depths[..., :-1]).flatten(0, 1) / 2
    pdf = smooth[:, 1:-1] + PDF_EPS
    cdf = torch.cat([torch.zeros_like(pdf[:, :1]), torch.cumsum(pdf / pdf.sum(-1, keepdim=True), -1)], -1)
    u = draws.flatten(0, 1).contiguous()
    above = torch.searchsorted(cdf, u, right=True)
    below, above = (above - 1).clamp_min(0), above.clamp_max(pdf.shape[-1])
    low, high = cdf.gather(1, below), cdf.gather(1, above)
    start, end = bins.gather(1, below), bins.gather(1, above)
    width = torch.where(high - low < PDF_EPS, torch.ones_like(low), high - low)
    return (start + (u - low) / width * (end - start)).unflatten(0, depths.shape[:2])


def march(look: Look, depths: Tensor, draws: Tensor, white_back: bool = False) -> Composite:
    """Look at coarse ``depths`` ``(N, R, S)``, draw finer ones where something is, composite all.

    Each sample is looked at once: the coarse ones count in the picture too. ``draws`` ``(N, R, F)`` in [0, 1); F may
    be 0.
    """
    density, colour = look(depths)
    if draws.shape[-1]:
        more = importance(depths, interval_weights(depths, density.detach()), draws)
        fine = look(more)
        depths = torch.cat([depths, more], -1)
        density, colour = torch.cat([density, fine[0]], -1), torch.cat([colour, fine[1]], 2)
    return composite(depths, density, colour, white_back)


def composite(depths: Tensor, density: Tensor, colour: Tensor, white_back: bool = False) -> Composite:
    """Samples in any order, ``(N, R, S)`` and colours ``(N, R, S, C)`` -> what each ray sees."""
    ordered, order = depths.sort(dim=-1)
    weights = interval_weights(ordered, density.gather(-1, order))
    share = (F.pad(weights, (1, 0)) + F.pad(weights, (0, 1))) / 2
    unsorted = torch.zeros_like(share).scatter(-1, order, share)
    colours = (unsorted[..., None, :] @ colour)[..., 0, :]
    opacity = weights.sum(-1)
    middle = (ordered[..., 1:] + ordered[..., :-1]) / 2
    depth = ((weights * middle).sum(-1) / opacity).nan_to_num(float("inf"))
    depth = depth.clamp(depths.min(), depths.max())  # over the whole batch, as the release does
    if white_back:
        colours = colours + 1 - opacity[..., None]
    return Composite(colours, depth, opacity)
