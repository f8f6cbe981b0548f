"""The small networks of the bundled world: two identity encoders, a perceptual trunk and an inverter.

All take aligned images ``(N, 3, H, W)`` in [-1, 1] of any size and resize them to their own resolution. Faces are
aligned, so the heads flatten the feature maps and keep positions instead of pooling them away.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["NETWORKS", "FaceEncoder", "InversionEncoder", "PatchEncoder", "Trunk", "build"]


def resized(images: Tensor, size: int) -> Tensor:
    """Images ``(N, 3, H, W)`` -> ``(N, 3, size, size)``, antialiased; differentiable."""
    if images.shape[-2:] == (size, size):
        return images
    return F.interpolate(images, size=(size, size), mode="bilinear", antialias=True, align_corners=False)


def conv_norm(channels_in: int, channels_out: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution and batch normalisation, without an activation."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(channels_out)
    )


class PatchEncoder(nn.Module):
    """Identity encoder B, which only judges: 4×4 patches as channels, few wide layers, group normalisation, SiLU.

    Images ``(N, 3, H, W)`` -> embeddings ``(N, dim)``, not normalised.
    """

    def __init__(self, size: int = 64, widths: tuple[int, ...] = (96, 160, 224), dim: int = 128) -> None:
        super().__init__()
        self.size = size
        layers: list[nn.Module] = [nn.PixelUnshuffle(4)]
        for a, b in zip((48, *widths[:-1]), widths, strict=True):
            stride = 1 if a == 48 else 2
            layers += [nn.Conv2d(a, b, 3, stride, 1, bias=False), nn.GroupNorm(8, b), nn.SiLU()]
        layers += [nn.Conv2d(widths[-1], 64, 1, bias=False), nn.GroupNorm(8, 64), nn.SiLU()]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(64 * (size // 16) ** 2, dim)

    def forward(self, images: Tensor) -> Tensor:
        embedding: Tensor = self.head(self.body(resized(images, self.size)).flatten(1))
        return embedding


class Trunk(nn.Module):
    """VGG-like perceptual trunk, trained to regress the renderer's parameters from an image.

    :meth:`stages` returns feature maps at 1/2, 1/4, 1/8 and 1/16 of the resolution.
    """

    def __init__(
        self, size: int = 128, widths: tuple[int, ...] = (24, 48, 96, 160), parameters: int = 41
    ) -> None:
        super().__init__()
        self.size = size
        pairs = zip((3, *widths[:-1]), widths, strict=True)
        self.convs = nn.ModuleList(conv_norm(a, b, kernel=5 if a == 3 else 3, stride=2) for a, b in pairs)
        self.last = conv_norm(widths[-1], widths[-1])
        self.reduce = conv_norm(widths[-1], 48, kernel=1)
        self.head = nn.Sequential(
            nn.Linear(48 * (size >> len(widths)) ** 2, 256), nn.ReLU(), nn.Linear(256, parameters)
        )

    def stages(self, images: Tensor) -> list[Tensor]:
        """Images ``(N, 3, H, W)`` -> feature maps ``(N, C_i, H / 2^i, W / 2^i)``, i from 1."""
        maps = []
        x = images
        for conv in self.convs:
            x = F.relu(conv(x))
            maps.append(x)
        maps[-1] = F.relu(self.last(x))
        return maps

    def hidden(self, images: Tensor) -> Tensor:
        """The last hidden layer: ``(N, 256)``."""
        x = F.relu(self.reduce(self.stages(resized(images, self.size))[-1]))
        hidden: Tensor = self.head[1](self.head[0](x.flatten(1)))
        return hidden

    def forward(self, images: Tensor) -> Tensor:
        """Images ``(N, 3, H, W)`` -> estimated parameters ``(N, parameters)``."""
        estimate: Tensor = self.head[2](self.hidden(images))
        return estimate


class FaceEncoder(Trunk):
    """Identity encoder A, the one that losses use: a fine-tuned trunk whose head is an embedding ``(N, dim)``."""

    def __init__(self, dim: int = 128, **trunk: Any) -> None:
        super().__init__(parameters=dim, **trunk)


class InversionEncoder(Trunk):
    """Image -> z, mapped to W by the generator's own mapping network, and an offset for each row of W+."""

    def __init__(self, num_ws: int, w_dim: int, rank: int = 64, **trunk: Any) -> None:
        super().__init__(**trunk)
        self.num_ws, self.w_dim = num_ws, w_dim
        last = nn.Linear(rank, num_ws * w_dim)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.offsets = nn.Sequential(nn.Linear(256, rank), last)

    def latents(self, images: Tensor, mapping: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        """Images -> latents ``(N, num_ws, w_dim)`` and their z ``(N, parameters)``; ``mapping``: z -> latents."""
        hidden = self.hidden(images)
        z = self.head[2](hidden)
        return mapping(z) + self.offsets(hidden).view(-1, self.num_ws, self.w_dim), z


NETWORKS: Mapping[str, Callable[..., nn.Module]] = {
    "face": FaceEncoder, "patch": PatchEncoder, "trunk": Trunk, "inverter": InversionEncoder,
}


def build(architecture: Mapping[str, Any]) -> nn.Module:
    """The network described by a weight file's metadata: ``{"name": "trunk", "size": 96, ...}``."""
    options: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in architecture.items()
    }
    name = str(options.pop("name"))
    return NETWORKS[name](**options)


def parameter_count(network: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(p.numel() for p in network.parameters())


def unit(x: Tensor) -> Tensor:
    """Rows of ``(N, D)`` scaled to unit length."""
    return x / x.norm(dim=1, keepdim=True).clamp_min(1e-8)


def normalised_maps(maps: list[Tensor]) -> list[Tensor]:
    """Feature maps normalised over channels at each position, as LPIPS does."""
    return [x * torch.rsqrt(x.square().sum(1, keepdim=True) + 1e-6) for x in maps]
