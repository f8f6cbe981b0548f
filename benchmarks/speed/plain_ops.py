"""The operations as the authors' programs compute them where no CUDA kernel is compiled, and :func:`plain` to use them.

Arguments and numbers are those of :mod:`unlearnkit.ops`; only the way is theirs. Of `unlearnkit.ops` only the plain
renderer is used, so that no kernel of ours can get into the side that ours are measured against.
Formulas: Karras et al., arXiv 1912.04958; Chan et al., CVPR 2022, and the constants of its release.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor
from unlearnkit_eg3d.volume import Decoder, Draws, Rendered, RenderSettings, limits, stratified
from unlearnkit_stylegan2 import layers
from unlearnkit_stylegan2.layers import FullyConnected

from unlearnkit import ops
from unlearnkit.ops import plain_volume

__all__ = ["bias_act", "modulated_conv2d", "plain", "render", "styled_conv2d", "unit_distance", "upfirdn2d",
           "upsample2d"]


@contextlib.contextmanager
def plain() -> Iterator[None]:
    """While it lasts, our StyleGAN2, EG3D and LPIPS compute in the authors' way, in training mode (no fused
    convolutions).

    :raises RuntimeError: if StyleGAN2's layers use an operation of ours that is not written here the authors' way.
    """
    used = (set(ops.__all__) & vars(layers).keys()) - {"fir_filter"}
    if missing := used - LAYERS.keys():
        raise RuntimeError(f"{layers.__name__} uses {', '.join(sorted(missing))}, which plain_ops does not have")
    with (
        patch.dict(vars(layers), {name: LAYERS[name] for name in used}),
        patch.object(FullyConnected, "forward", _connect), patch("unlearnkit_eg3d.network.render", render),
        patch("unlearnkit_faces.perceptual.unit_distance", unit_distance),
    ):
        yield


# ---------------------------------------------------------------- StyleGAN2

def bias_act(
    x: Tensor, bias: Tensor | None = None, *, activation: str = "linear", gain: float | None = None,
    clamp: float | None = None,
) -> Tensor:
    """Bias, activation, gain and clamp: an operation each, and none for what changes nothing."""
    if bias is not None:
        x = x + bias.reshape(-1, *[1] * (x.ndim - 2))
    if activation == "lrelu":
        x = F.leaky_relu(x, 0.2)
    gain = (math.sqrt(2.0) if activation == "lrelu" else 1.0) if gain is None else gain
    if gain != 1:
        x = x * gain
    return x if clamp is None else x.clamp(-clamp, clamp)


def upfirdn2d(
    x: Tensor, kernel: Tensor, *, up: int = 1, down: int = 1, padding: Sequence[int] = (0, 0, 0, 0), gain: float = 1.0,
) -> Tensor:
    """Zeros between the pixels, a margin, one depth-wise convolution, every `down`-th value: an operation each."""
    count, channels, height, width = x.shape
    x = F.pad(x.reshape(count, channels, height, 1, width, 1), (0, up - 1, 0, 0, 0, up - 1))
    x = F.pad(x.reshape(count, channels, height * up, width * up), tuple(padding))
    weight = (kernel * gain).to(x.dtype).flip(0, 1).expand(channels, 1, -1, -1)
    return F.conv2d(x, weight, groups=channels)[:, :, ::down, ::down]


def upsample2d(x: Tensor, kernel: Tensor, *, up: int = 2, gain: float = 1.0) -> Tensor:
    """`upfirdn2d` on the zero-stuffed picture, centred."""
    before = [(size + up - 1) // 2 for size in kernel.shape]
    after = [(size - up) // 2 for size in kernel.shape]
    padding = (before[1], after[1], before[0], after[0])
    return upfirdn2d(x, kernel, up=up, padding=padding, gain=gain * up**2)


def modulated_conv2d(
    x: Tensor, weight: Tensor, styles: Tensor, *, demodulate: bool = True, up: int = 1, kernel: Tensor | None = None,
    noise: Tensor | None = None,
) -> Tensor:
    """Scale, convolve, scale, as the release does in training mode; its `(N, O, I, k, k)` weights, which un-fused
    are only made for the demodulation, included."""
    scale = None
    if demodulate:
        own = weight[None] * styles[:, None, :, None, None]
        scale = (own.square().sum((2, 3, 4)) + 1e-8).rsqrt()[:, :, None, None]
    x = x * styles[:, :, None, None]
    if up == 1:
        x = F.conv2d(x, weight, padding=weight.shape[-1] // 2)
    else:
        assert kernel is not None and kernel.shape == (4, 4) and weight.shape[-1] == 3, "as every published file has it"
        x = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
        x = upfirdn2d(x, kernel, padding=(1, 1, 1, 1), gain=4.0)
    if scale is not None:
        return x * scale if noise is None else torch.addcmul(noise, x, scale)
    return x if noise is None else x + noise


def styled_conv2d(
    x: Tensor, weight: Tensor, styles: Tensor, bias: Tensor | None = None, *, up: int = 1, kernel: Tensor | None = None,
    noise: Tensor | None = None, activation: str = "linear", gain: float | None = None, clamp: float | None = None,
) -> Tensor:
    """The convolution, then :func:`bias_act`: nothing is joined."""
    x = modulated_conv2d(x, weight, styles, up=up, kernel=kernel, noise=noise)
    return bias_act(x, bias, activation=activation, gain=gain, clamp=clamp)


LAYERS = {"bias_act": bias_act, "modulated_conv2d": modulated_conv2d, "styled_conv2d": styled_conv2d,
          "upfirdn2d": upfirdn2d, "upsample2d": upsample2d}
"""What takes the place of our operations in StyleGAN2's layers."""


