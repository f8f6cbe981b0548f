"""Volume rendering of tri-planes: the results of EG3D's renderer, without its redundant work.

Formulas: Chan et al., "Efficient Geometry-aware 3D Generative Adversarial Networks", CVPR 2022; importance sampling and
compositing as in Mildenhall et al., NeRF, ECCV 2020, section 5, with the constants of EG3D's release. `plain_volume`
implements the same functions as in the papers; tests compare the two. Three savings:

- EG3D's third plane is sampled at (z, x) and its second at (x, z), so the third is transposed and added to the second,
  and two planes are sampled instead of three.
- The coarse pass is never composited: importance sampling needs only its weights, without a gradient. Its samples are
  evaluated once and composited together with the fine ones.
- Colours are never sorted by depth. A sample's weight in its ray is (the weight of the interval before it + that of the
  one after it) / 2, because an interval has the mean colour of its two ends; so only densities are sorted, and one
  batched product gives the colours.

The native kernels (extensions/) compute the same: depths and rays carry no gradient here, planes and decoder do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    "Composite", "DecoderWeights", "Look", "composite", "decode", "finished", "importance", "interval_weights",
    "looking", "march", "merged_planes", "render_composite", "render_gradients", "sample_gradient", "sample_merged",
]

PDF_EPS = 1e-5
WEIGHT_FLOOR = 0.01
OPAQUE_EPS = 1e-10

DecoderWeights = tuple[Tensor, Tensor, Tensor, Tensor]
"""w1 ``(64, 32)``, b1 ``(64,)``, w2 ``(33, 64)``, b2 ``(33,)`` of EG3D's decoder, or other sizes; gains applied."""

