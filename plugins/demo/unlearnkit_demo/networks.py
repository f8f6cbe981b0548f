"""The small networks of the bundled world: two identity encoders, a perceptual trunk and an inverter.

All take aligned pictures ``(N, 3, H, W)`` in [-1, 1] of any size and bring them to their own size themselves.
Faces are aligned, so the heads look at *where* a feature lies (they flatten) instead of pooling it away.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["NETWORKS", "ConvNeXtEncoder", "InversionEncoder", "ResNetEncoder", "Trunk", "build"]


def resized(images: Tensor, size: int) -> Tensor:
    """Pictures ``(N, 3, H, W)`` -> ``(N, 3, size, size)``, smoothed where they shrink; differentiable."""
    if images.shape[-2:] == (size, size):
        return images
    return F.interpolate(images, size=(size, size), mode="bilinear", antialias=True, align_corners=False)


def conv_norm(channels_in: int, channels_out: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution and batch normalisation, without an activation."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(channels_out)
    )


class ResidualBlock(nn.Module):
    """``(N, C, H, W)`` -> ``(N, D, H/stride, W/stride)``: two convolutions beside a shortcut."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.first = conv_norm(channels_in, channels_out, stride=stride)
        self.second = conv_norm(channels_out, channels_out)
        self.shortcut = conv_norm(channels_in, channels_out, kernel=1)
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(F.relu(self.first(x)))
        return F.relu(y + self.shortcut(F.avg_pool2d(x, self.stride)))


