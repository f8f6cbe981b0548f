"""From tri-planes to a feature picture: rays, samples along them, decoder, and alpha compositing.

Formulas: Chan et al., "Efficient Geometry-aware 3D Generative Adversarial Networks", CVPR 2022; importance sampling
and compositing as in Mildenhall et al., NeRF, ECCV 2020, section 5, with the constants of EG3D's release.

Colours are never sorted by depth. A sample's share of its ray is (the weight of the interval before it + that of
the one behind it) / 2, because an interval shows the mean of its two ends; so only densities are sorted, and one
batched product makes the picture.
"""

from __future__ import annotations

import attrs
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from unlearnkit_stylegan2.layers import FullyConnected

__all__ = ["Decoder", "Draws", "RenderSettings", "Rendered", "interval_weights", "render", "rays", "sample_planes"]

PDF_EPS = 1e-5
WEIGHT_FLOOR = 0.01
OPAQUE_EPS = 1e-10
COLOUR_MARGIN = 0.001


@attrs.frozen
class RenderSettings:
    """How a checkpoint was trained to be rendered; distances are in the units of its world.

    ``near`` and ``far`` None: where the ray enters and leaves the box.
    """

    coarse: int = 48
    fine: int = 48
    near: float | None = 2.25
    far: float | None = 3.3
    box_warp: float = 1.0
    disparity: bool = False
    white_back: bool = False


@attrs.frozen(eq=False)
class Draws:
    """Numbers in [0, 1): stratified offsets ``(N, R, coarse)`` and importance draws ``(N, R, fine)``."""

    offsets: Tensor
    importance: Tensor

    @classmethod
    def fixed(cls, count: int, rays: int, settings: RenderSettings, device: torch.device) -> Draws:
        """No chance: the middle of each stratum, evenly spread importance draws."""
        offsets = torch.full((count, rays, settings.coarse), 0.5, device=device)
        even = (torch.arange(settings.fine, device=device) + 0.5) / max(settings.fine, 1)
        return cls(offsets, even.expand(count, rays, -1))

    @classmethod
    def random(cls, count: int, rays: int, settings: RenderSettings, rng: torch.Generator) -> Draws:
        """Drawn from ``rng`` (CPU)."""
        offsets = torch.rand(count, rays, settings.coarse, generator=rng)
        return cls(offsets, torch.rand(count, rays, settings.fine, generator=rng))


@attrs.frozen(eq=False)
class Rendered:
    """Of each ray: features ``(N, R, 32)`` in about [-1, 1], depth ``(N, R)``, opacity ``(N, R)``."""

    features: Tensor
    depth: Tensor
    opacity: Tensor


class Decoder(nn.Module):
    """Mean tri-plane features ``(..., 32)`` -> density ``(...)`` before its softplus, and colour ``(..., 32)``."""

    def __init__(self, channels: int = 32, hidden: int = 64, out: int = 32, lr_multiplier: float = 1.0) -> None:
        super().__init__()
        self.net = nn.ModuleDict({
            "0": FullyConnected(channels, hidden, lr_multiplier=lr_multiplier),
            "2": FullyConnected(hidden, 1 + out, lr_multiplier=lr_multiplier),
        })

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        x = self.net["2"](F.softplus(self.net["0"](features.flatten(0, -2)))).unflatten(0, features.shape[:-1])
        return x[..., 0], torch.sigmoid(x[..., 1:]) * (1 + 2 * COLOUR_MARGIN) - COLOUR_MARGIN


def rays(views: Tensor, resolution: int) -> tuple[Tensor, Tensor]:
    """Origins and unit directions ``(N, resolution², 3)`` through the pixel centres of cameras ``(N, 25)``."""
    pose, k = views[:, :16].view(-1, 4, 4), views[:, 16:].view(-1, 3, 3)
    fx, fy, cx, cy, skew = (k[:, i, j, None] for i, j in ((0, 0), (1, 1), (0, 2), (1, 2), (0, 1)))
    centre = (torch.arange(resolution, device=views.device, dtype=views.dtype) + 0.5) / resolution
    y, x = (axis.flatten()[None] for axis in torch.meshgrid(centre, centre, indexing="ij"))
    lifted = (x - cx + cy * skew / fy - skew * y / fy) / fx
    ahead = torch.stack([lifted, ((y - cy) / fy).expand_as(lifted), torch.ones_like(lifted)], dim=2)
    directions = F.normalize(ahead @ pose[:, :3, :3].transpose(1, 2), dim=2)
    return pose[:, None, :3, 3].expand_as(directions), directions