Look = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Depths ``(N, R, S)`` -> densities ``(N, R, S)`` before their softplus, and colours ``(N, R, S, C)``."""


class Composite(NamedTuple):
    """Per ray: colours ``(N, R, C)``, depth ``(N, R)``, opacity ``(N, R)``."""

    colours: Tensor
    depth: Tensor
    opacity: Tensor


def merged_planes(planes: Tensor) -> Tensor:
    """Tri-planes ``(N, 3, C, h, h)`` -> the two planes ``(N, 2, C, h, h)`` whose samples *add up* to their mean."""
    xy, xz, zx = planes.unbind(1)
    return torch.stack([xy, xz + zx.transpose(-1, -2)], 1) / 3


def sample_merged(merged: Tensor, points: Tensor, box_warp: float) -> Tensor:
    """Features ``(N, M, C)`` of points ``(N, M, 3)`` on the planes of :func:`merged_planes`; zeros outside the box."""
    found = F.grid_sample(merged.flatten(0, 1), _grid(points, box_warp), mode="bilinear", padding_mode="zeros",
                          align_corners=False)
    xy, xz = found[:, :, 0].unflatten(0, merged.shape[:2]).unbind(1)
    return (xy + xz).transpose(1, 2)


def _grid(points: Tensor, box_warp: float) -> Tensor:
    x, y, z = (points * (2 / box_warp)).unbind(-1)
    return torch.stack([torch.stack([x, y], -1), torch.stack([x, z], -1)], 1).flatten(0, 1)[:, None]


def sample_gradient(grad: Tensor, planes: Tensor, points: Tensor, box_warp: float) -> Tensor:
    """Gradient of tri-planes ``(N, 3, C, h, h)`` given that of the features ``(N, M, C)``, without autograd."""
    both = grad.transpose(1, 2)[:, None].expand(-1, 2, -1, -1).flatten(0, 1)[:, :, None]
    merged = planes[:, :2].flatten(0, 1)  # only its shape counts
    found: Tensor = torch.ops.aten.grid_sampler_2d_backward(
        both, merged, _grid(points, box_warp), 0, 0, False, [True, False])[0]
    xy, xz = found.unflatten(0, (len(planes), 2)).unbind(1)
    return torch.stack([xy, xz, xz.transpose(-1, -2)], 1) / 3


def decode(features: Tensor, weights: DecoderWeights, margin: float) -> tuple[Tensor, Tensor]:
    """EG3D's decoder: features ``(..., C)`` -> density ``(...)`` before its softplus, and colours ``(..., K)``.

    Colours are sigmoids, rescaled to ``[-margin, 1 + margin]`` (from MipNeRF, as in the release).
    """
    w1, b1, w2, b2 = weights
    hidden = F.softplus(torch.addmm(b1, features.flatten(0, -2), w1.T))
    out = torch.addmm(b2, hidden, w2.T).unflatten(0, features.shape[:-1])
    return out[..., 0], torch.sigmoid(out[..., 1:]) * (1 + 2 * margin) - margin


def looking(planes: Tensor, weights: DecoderWeights, origins: Tensor, directions: Tensor, box_warp: float,
            margin: float) -> Look:
    """A function that evaluates density and colour at depths along rays ``(N, R, 3)``, for tri-planes of that shape."""
    merged = merged_planes(planes)

    def look(depths: Tensor) -> tuple[Tensor, Tensor]:
        points = origins[:, :, None] + depths[..., None] * directions[:, :, None]
        density, colour = decode(sample_merged(merged, points.flatten(1, 2), box_warp), weights, margin)
        return density.unflatten(1, depths.shape[1:]), colour.unflatten(1, depths.shape[1:])

    return look


def interval_weights(depths: Tensor, densities: Tensor) -> Tensor:
    """Weight of each interval between sorted depths ``(N, R, S)``: ``(N, R, S - 1)``."""
    delta = depths.diff(dim=-1)
    middle = (densities[..., 1:] + densities[..., :-1]) / 2
    alpha = 1 - torch.exp(-F.softplus(middle - 1) * delta)
    through = torch.cumprod(torch.cat([torch.ones_like(alpha[..., :1]), 1 - alpha + OPAQUE_EPS], -1), -1)
    return alpha * through[..., :-1]


@torch.no_grad()
def importance(depths: Tensor, weights: Tensor, draws: Tensor) -> Tensor:
    """Depths ``(N, R, F)`` sampled in proportion to the coarse weights ``(N, R, S - 1)``, without a gradient."""
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


def march(look: Look, depths: Tensor, draws: Tensor) -> tuple[Composite, Tensor]:
    """Evaluate coarse ``depths`` ``(N, R, S)``, importance-sample finer ones, composite all.

    Each sample is evaluated once: the coarse ones are composited too. ``draws`` ``(N, R, F)`` in [0, 1); F may
    be 0. Also returns the depths ``(N, R, S + F)`` of all samples.
    """
    density, colour = look(depths)
    if draws.shape[-1]:
        more = importance(depths, interval_weights(depths, density.detach()), draws)
        fine = look(more)
        depths = torch.cat([depths, more], -1)
        density, colour = torch.cat([density, fine[0]], -1), torch.cat([colour, fine[1]], 2)
    return composite(depths, density, colour), depths


def composite(depths: Tensor, density: Tensor, colour: Tensor) -> Composite:
    """Composite samples in any order, ``(N, R, S)`` and colours ``(N, R, S, C)``, along each ray."""
    ordered, order = depths.sort(dim=-1)
    weights = interval_weights(ordered, density.gather(-1, order))
    share = (F.pad(weights, (1, 0)) + F.pad(weights, (0, 1))) / 2
    unsorted = torch.zeros_like(share).scatter(-1, order, share)
    colours = (unsorted[..., None, :] @ colour)[..., 0, :]
    opacity = weights.sum(-1)
    middle = (ordered[..., 1:] + ordered[..., :-1]) / 2
    return Composite(colours, (weights * middle).sum(-1) / opacity, opacity)


def finished(seen: Composite, depths: Tensor, white_back: bool) -> Composite:
    """Set the depth of empty rays, and add the background; ``depths``: all samples of the batch."""
    depth = seen.depth.nan_to_num(float("inf"))
    depth = depth.clamp(depths.min(), depths.max())  # over the whole batch, as the release does
    colours = seen.colours + 1 - seen.opacity[..., None] if white_back else seen.colours
    return Composite(colours, depth, seen.opacity)


def render_composite(planes: Tensor, weights: DecoderWeights, origins: Tensor, directions: Tensor, depths: Tensor,
                     draws: Tensor, box_warp: float, margin: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Colours, depth, opacity and all depths of rays, before :func:`finished`; differentiable by autograd."""
    seen, depths = march(looking(planes, weights, origins, directions, box_warp, margin), depths, draws)
    return *seen, depths


