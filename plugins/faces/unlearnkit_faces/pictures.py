"""An image distance that needs no trained network."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["picture_distance"]

SMALLEST = 8
"""Side below which the pyramid stops."""


def picture_distance(a: Tensor, b: Tensor) -> Tensor:
    """Mean absolute difference of pixels and image gradients over an image pyramid: ``(N,)``.

    Images ``(N, 3, H, W)``; each level halves the resolution, and all levels have equal weight: coarse ones capture the
    position and lighting of the face, fine ones its edges.
    """
    levels = []
    while True:
        difference = a - b
        down = difference[:, :, 1:] - difference[:, :, :-1]
        across = difference[:, :, :, 1:] - difference[:, :, :, :-1]
        levels.append(sum((part.abs().mean((1, 2, 3)) for part in (down, across)),
                          start=difference.abs().mean((1, 2, 3))))
        if min(a.shape[2:]) < 2 * SMALLEST:
            return torch.stack(levels).mean(0)
        a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
