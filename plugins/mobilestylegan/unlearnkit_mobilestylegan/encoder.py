"""The encoder that ships: picture -> a row of W+ for each group of layers, linear in features of frozen networks.

Features: the first two maps of the perceptual network, pooled to 8 × 8 and 4 × 4, the embedding of the identity
encoder, and the picture itself at 16 × 16. What is learned is one matrix of low rank (``training/``).
"""

from __future__ import annotations

import re
from pathlib import Path

import attrs
import torch
from torch import Tensor
from torch.nn import functional as F

from unlearnkit.checkpoints import read_tensors
from unlearnkit.errors import CheckpointError
from unlearnkit.interfaces import IdentityEncoder, Perceptual

__all__ = ["GROUPS", "SHIPPED", "SIDE", "Encoder", "features", "shrunk", "spread"]

SHIPPED = Path(__file__).parent / "weights" / "encoder.safetensors"
FORMAT = "unlearnkit-mobilestylegan-encoder-1"
SIDE = 128
"""Pixels of the pictures that it sees."""
GROUPS = (0, 4, 7, 10)
"""First rows of the groups: the layers of 4 and 8 pixels, of 16, of 32, and all finer ones."""
_MAPS = ((8, 0.25), (4, 1.0))
_COLOURS = (16, 0.1)
"""Side of the grid and scale of the first two maps, and of the picture: all parts vary about equally."""


def shrunk(images: Tensor) -> Tensor:
    """Pictures ``(N, 3, S, S)`` -> ``(N, 3, 128, 128)``; smaller ones are left as they are."""
    if images.shape[-1] <= SIDE:
        return images
    return F.interpolate(images, (SIDE, SIDE), mode="bilinear", align_corners=False, antialias=True)


def features(images: Tensor, perceptual: Perceptual, identity: IdentityEncoder) -> Tensor:
    """Pictures ``(N, 3, S, S)`` in [-1, 1] -> feature vectors ``(N, D)``."""
    images = shrunk(images)
    maps = perceptual.features(images)[: len(_MAPS)]
    parts = [_pooled(F.normalize(x, dim=1), *size) for x, size in zip(maps, _MAPS[: len(maps)], strict=True)]
    return torch.cat([*parts, identity.embed(images), _pooled(images, *_COLOURS)], 1)


def _pooled(x: Tensor, side: int, scale: float) -> Tensor:
    return scale * F.adaptive_avg_pool2d(x, side).flatten(1)


def spread(groups: Tensor, rows: int) -> Tensor:
    """One row for each group ``(N, 4, dim)`` -> latents ``(N, rows, dim)``."""
    starts = torch.tensor([*(min(start, rows) for start in GROUPS), rows])
    return groups.repeat_interleave(starts.diff().to(groups.device), dim=1)


@attrs.frozen(eq=False)
class Encoder:
    """Groups = features · ``down`` · ``up`` + ``bias``: shapes ``(D, rank)``, ``(rank, 4 · dim)``, ``(4 · dim,)``."""

    down: Tensor
    up: Tensor
    bias: Tensor
    rows: int

    @property
    def dim(self) -> int:
        """Numbers in a row."""
        return len(self.bias) // len(GROUPS)

    def __call__(self, found: Tensor) -> Tensor:
        """Features ``(N, D)`` -> latents ``(N, rows, dim)``."""
        return spread((found @ self.down @ self.up + self.bias).unflatten(1, (len(GROUPS), -1)), self.rows)

    @classmethod
    def read(cls, path: Path, device: torch.device) -> Encoder:
        """Read a file that the training wrote.

        :raises CheckpointError: if it is damaged, or another file.
        """
        tensors, metadata = read_tensors(path)
        shapes = {name: tuple(tensors[name].shape) for name in ("down", "up", "bias") if name in tensors}
        down, up, bias = (shapes.get(name, ()) for name in ("down", "up", "bias"))
        fits = len(down) == len(up) == 2 and len(bias) == 1 and down[1:] == up[:1] and up[1:] == bias
        rows = metadata.get("rows", "")
        fits = fits and bias[0] % len(GROUPS) == 0 and re.fullmatch("[1-9][0-9]?", rows) is not None
        if metadata.get("format") != FORMAT or not fits:
            raise CheckpointError(f"{path}: is no encoder for mobilestylegan; leave the option out to use the one that "
                                  "ships, or write one with unlearnkit_mobilestylegan.training.encoder")
        parts = {name: tensors[name].to(device, torch.float32) for name in shapes}
        return cls(parts["down"], parts["up"], parts["bias"], int(rows))