def limits(origins: Tensor, directions: Tensor, settings: RenderSettings) -> tuple[Tensor, Tensor]:
    """Where each ray begins and ends ``(N, R, 1)``; rays that miss the box take the range of those that do not."""
    if settings.near is not None and settings.far is not None:
        shape = (*origins.shape[:-1], 1)
        return origins.new_full(shape, settings.near), origins.new_full(shape, settings.far)
    half = settings.box_warp / 2
    a, b = (-half - origins) / directions, (half - origins) / directions
    near = torch.minimum(a, b).amax(-1, keepdim=True)
    far = torch.maximum(a, b).amin(-1, keepdim=True)
    hit = near <= far
    if bool(hit.any()):
        near, far = torch.where(hit, near, near[hit].min()), torch.where(hit, far, near[hit].max())
    return near, far


def stratified(near: Tensor, far: Tensor, offsets: Tensor, disparity: bool) -> Tensor:
    """Depths ``(N, R, S)``: one in each stratum. Offsets only lead forward, so the last may pass ``far``."""
    count = offsets.shape[-1]
    t = torch.linspace(0, 1, count, device=near.device, dtype=near.dtype) + offsets / (count - 1)
    if disparity:
        return 1 / (1 / near * (1 - t) + 1 / far * t)
    return near + (far - near) * t


def sample_planes(planes: Tensor, points: Tensor, box_warp: float) -> Tensor:
    """Mean features ``(N, M, 32)`` of points ``(N, M, 3)`` on planes ``(N, 3, 32, h, w)``.

    The planes are (x, y), (x, z) and (z, x): the third is the second transposed, a slip of the release that every
    published checkpoint was trained with.
    """
    x, y, z = (points * (2 / box_warp)).unbind(-1)
    grid = torch.stack([torch.stack(pair, -1) for pair in ((x, y), (x, z), (z, x))], dim=1)
    found = F.grid_sample(
        planes.flatten(0, 1), grid.flatten(0, 1)[:, None], mode="bilinear", padding_mode="zeros", align_corners=False
    )
    return found[:, :, 0].unflatten(0, planes.shape[:2]).mean(1).transpose(1, 2)


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


def render(planes: Tensor, decoder: Decoder, origins: Tensor, directions: Tensor, settings: RenderSettings,
           draws: Draws) -> Rendered:
    """Volume rendering of planes ``(N, 3, 32, h, w)`` along rays ``(N, R, 3)``."""

    def look(depths: Tensor) -> tuple[Tensor, Tensor]:
        points = origins[:, :, None] + depths[..., None] * directions[:, :, None]
        found = sample_planes(planes, points.flatten(1, 2), settings.box_warp)
        density, colour = decoder(found)
        return density.unflatten(1, depths.shape[1:]), colour.unflatten(1, depths.shape[1:])

    near, far = limits(origins, directions, settings)
    depths = stratified(near, far, draws.offsets.to(near), settings.disparity)
    density, colour = look(depths)
    if settings.fine:
        weights = interval_weights(depths, density.detach())
        more = importance(depths, weights, draws.importance.to(near))
        fine = look(more)
        depths = torch.cat([depths, more], -1)
        density, colour = torch.cat([density, fine[0]], -1), torch.cat([colour, fine[1]], 2)
    return _composite(depths, density, colour, settings.white_back)


def _composite(depths: Tensor, density: Tensor, colour: Tensor, white_back: bool) -> Rendered:
    ordered, order = depths.sort(dim=-1)
    weights = interval_weights(ordered, density.gather(-1, order))
    share = (F.pad(weights, (1, 0)) + F.pad(weights, (0, 1))) / 2
    unsorted = torch.zeros_like(share).scatter(-1, order, share)
    features = (unsorted[..., None, :] @ colour)[..., 0, :]
    opacity = weights.sum(-1)
    middle = (ordered[..., 1:] + ordered[..., :-1]) / 2
    depth = ((weights * middle).sum(-1) / opacity).nan_to_num(float("inf"))
    depth = depth.clamp(depths.min(), depths.max())  # over the whole batch, as the release does
    if white_back:
        features = features + 1 - opacity[..., None]
    return Rendered(features * 2 - 1, depth, opacity)
