"""From tri-planes to a feature picture: rays, coarse samples along them, and the decoder.

Formulas: Chan et al., "Efficient Geometry-aware 3D Generative Adversarial Networks", CVPR 2022, with the constants of
its release. Sampling of planes and marching along rays are `unlearnkit.ops.volume`.
"""

from __future__ import annotations

import attrs
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from unlearnkit_stylegan2.layers import FullyConnected

from unlearnkit.ops import DecoderWeights, render_planes
from unlearnkit.ops.volume import decode

__all__ = ["Decoder", "Draws", "RenderSettings", "Rendered", "limits", "rays", "render", "stratified"]

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

    def weights(self) -> DecoderWeights:
        """What :func:`unlearnkit.ops.render_planes` takes: both layers, learning-rate factors multiplied in."""
        first, second = self.net["0"], self.net["2"]
        assert isinstance(first, FullyConnected) and isinstance(second, FullyConnected)
        return *first.scaled(), *second.scaled()

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        return decode(features, self.weights(), COLOUR_MARGIN)


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
    keep = hit | ~hit.any()  # where no ray hits, all stay as they are
    first = torch.where(hit, near, torch.inf).amin()
    last = torch.where(hit, near, -torch.inf).amax()
    return torch.where(keep, near, first), torch.where(keep, far, last)


def stratified(near: Tensor, far: Tensor, offsets: Tensor, disparity: bool) -> Tensor:
    """Depths ``(N, R, S)``: one in each stratum. Offsets only lead forward, so the last may pass ``far``."""
    count = offsets.shape[-1]
    t = torch.linspace(0, 1, count, device=near.device, dtype=near.dtype) + offsets / (count - 1)
    if disparity:
        return 1 / (1 / near * (1 - t) + 1 / far * t)
    return near + (far - near) * t


def render(planes: Tensor, decoder: Decoder, origins: Tensor, directions: Tensor, settings: RenderSettings,
           draws: Draws) -> Rendered:
    """Volume rendering of planes ``(N, 3, 32, h, h)`` along rays ``(N, R, 3)``."""
    near, far = limits(origins, directions, settings)
    depths = stratified(near, far, draws.offsets.to(near, non_blocking=True), settings.disparity)
    importance = draws.importance.to(near, non_blocking=True)
    seen = render_planes(planes, decoder.weights(), origins, directions, depths, importance,
                         box_warp=settings.box_warp, margin=COLOUR_MARGIN, white_back=settings.white_back)
    return Rendered(seen.colours * 2 - 1, seen.depth, seen.opacity)
