"""The operations as the authors' programs compute them where no CUDA kernel is compiled, and :func:`plain` to use them.

Arguments and numbers are those of :mod:`unlearnkit.ops`; only the way is theirs. Nothing here calls `unlearnkit.ops`,
so that no kernel of ours can get into the side that ours are measured against.
Formulas: Karras et al., arXiv 1912.04958; Chan et al., CVPR 2022, and the constants of its release.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor
from unlearnkit_eg3d.volume import Decoder, Draws, Rendered, RenderSettings, limits, stratified
from unlearnkit_stylegan2 import layers
from unlearnkit_stylegan2.layers import FullyConnected

from unlearnkit import ops

__all__ = ["bias_act", "march", "modulated_conv2d", "plain", "render", "sample_planes", "styled_conv2d", "upfirdn2d",
           "upsample2d"]


@contextlib.contextmanager
def plain() -> Iterator[None]:
    """While it lasts, our StyleGAN2 and EG3D compute in the authors' way, in training mode (un-fused convolutions).

    :raises RuntimeError: if StyleGAN2's layers use an operation of ours that is not written here the authors' way.
    """
    used = (set(ops.__all__) & vars(layers).keys()) - {"fir_filter"}
    if missing := used - LAYERS.keys():
        raise RuntimeError(f"{layers.__name__} uses {', '.join(sorted(missing))}, which plain_ops does not have")
    with (
        patch.dict(vars(layers), {name: LAYERS[name] for name in used}),
        patch.object(FullyConnected, "forward", _connect), patch("unlearnkit_eg3d.network.render", render),
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


# ---------------------------------------------------------------- EG3D's renderer

class Seen(NamedTuple):
    """Of each ray: colours ``(N, R, C)``, depth ``(N, R)``, and the weights of its intervals ``(N, R, S - 1)``."""

    colours: Tensor
    depth: Tensor
    weights: Tensor


def render(planes: Tensor, decoder: Decoder, origins: Tensor, directions: Tensor, settings: RenderSettings,
           draws: Draws) -> Rendered:
    """Volume rendering of planes ``(N, 3, 32, h, h)`` along rays ``(N, R, 3)``: coarse samples are composited to know
    where to look, then all samples are sorted, with their colours, and composited again."""
    near, far = limits(origins, directions, settings)
    depths = stratified(near, far, draws.offsets.to(near), settings.disparity)
    density, colour = _look(planes, decoder, origins, directions, depths, settings.box_warp)
    seen = march(depths, density, colour, settings.white_back)
    if settings.fine:
        more = _importance(depths, seen.weights, draws.importance.to(near))
        fine = _look(planes, decoder, origins, directions, more, settings.box_warp)
        merged = torch.cat([depths, more], -1), torch.cat([density, fine[0]], -1), torch.cat([colour, fine[1]], 2)
        seen = march(*_sorted(*merged), settings.white_back)
    return Rendered(seen.colours * 2 - 1, seen.depth, seen.weights.sum(-1))


def sample_planes(planes: Tensor, points: Tensor, box_warp: float) -> Tensor:
    """Mean features ``(N, M, C)`` of points ``(N, M, 3)`` on three planes ``(N, 3, C, h, w)``."""
    x, y, z = (points * (2 / box_warp)).unbind(-1)
    grid = torch.stack([torch.stack(pair, -1) for pair in ((x, y), (x, z), (z, x))], 1).flatten(0, 1)
    found = F.grid_sample(planes.flatten(0, 1), grid[:, None], mode="bilinear", padding_mode="zeros",
                          align_corners=False)
    return found.permute(0, 3, 2, 1).reshape(len(planes), 3, points.shape[1], -1).mean(1)


def march(depths: Tensor, density: Tensor, colour: Tensor, white_back: bool = False) -> Seen:
    """Composite samples in order of depth: densities ``(N, R, S)`` and colours ``(N, R, S, C)``, both at midpoints."""
    delta, middle = depths[..., 1:] - depths[..., :-1], (depths[..., :-1] + depths[..., 1:]) / 2
    colour = (colour[:, :, :-1] + colour[:, :, 1:]) / 2
    density = F.softplus((density[..., :-1] + density[..., 1:]) / 2 - 1)
    alpha = 1 - torch.exp(-density * delta)
    through = torch.cumprod(torch.cat([torch.ones_like(alpha[..., :1]), 1 - alpha + 1e-10], -1), -1)[..., :-1]
    weights = alpha * through
    colours, opacity = (weights[..., None] * colour).sum(2), weights.sum(-1)
    depth = torch.nan_to_num((weights * middle).sum(-1) / opacity, float("inf"))
    depth = depth.clamp(depths.min(), depths.max())
    return Seen(colours + 1 - opacity[..., None] if white_back else colours, depth, weights)


def _look(planes: Tensor, decoder: Decoder, origins: Tensor, directions: Tensor, depths: Tensor,
          box_warp: float) -> tuple[Tensor, Tensor]:
    """Densities ``(N, R, S)`` and colours ``(N, R, S, 32)`` at ``depths`` ``(N, R, S)``."""
    points = origins[:, :, None] + depths[..., None] * directions[:, :, None]
    features = sample_planes(planes, points.flatten(1, 2), box_warp).flatten(0, 1)
    out = _connect(decoder.net["2"], F.softplus(_connect(decoder.net["0"], features)))  # type: ignore[arg-type]
    out = out.unflatten(0, depths.shape)
    return out[..., 0], torch.sigmoid(out[..., 1:]) * (1 + 2 * 0.001) - 0.001


def _sorted(depths: Tensor, density: Tensor, colour: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    depths, order = depths.sort(dim=-1)
    return depths, density.gather(-1, order), colour.gather(2, order[..., None].expand_as(colour))


@torch.no_grad()
def _importance(depths: Tensor, weights: Tensor, draws: Tensor) -> Tensor:
    """Depths ``(N, R, F)`` by the inverse of the distribution that smoothed coarse weights give."""
    flat = weights.flatten(0, 1)[:, None]
    smooth = F.avg_pool1d(F.max_pool1d(flat, 2, 1, padding=1), 2, 1)[:, 0] + 0.01
    bins = (depths[..., :-1] + depths[..., 1:]).flatten(0, 1) / 2
    share = smooth[:, 1:-1] + 1e-5
    share = share / share.sum(-1, keepdim=True)
    cdf = torch.cat([torch.zeros_like(share[:, :1]), torch.cumsum(share, -1)], -1)
    u = draws.flatten(0, 1).contiguous()
    place = torch.searchsorted(cdf, u, right=True)
    ends = torch.stack([(place - 1).clamp_min(0), place.clamp_max(share.shape[-1])], -1).flatten(1)
    low, high = cdf.gather(1, ends).unflatten(1, (-1, 2)).unbind(-1)
    start, end = bins.gather(1, ends).unflatten(1, (-1, 2)).unbind(-1)
    width = high - low
    width[width < 1e-5] = 1.0
    return (start + (u - low) / width * (end - start)).unflatten(0, depths.shape[:2])