class ResNetEncoder(nn.Module):
    """Identity encoder A: a residual network with batch normalisation; embeddings ``(N, dim)``, not yet unit."""

    def __init__(self, size: int = 96, width: int = 24, dim: int = 128) -> None:
        super().__init__()
        self.size = size
        self.stem = conv_norm(3, width, kernel=5, stride=2)
        self.blocks = nn.Sequential(*(ResidualBlock(width << i, width << (i + 1), 2) for i in range(3)))
        self.reduce = conv_norm(8 * width, 3 * width, kernel=1)
        self.head = nn.Linear(3 * width * (size // 16) ** 2, dim)

    def forward(self, images: Tensor) -> Tensor:
        x = F.relu(self.stem(resized(images, self.size)))
        x = F.relu(self.reduce(self.blocks(x)))
        embedding: Tensor = self.head(x.flatten(1))
        return embedding


class ChannelNorm(nn.Module):
    """Layer normalisation over the channels of each place of ``(N, C, H, W)``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        normalised: Tensor = self.norm(x.movedim(1, -1)).movedim(-1, 1)
        return normalised


class ConvNeXtBlock(nn.Module):
    """Depthwise 7×7, layer normalisation, a small perceptron at each place, beside the identity."""

    def __init__(self, channels: int, expansion: int = 2) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = ChannelNorm(channels)
        self.widen = nn.Conv2d(channels, expansion * channels, 1)
        self.narrow = nn.Conv2d(expansion * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.narrow(F.gelu(self.widen(self.norm(self.depthwise(x)))))
        return x + y


class ConvNeXtEncoder(nn.Module):
    """Identity encoder B: patches and ConvNeXt blocks; nothing in common with A but its purpose."""

    def __init__(self, size: int = 128, width: int = 40, depths: tuple[int, ...] = (1, 2, 2), dim: int = 128) -> None:
        super().__init__()
        self.size = size
        layers: list[nn.Module] = [nn.Conv2d(3, width, 4, 4), ChannelNorm(width)]
        for stage, depth in enumerate(depths):
            channels = width << stage
            layers += [ConvNeXtBlock(channels) for _ in range(depth)]
            if stage + 1 < len(depths):
                layers += [ChannelNorm(channels), nn.Conv2d(channels, 2 * channels, 2, 2)]
        self.body = nn.Sequential(*layers, nn.Conv2d(channels, 32, 1), ChannelNorm(32))
        self.head = nn.Linear(32 * (size >> (len(depths) + 1)) ** 2, dim)

    def forward(self, images: Tensor) -> Tensor:
        embedding: Tensor = self.head(self.body(resized(images, self.size)).flatten(1))
        return embedding


class Trunk(nn.Module):
    """VGG-like perceptual trunk, trained to read the renderer's parameters off a picture.

    :meth:`stages` gives feature maps of 1, 1/2, 1/4, 1/8 and 1/16 of the picture's size.
    """

    def __init__(
        self, size: int = 128, widths: tuple[int, ...] = (16, 24, 48, 96, 160), parameters: int = 41
    ) -> None:
        super().__init__()
        self.size = size
        pairs = zip((3, *widths[:-1]), widths, strict=True)
        self.convs = nn.ModuleList(conv_norm(a, b, stride=1 if a == 3 else 2) for a, b in pairs)
        self.last = conv_norm(widths[-1], widths[-1])
        self.reduce = conv_norm(widths[-1], 48, kernel=1)
        self.head = nn.Sequential(
            nn.Linear(48 * (size >> (len(widths) - 1)) ** 2, 256), nn.ReLU(), nn.Linear(256, parameters)
        )

    def stages(self, images: Tensor) -> list[Tensor]:
        """Pictures ``(N, 3, H, W)`` -> feature maps ``(N, C_i, H / 2^i, W / 2^i)`` of pictures of their own size."""
        maps = []
        x = images
        for conv in self.convs:
            x = F.relu(conv(x))
            maps.append(x)
        maps[-1] = F.relu(self.last(x))
        return maps

    def hidden(self, images: Tensor) -> Tensor:
        """What the head reads the parameters off: ``(N, 256)``."""
        x = F.relu(self.reduce(self.stages(resized(images, self.size))[-1]))
        hidden: Tensor = self.head[1](self.head[0](x.flatten(1)))
        return hidden

    def forward(self, images: Tensor) -> Tensor:
        """Pictures ``(N, 3, H, W)`` -> estimated parameters ``(N, parameters)``."""
        estimate: Tensor = self.head[2](self.hidden(images))
        return estimate


class InversionEncoder(Trunk):
    """Picture -> z (through the generator's mapping: a latent in W) and an offset for each row of W+."""

    def __init__(self, num_ws: int, w_dim: int, rank: int = 64, **trunk: Any) -> None:
        super().__init__(**trunk)
        self.num_ws, self.w_dim = num_ws, w_dim
        self.offsets = nn.Sequential(nn.Linear(256, rank), nn.Linear(rank, num_ws * w_dim))
        nn.init.zeros_(self.offsets[1].weight)
        nn.init.zeros_(self.offsets[1].bias)

    def latents(self, images: Tensor, mapping: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        """Pictures -> latents ``(N, num_ws, w_dim)`` and their z ``(N, parameters)``; ``mapping``: z -> latents."""
        hidden = self.hidden(images)
        z = self.head[2](hidden)
        return mapping(z) + self.offsets(hidden).view(-1, self.num_ws, self.w_dim), z


NETWORKS: Mapping[str, Callable[..., nn.Module]] = {
    "resnet": ResNetEncoder, "convnext": ConvNeXtEncoder, "trunk": Trunk, "inverter": InversionEncoder,
}


def build(architecture: Mapping[str, Any]) -> nn.Module:
    """The network that a weight file's metadata describe: ``{"name": "resnet", "size": 96, ...}``."""
    options = {key: tuple(value) if isinstance(value, list) else value for key, value in architecture.items()}
    return NETWORKS[options.pop("name")](**options)


def parameter_count(network: nn.Module) -> int:
    """How many numbers training found."""
    return sum(p.numel() for p in network.parameters())


def unit(x: Tensor) -> Tensor:
    """Rows of ``(N, D)`` on the unit sphere."""
    return x / x.norm(dim=1, keepdim=True).clamp_min(1e-8)


def normalised_maps(maps: list[Tensor]) -> list[Tensor]:
    """Every place's feature vector on the unit sphere, as LPIPS compares them."""
    return [x * torch.rsqrt(x.square().sum(1, keepdim=True) + 1e-6) for x in maps]
