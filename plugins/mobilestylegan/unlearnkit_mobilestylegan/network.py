"""MobileStyleGAN (Belousov, arXiv 2104.04767): StyleGAN2's mapping, and a synthesis of wavelets and separable layers.

Written from the description of its published file. Row numbers are those of W+, 23 at 1024 pixels: the first
convolution, then for each block a wavelet and two convolutions, then the layer that makes the picture.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unlearnkit.ops.reduced import cast_weight, is_reduced, plain_map, reduced_map

__all__ = ["MobileStyleGAN", "Style", "inverse_haar"]

SLOPE = 0.2
"""Of the leaky ReLUs; those of the mapping network have a gain of sqrt 2 as well."""


def inverse_haar(x: Tensor) -> Tensor:
    """The inverse Haar wavelet: ``(N, 4C, H, W)`` -> ``(N, C, 2H, 2W)``.

    The first C channels are the low band, then come three high bands for each channel; all count half.
    """
    if is_reduced(x):
        return _inverse_haar_last(x)
    channels = x.shape[1] // 4
    low, high = (0.5 * x).split([channels, 3 * channels], 1)
    b, c, d = high.unflatten(1, (channels, 3)).unbind(2)
    upper, lower, both, either = low + b, low - b, c + d, c - d
    corners = (upper + both, upper - both, lower + either, lower - either)
    return F.pixel_shuffle(torch.stack(corners, 2).flatten(1, 2), 2)


def _inverse_haar_last(x: Tensor) -> Tensor:
    """The same of a map whose channels come last."""
    bands = 0.5 * x.permute(0, 2, 3, 1)
    channels = bands.shape[3] // 4
    low, high = bands.split([channels, 3 * channels], 3)
    b, c, d = high.unflatten(3, (channels, 3)).unbind(4)
    upper, lower, both, either = low + b, low - b, c + d, c - d
    corners = (upper + both, upper - both, lower + either, lower - either)
    rows = torch.stack([torch.stack(corners[:2], 3), torch.stack(corners[2:], 3)], 2)  # (N, H, 2, W, 2, C)
    return rows.flatten(3, 4).flatten(1, 2).permute(0, 3, 1, 2)


class Mapping(nn.Module):
    """z ``(N, 512)`` -> w ``(N, 512)``: normalised, then fully connected layers."""

    w_avg: Tensor

    def __init__(self, layers: int, dim: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.utils.skip_init(nn.Linear, dim, dim) for _ in range(layers))
        self.register_buffer("w_avg", torch.zeros(dim))

    def forward(self, z: Tensor) -> Tensor:
        """Map ``z``."""
        x = z * (z.square().mean(1, keepdim=True) + 1e-8).rsqrt()
        for layer in self.layers:
            x = F.leaky_relu(layer(x), SLOPE) * math.sqrt(2)
        return x


class Style(nn.Module):
    """One row of a latent -> a factor for each channel: ``(W w + b) / sqrt(fan_in)``."""

    def __init__(self, channels: int, dim: int, fan_in: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels, dim))
        self.bias = nn.Parameter(torch.empty(channels))
        self.gain = fan_in**-0.5

    def forward(self, w: Tensor) -> Tensor:
        """``(N, dim)`` -> ``(N, channels, 1, 1)``."""
        return (F.linear(w, self.weight, self.bias) * self.gain)[:, :, None, None]


class Layer(nn.Module):
    """Style, convolution (full, or depthwise and pointwise), noise, bias, leaky ReLU.

    Demodulation is constant in this network and lies in its weights already.
    """

    noise: Tensor

    def __init__(self, channels: int, out: int, size: int, dim: int, separable: bool) -> None:
        super().__init__()
        self.style = Style(channels, dim, 9 * channels)
        self.depthwise = nn.Parameter(torch.empty(channels, 1, 3, 3)) if separable else None
        self.weight = nn.Parameter(torch.empty(out, channels, *((1, 1) if separable else (3, 3))))
        self.bias = nn.Parameter(torch.empty(out))
        self.register_buffer("noise", torch.empty(size, size))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Features ``(N, channels, size, size)`` -> ``(N, out, size, size)``."""
        style, bias = self.style(w), self.bias.to(x.dtype)
        if self.depthwise is not None:
            # A style and a depthwise convolution commute: scaled afterwards, nothing large is kept twice for gradients.
            x = F.conv2d(x, cast_weight(self.depthwise, x), padding=1, groups=x.shape[1])
        weight = self.weight
        if is_reduced(x) and len(x) == 1:
            weight = weight * style  # scaled in float32, and no pass over the map
        else:
            x = x * style.to(x.dtype)
        x = F.conv2d(x, cast_weight(weight, x), bias, padding=weight.shape[2] // 2)
        return F.leaky_relu(x.add_(self.noise.to(x.dtype)), SLOPE, inplace=True)


class Block(nn.Module):
    """A wavelet to twice the size, then two layers; what comes out may go through an adapter."""

    def __init__(self, channels: int, out: int, size: int, dim: int) -> None:
        super().__init__()
        self.up = Style(channels, dim, 1)
        self.conv1 = Layer(channels // 4, out, size, dim, separable=True)
        self.conv2 = Layer(out, out, size, dim, separable=True)
        self.adapter: nn.Module | None = None

    def forward(self, x: Tensor, rows: Tensor) -> Tensor:
        """Features ``(N, channels, h, w)`` and three rows ``(N, 3, dim)`` -> ``(N, out, 2h, 2w)``."""
        x = reduced_map(x)
        x = inverse_haar(x * self.up(rows[:, 0]).to(x.dtype))
        x = self.conv2(self.conv1(x, rows[:, 1]), rows[:, 2])
        return x if self.adapter is None else self.adapter(plain_map(x))


class ToImage(nn.Module):
    """Features -> the twelve bands of a picture of twice the size."""

    def __init__(self, channels: int, dim: int) -> None:
        super().__init__()
        self.style = Style(channels, dim, channels)
        self.weight = nn.Parameter(torch.empty(12, channels, 1, 1))
        self.bias = nn.Parameter(torch.empty(12))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """``(N, channels, h, w)`` -> ``(N, 12, h, w)``."""
        return F.conv2d(x * self.style(w), self.weight, self.bias)


class Synthesis(nn.Module):
    """Latents ``(N, rows, dim)`` -> pictures; ``channels`` are those of the first layer and of each block's output."""

    def __init__(self, channels: tuple[int, ...], dim: int) -> None:
        super().__init__()
        self.const = nn.Parameter(torch.empty(channels[0], 4, 4))
        self.first = Layer(channels[0], channels[0], 4, dim, separable=False)
        self.blocks = nn.ModuleList(
            Block(before, after, 8 << number, dim)
            for number, (before, after) in enumerate(itertools.pairwise(channels))
        )
        self.to_image = ToImage(channels[-1], dim)

    @property
    def num_rows(self) -> int:
        """Rows of a latent."""
        return 3 * len(self.blocks) + 2

    def forward(self, latents: Tensor, output: int, feature: int) -> tuple[Tensor, Tensor]:
        """Pictures of ``output`` pixels and the features of ``feature`` pixels, ``(N, C, feature, feature)``.

        Smaller pictures are the 2 × 2 means of larger ones, exactly: a mean of the last wavelet is half its low band,
        so that wavelet is left out where nobody sees it.
        """
        x, features = self.trunk(latents, feature)
        bands = self.to_image(plain_map(x), latents[:, -1])
        if output > bands.shape[2]:
            return inverse_haar(bands), features
        return F.avg_pool2d(0.5 * bands[:, :3], bands.shape[2] // output), features

    def trunk(self, latents: Tensor, feature: int, stop: int | None = None) -> tuple[Tensor, Tensor]:
        """What the block of ``stop`` pixels puts out (by default the last one), and the features of ``feature``."""
        x = self.first(self.const.expand(len(latents), -1, -1, -1), latents[:, 0])
        features = x
        for number, block in enumerate(self.blocks):
            x = block(x, latents[:, 3 * number + 1 : 3 * number + 4])
            features = plain_map(x) if x.shape[2] == feature else features
            if x.shape[2] == stop:
                break
        return x, features


class MobileStyleGAN(nn.Module):
    """Mapping and synthesis."""

    def __init__(self, mapping_layers: int, channels: tuple[int, ...], dim: int) -> None:
        super().__init__()
        self.mapping = Mapping(mapping_layers, dim)
        self.synthesis = Synthesis(channels, dim)

    @property
    def resolution(self) -> int:
        """Pixels of a whole picture."""
        return 8 << len(self.synthesis.blocks)

    def styles(self) -> Iterator[tuple[str, int, Style]]:
        """Name in the module, row and layer of every style."""
        yield "synthesis.first.style", 0, self.synthesis.first.style
        for number, block in enumerate(self.synthesis.blocks):
            assert isinstance(block, Block)
            for row, (part, style) in enumerate(
                    (("up", block.up), ("conv1.style", block.conv1.style), ("conv2.style", block.conv2.style))):
                yield f"synthesis.blocks.{number}.{part}", 3 * number + 1 + row, style
        yield "synthesis.to_image.style", self.synthesis.num_rows - 1, self.synthesis.to_image.style

    def adapt(self, make: Callable[[int], nn.Module]) -> dict[str, nn.Module]:
        """Insert ``make(channels)`` behind every block but the last; those that are there are kept."""
        made = {}
        for number, block in enumerate(self.synthesis.blocks[:-1]):
            assert isinstance(block, Block)
            if block.adapter is None:
                block.adapter = make(block.conv2.weight.shape[0])
            made[f"synthesis.blocks.{number}.adapter"] = block.adapter
        return made