def _connect(self: FullyConnected, x: Tensor) -> Tensor:
    weight = self.weight * self.weight_gain
    bias = self.bias if self.bias_gain == 1 else self.bias * self.bias_gain
    if self.activation == "linear":
        return torch.addmm(bias, x, weight.T)
    return bias_act(x @ weight.T, bias, activation=self.activation)


# ---------------------------------------------------------------- LPIPS

def unit_distance(a: Tensor, b: Tensor, weights: Tensor, *, eps: float = 1e-10) -> Tensor:
    """Both maps normalised, subtracted, squared, weighted by a convolution, averaged: as the lpips package does."""
    a, b = (x / (torch.linalg.vector_norm(x, dim=1, keepdim=True) + eps) for x in (a, b))
    return F.conv2d((a - b) ** 2, weights.view(1, -1, 1, 1)).mean((1, 2, 3))


# ---------------------------------------------------------------- EG3D's renderer

def render(planes: Tensor, decoder: Decoder, origins: Tensor, directions: Tensor, settings: RenderSettings,
           draws: Draws) -> Rendered:
    """Volume rendering of planes ``(N, 3, 32, h, h)`` along rays ``(N, R, 3)``, by the plain renderer that we keep as
    reference: three planes, coarse samples composited to know where to look, then all sorted with their colours."""
    def look(depths: Tensor) -> tuple[Tensor, Tensor]:
        points = origins[:, :, None] + depths[..., None] * directions[:, :, None]
        features = plain_volume.sample_planes(planes, points.flatten(1, 2), settings.box_warp).flatten(0, 1)
        out = _connect(decoder.net["2"], F.softplus(_connect(decoder.net["0"], features)))  # type: ignore[arg-type]
        out = out.unflatten(0, depths.shape)
        return out[..., 0], torch.sigmoid(out[..., 1:]) * (1 + 2 * 0.001) - 0.001

    near, far = limits(origins, directions, settings)
    depths = stratified(near, far, draws.offsets.to(near), settings.disparity)
    seen = plain_volume.march(look, depths, draws.importance.to(near), settings.white_back)
    return Rendered(seen.colours * 2 - 1, seen.depth, seen.opacity)
