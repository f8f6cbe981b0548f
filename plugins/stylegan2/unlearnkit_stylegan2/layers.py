"""The layers of a StyleGAN2: fully connected, modulated convolution, to-RGB, and the block made of them.

Formulas: Karras et al., arXiv 1912.04958 (StyleGAN2) and 1710.10196, section 4.1 (equalised learning rate).
Names of parameters and buffers are those of NVIDIA's PyTorch releases, so that their weights load strictly.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from unlearnkit.errors import ShapeError
from unlearnkit.ops import bias_act, fir_filter, modulated_conv2d, styled_conv2d, upsample2d
from unlearnkit.ops.reduced import cast_weight

__all__ = ["NOISE_MODES", "FullyConnected", "SkipConvolution", "SynthesisBlock", "SynthesisLayer", "ToRGB"]

NOISE_MODES = ("const", "random", "none")
RESAMPLE_TAPS = (1.0, 3.0, 3.0, 1.0)


class FullyConnected(nn.Module):
    """`(N, in_features)` to `(N, out_features)` with equalised learning rate: weight · lr/√in, bias · lr."""

    def __init__(
        self, in_features: int, out_features: int, *, activation: str = "linear",
        lr_multiplier: float = 1.0, bias_init: float = 0.0,
    ) -> None:
        super().__init__()
        self.activation = activation
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / lr_multiplier)
        self.bias = nn.Parameter(torch.full((out_features,), bias_init))
        self.weight_gain = lr_multiplier / math.sqrt(in_features)
        self.bias_gain = lr_multiplier

    def scaled(self) -> tuple[Tensor, Tensor]:
        """Weight and bias as they are multiplied and added."""
        return self.weight * self.weight_gain, self.bias * self.bias_gain

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.scaled()
        return bias_act(x @ weight.T, bias, activation=self.activation)


class SynthesisLayer(nn.Module):
    """Modulated 3×3 convolution, noise, bias, leaky ReLU: `(N, I, r, r)` to `(N, O, R, R)`."""

    resample_filter: Tensor
    noise_const: Tensor

    def __init__(
        self, in_channels: int, out_channels: int, *, w_dim: int, resolution: int, up: int = 1,
        conv_clamp: float | None = None, resample_taps: tuple[float, ...] = RESAMPLE_TAPS,
    ) -> None:
        super().__init__()
        self.resolution, self.up, self.conv_clamp = resolution, up, conv_clamp
        self.affine = FullyConnected(w_dim, in_channels, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise_const", torch.randn(resolution, resolution))
        self.register_buffer("resample_filter", fir_filter(resample_taps))

    def forward(
        self, x: Tensor, w: Tensor, *, noise_mode: str = "const",
        generator: torch.Generator | None = None, gain: float = 1.0,
    ) -> Tensor:
        noise = self.noise(x.shape[0], noise_mode, generator)
        clamp = None if self.conv_clamp is None else self.conv_clamp * gain
        return styled_conv2d(
            x, self.weight, self.affine(w), self.bias, up=self.up, kernel=self.resample_filter, noise=noise,
            activation="lrelu", gain=math.sqrt(2.0) * gain, clamp=clamp)

    def noise(self, samples: int, mode: str, generator: torch.Generator | None = None) -> Tensor | None:
        """Make what is added to each pixel: `(r, r)` for 'const', a new `(N, 1, r, r)` for 'random', or None.

        :raises ShapeError: if `mode` is not one of NOISE_MODES.
        """
        if mode not in NOISE_MODES:
            raise ShapeError(f"noise_mode is {mode!r}; use one of {', '.join(NOISE_MODES)}")
        if mode == "none":
            return None
        if mode == "const":
            return self.noise_const * self.noise_strength
        device = self.noise_const.device if generator is None else generator.device
        shape = (samples, 1, self.resolution, self.resolution)
        drawn = torch.randn(shape, generator=generator, device=device, dtype=self.noise_const.dtype)
        return drawn.to(self.noise_const.device) * self.noise_strength


class ToRGB(nn.Module):
    """Modulated 1×1 convolution without demodulation: `(N, I, r, r)` to `(N, img_channels, r, r)`."""

    def __init__(
        self, in_channels: int, img_channels: int, *, w_dim: int, conv_clamp: float | None = None,
    ) -> None:
        super().__init__()
        self.conv_clamp = conv_clamp
        self.affine = FullyConnected(w_dim, in_channels, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(img_channels, in_channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(img_channels))
        self.style_gain = 1.0 / math.sqrt(in_channels)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        x = modulated_conv2d(x, self.weight, self.affine(w) * self.style_gain, demodulate=False)
        return bias_act(x, self.bias, clamp=self.conv_clamp)


class SkipConvolution(nn.Module):
    """The residual branch of 'resnet' blocks: 1×1 convolution without bias, then enlarged by two."""

    resample_filter: Tensor

    def __init__(
        self, in_channels: int, out_channels: int, *, resample_taps: tuple[float, ...] = RESAMPLE_TAPS,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 1, 1))
        self.register_buffer("resample_filter", fir_filter(resample_taps))
        self.weight_gain = 1.0 / math.sqrt(in_channels)

    def forward(self, x: Tensor, *, gain: float = 1.0) -> Tensor:
        x = torch.conv2d(x, cast_weight(self.weight * (self.weight_gain * gain), x))
        return upsample2d(x, self.resample_filter)


class SynthesisBlock(nn.Module):
    """All layers of one resolution; `in_channels=0` makes the first block, which starts from a constant.

    `up=1`, which super-resolution networks use, leaves the resolution of the input as it is.
    """

    resample_filter: Tensor

    def __init__(
        self, in_channels: int, out_channels: int, *, w_dim: int, resolution: int, img_channels: int,
        is_last: bool, architecture: str = "skip", conv_clamp: float | None = None, up: int = 2,
        resample_taps: tuple[float, ...] = RESAMPLE_TAPS,
    ) -> None:
        super().__init__()
        self.architecture, self.up = architecture, up
        self.is_first = in_channels == 0
        self.adapter: nn.Module | None = None  # what a method inserts behind the block; the network calls it
        self.has_rgb = is_last or architecture == "skip"
        self.num_conv = 1 if self.is_first else 2
        layer = partial(
            SynthesisLayer, w_dim=w_dim, resolution=resolution, conv_clamp=conv_clamp,
            resample_taps=resample_taps)
        self.register_buffer("resample_filter", fir_filter(resample_taps))
        if self.is_first:
            self.const = nn.Parameter(torch.randn(out_channels, resolution, resolution))
        else:
            self.conv0 = layer(in_channels, out_channels, up=up)
        self.conv1 = layer(out_channels, out_channels)
        if self.has_rgb:
            self.torgb = ToRGB(out_channels, img_channels, w_dim=w_dim, conv_clamp=conv_clamp)
        if architecture == "resnet" and not self.is_first:
            self.skip = SkipConvolution(in_channels, out_channels, resample_taps=resample_taps)

    def forward(
        self, x: Tensor | None, image: Tensor | None, ws: Tensor, *, noise_mode: str = "const",
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Run the block.

        :param x: `(N, in_channels, r, r)` from the block before; None for the first block.
        :param image: `(N, img_channels, r, r)` so far, or None.
        :param ws: `(N, num_conv + 1, w_dim)`: one row per convolution, the last for to-RGB.
        :returns: features `(N, out_channels, R, R)`; picture `(N, img_channels, R, R)`, None if not begun.
        """
        rows = ws.unbind(1)
        noise: dict[str, Any] = {"noise_mode": noise_mode, "generator": generator}
        if x is None:
            x = self.conv1(self.const.expand(ws.shape[0], -1, -1, -1), rows[0], **noise)
        elif self.architecture == "resnet":
            gain = math.sqrt(0.5)  # of both branches, so that their sum keeps the variance
            branch = self.skip(x, gain=gain)
            x = branch + self.conv1(self.conv0(x, rows[0], **noise), rows[1], gain=gain, **noise)
        else:
            x = self.conv1(self.conv0(x, rows[0], **noise), rows[1], **noise)
        if image is not None and self.up == 2:
            image = upsample2d(image, self.resample_filter)
        if self.has_rgb:
            rgb = self.torgb(x, rows[self.num_conv])
            image = rgb if image is None else image + rgb
        return x, image