def render_gradients(
    grads: tuple[Tensor | None, Tensor | None, Tensor | None], planes: Tensor, weights: DecoderWeights, origins: Tensor,
    directions: Tensor, depths: Tensor, box_warp: float, margin: float,
) -> tuple[Tensor, ...]:
    """Gradients of planes and decoder without autograd, recomputing the forward pass, as the native kernels do.

    ``grads``: of colours ``(N, R, C)``, depth and opacity ``(N, R)``; ``depths`` ``(N, R, S)``: of all samples.
    """
    w1, b1, w2, b2 = weights
    points = (origins[:, :, None] + depths[..., None] * directions[:, :, None]).flatten(1, 2)
    features = sample_merged(merged_planes(planes), points, box_warp).flatten(0, 1)
    before = torch.addmm(b1, features, w1.T)
    hidden = F.softplus(before)
    out = torch.addmm(b2, hidden, w2.T)
    lit = torch.sigmoid(out[:, 1:])
    colour = (lit * (1 + 2 * margin) - margin).unflatten(0, depths.shape)
    d_density, d_colour = _composite_gradients(grads, depths, out[:, 0].view(depths.shape), colour)
    d_out = torch.cat([d_density.reshape(-1, 1), d_colour.flatten(0, 2) * (1 + 2 * margin) * lit * (1 - lit)], 1)
    d_before = d_out @ w2 * torch.sigmoid(before)
    d_features = (d_before @ w1).unflatten(0, points.shape[:2])
    return (sample_gradient(d_features, planes, points, box_warp), d_before.T @ features, d_before.sum(0),
            d_out.T @ hidden, d_out.sum(0))


def _composite_gradients(
    grads: tuple[Tensor | None, Tensor | None, Tensor | None], depths: Tensor, density: Tensor, colour: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients of densities ``(N, R, S)`` and colours ``(N, R, S, C)``. An interval attenuates everything behind it,
    so the sum over later intervals is accumulated from back to front."""
    g_colour, g_depth, g_opacity = grads
    ordered, order = depths.sort(dim=-1)
    delta, middle = ordered.diff(dim=-1), (ordered[..., 1:] + ordered[..., :-1]) / 2
    sorted_density = density.gather(-1, order)
    raw = (sorted_density[..., 1:] + sorted_density[..., :-1]) / 2 - 1
    left = torch.exp(-F.softplus(raw) * delta)
    alpha, weights = 1 - left, interval_weights(ordered, sorted_density)
    g_weight = torch.zeros_like(weights)
    share = torch.zeros_like(density)
    if g_colour is not None:
        along = (colour * g_colour[:, :, None]).sum(-1).gather(-1, order)
        g_weight = (along[..., 1:] + along[..., :-1]) / 2
        share = share.scatter(-1, order, (F.pad(weights, (1, 0)) + F.pad(weights, (0, 1))) / 2)
    if g_opacity is not None:
        g_weight = g_weight + g_opacity[..., None]
    if g_depth is not None:
        opacity = weights.sum(-1, keepdim=True)
        depth = (weights * middle).sum(-1, keepdim=True) / opacity
        g_weight = g_weight + ((middle - depth) / opacity * g_depth[..., None]).where(g_depth[..., None] != 0, 0)
    through = torch.cumprod(F.pad(1 - alpha[..., :-1] + OPAQUE_EPS, (1, 0), value=1.0), -1)
    behind, g_alpha = torch.zeros_like(alpha[..., 0]), torch.empty_like(alpha)
    for i in reversed(range(alpha.shape[-1])):
        g_alpha[..., i] = through[..., i] * (g_weight[..., i] - behind)
        behind = g_weight[..., i] * alpha[..., i] + (1 - alpha[..., i] + OPAQUE_EPS) * behind
    g_middle = g_alpha * left * delta * torch.sigmoid(raw)
    g_sorted = (F.pad(g_middle, (1, 0)) + F.pad(g_middle, (0, 1))) / 2
    g_of_colour = share[..., None] * (0 if g_colour is None else g_colour[:, :, None]) + torch.zeros_like(colour)
    return torch.zeros_like(density).scatter(-1, order, g_sorted), g_of_colour
