"""What makes drawn pictures as varied as photographs: light, sharpness, framing, and what is behind the face."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["augmented"]

UNTOUCHED = 0.25
"""Share of the pictures that stay as they were drawn."""


def augmented(images: Tensor, rng: torch.Generator) -> Tensor:
    """Pictures ``(N, 3, S, S)`` in [-1, 1] -> altered ones; another backdrop is that of the one before."""
    mixed = _other_backdrop(images, images.roll(1, 0), rng)
    changed = _noise(_colours(_soft(_framed(mixed, rng), rng), rng), rng).clamp(-1, 1)
    return torch.where(_random(images, rng) < UNTOUCHED, images, changed)


def _random(images: Tensor, rng: torch.Generator, channels: int = 1) -> Tensor:
    """A number in [0, 1) for each picture (and channel): ``(N, channels, 1, 1)``."""
    return torch.rand(len(images), channels, 1, 1, generator=rng)


def _other_backdrop(images: Tensor, others: Tensor, rng: torch.Generator) -> Tensor:
    """In a third of the pictures, outside an ellipse around the head, another picture shows."""
    axis = torch.linspace(-1, 1, images.shape[-1])
    distance = ((axis[None, :] / 0.85).square() + ((axis[:, None] - 0.05) / 1.1).square()).sqrt()
    outside = ((distance - 0.95 - 0.2 * _random(images, rng)) / 0.05).sigmoid()
    return images.lerp(others, outside * (_random(images, rng) < 1 / 3))


def _framed(images: Tensor, rng: torch.Generator) -> Tensor:
    """Moved by up to 2 %, scaled by up to 4 %, turned by up to 2 degrees: detectors differ by as much."""
    def some(size: float) -> Tensor:
        return size * (2 * torch.rand(len(images), generator=rng) - 1)

    angle, scale, x, y = some(math.radians(2)), 1 + some(0.04), some(0.04), some(0.04)
    cos, sin = scale * angle.cos(), scale * angle.sin()
    grid = F.affine_grid(torch.stack([torch.stack([cos, -sin, x], 1), torch.stack([sin, cos, y], 1)], 1),
                         list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def _soft(images: Tensor, rng: torch.Generator) -> Tensor:
    """A third of the pictures as if enlarged from a smaller one."""
    side = images.shape[-1]
    small = int(torch.randint(side // 3, side, (), generator=rng))
    soft = F.interpolate(F.interpolate(images, (small, small), mode="area"), (side, side), mode="bilinear",
                         align_corners=False)
    return torch.where(_random(images, rng) < 1 / 3, soft, images)


def _colours(images: Tensor, rng: torch.Generator) -> Tensor:
    """Gamma, contrast, brightness and white balance; some pictures lose part of their colour."""
    light = ((images + 1) / 2).clamp(1e-4, 1) ** torch.exp(0.4 * (_random(images, rng) - 0.5))
    light = light * (1 + 0.3 * (_random(images, rng) - 0.5)) + 0.15 * (_random(images, rng) - 0.5)
    light = light * (1 + 0.2 * (_random(images, rng, 3) - 0.5))
    grey = light.mean(1, keepdim=True)
    pale = 0.8 * _random(images, rng) * (_random(images, rng) < 0.3)
    return 2 * light.lerp(grey.expand_as(light), pale) - 1


def _noise(images: Tensor, rng: torch.Generator) -> Tensor:
    """As of a sensor, up to 3 % of the range."""
    return images + 0.06 * _random(images, rng) * torch.randn(images.shape, generator=rng)
