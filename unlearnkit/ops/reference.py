"""Pure-PyTorch kernels, twice differentiable, in float32 and float64, on every device. Arguments are not validated.

Formulas: Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", arXiv 1912.04958, section
2.2 (modulation and demodulation) and appendix B (activations and filters).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    "demodulation", "fir_size", "fused_bias_act", "fused_bias_act_gradients", "plain_unit_distance", "plain_upfirdn2d",
    "plain_upsample2d", "unit_distance_gradients", "upsampling_padding",
]

DEMODULATION_EPS = 1e-8


def fused_bias_act(x: Tensor, bias: Tensor | None, scale: Tensor | None, noise: Tensor | None, slope: float,
                   gain: float, clamp: float) -> Tensor:
    """``clamp(lrelu((x * scale + noise + bias) * gain))`` of x ``(N, C, ...)``; no clamping if negative."""
    rest = [1] * (x.ndim - 2)
    if scale is not None and noise is not None:
        x = torch.addcmul(noise, x, scale.view(*scale.shape, *rest))
    elif scale is not None:
        x = x * scale.view(*scale.shape, *rest)
    elif noise is not None:
        x = x + noise
    # The activation is positively homogeneous: applying the gain before it saves a pass over x.
    x = x * gain if bias is None else torch.add((bias * gain).view(-1, *rest), x, alpha=gain)
    if slope != 1:
        x = F.leaky_relu(x, slope, inplace=True)  # in place on our own tensor, never on the caller's
    if clamp < 0:
        return x
    # The same but for gradients at the very border; its gradient is faster in bfloat16.
    return F.hardtanh(x, -clamp, clamp) if x.dtype == torch.bfloat16 else x.clamp(-clamp, clamp)


def fused_bias_act_gradients(
    dy: Tensor, y: Tensor, x: Tensor | None, scale: Tensor | None, noise: Tensor | None, slope: float, gain: float,
    clamp: float, want_bias: bool,
) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]:
    """Gradients of x, bias, scale (if x is given) and noise (if it is given), with masks derived from the output y.

    Masks are piecewise constant and treated as constants, so the result can be differentiated again.
    """
    rest = tuple(range(2, y.ndim))
    y = y.detach()
    g = torch.where(y < 0, dy * (slope * gain), dy * gain)
    if clamp >= 0:
        g = g * (y.abs() < clamp)
    dbias = g.sum((0, *rest)) if want_bias else None
    dscale = None if x is None else (g * x).sum(rest)
    dnoise = None if noise is None else g.sum_to_size(noise.shape)
    return (g if scale is None else g * scale.view(*scale.shape, *[1] * len(rest))), dbias, dscale, dnoise


def fir_size(x: Tensor, kernel: Tensor, up: int, down: int, padding: Sequence[int]) -> tuple[int, int]:
    """Height and width of upfirdn2d's output."""
    left, right, top, bottom = padding
    (height, width), (fh, fw) = x.shape[2:], kernel.shape
    return (height * up + top + bottom - fh) // down + 1, (width * up + left + right - fw) // down + 1


def plain_upfirdn2d(x: Tensor, kernel: Tensor, up: int, down: int, padding: Sequence[int], gain: float) -> Tensor:
    """Zero-stuffing, padding, depth-wise convolution with the flipped filter, striding by `down`."""
    n, channels, height, width = x.shape
    if up > 1:
        stuffed = x.new_zeros(n, channels, height, up, width, up)
        stuffed[:, :, :, 0, :, 0] = x
        x = stuffed.reshape(n, channels, height * up, width * up)
    left, right, top, bottom = padding
    if left == right >= 0 and top == bottom >= 0:
        inner = (top, left)
    else:
        x, inner = F.pad(x, (left, right, top, bottom)), (0, 0)
    return F.conv2d(x, _depthwise(kernel.flip(0, 1) * gain, x), stride=down, padding=inner, groups=channels)


def upsampling_padding(kernel: Tensor, up: int) -> list[int]:
    """Left, right, top, bottom padding that keeps the upsampled image centred."""
    (fh, fw) = kernel.shape
    return [(fw + up - 1) // 2, (fw - up) // 2, (fh + up - 1) // 2, (fh - up) // 2]


def plain_upsample2d(x: Tensor, kernel: Tensor, up: int, gain: float) -> Tensor:
    """upfirdn2d with `up`, centred, as a transposed depth-wise convolution, which skips the inserted zeros."""
    height, width = x.shape[2] * up, x.shape[3] * up
    # Centred padding of the zero-stuffed image is (f + up - 1) // 2 in front, so this many leading values of the full
    # convolution are dropped.
    top, left = (size - 1 - (size + up - 1) // 2 for size in kernel.shape)
    symmetric = kernel.shape[0] - up == 2 * top and kernel.shape[1] - up == 2 * left
    weight = _depthwise(kernel * gain, x)
    crop = (top, left) if symmetric else (0, 0)
    full = F.conv_transpose2d(x, weight, stride=up, padding=crop, groups=x.shape[1])
    return full if symmetric else full[:, :, top : top + height, left : left + width]


def plain_unit_distance(a: Tensor, b: Tensor, weights: Tensor, eps: float) -> Tensor:
    """Mean over positions of ``sum_c weights_c (a / (|a| + eps) - b / (|b| + eps))^2``; maps ``(N, C, H, W)``."""
    # vector_norm has gradient 0 where all channels are 0; the square root of a sum of squares would give NaN.
    unit_a, unit_b = (x / (torch.linalg.vector_norm(x, dim=1, keepdim=True) + eps) for x in (a, b))
    return F.conv2d((unit_a - unit_b).square(), weights.view(1, -1, 1, 1)).mean((1, 2, 3))


def unit_distance_gradients(grad: Tensor, a: Tensor, b: Tensor, weights: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Gradients of both maps given that of the distances ``(N,)``, without autograd."""
    lengths = [torch.linalg.vector_norm(x, dim=1, keepdim=True) for x in (a, b)]
    unit_a, unit_b = (x / (length + eps) for x, length in zip((a, b), lengths, strict=True))
    slope = weights.view(1, -1, 1, 1) * (unit_a - unit_b) * (2 * grad.view(-1, 1, 1, 1) / a[0, 0].numel())
    found = []
    for x, length, towards in ((a, lengths[0], slope), (b, lengths[1], -slope)):
        along = torch.where(length > 0, (towards * x).sum(1, keepdim=True) / (length * (length + eps)), 0)
        found.append((towards - x * along) / (length + eps))
    return found[0], found[1]


def demodulation(weight: Tensor, styles: Tensor) -> Tensor:
    """``1 / sqrt(sum (w s)^2 + 1e-8)`` of each sample and output channel ``(N, O)``.

    Computed as ``s^2 (sum_kk w^2)^T``, without a tensor ``(N, O, I, k, k)``.
    """
    squares: Tensor = _SquareSums.apply(weight)
    return ((styles**2) @ squares.T + DEMODULATION_EPS).rsqrt()


class _SquareSums(torch.autograd.Function):
    """``weight.square().sum((2, 3))``, its gradient in one pass over the weights rather than three."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor) -> Tensor:
        ctx.save_for_backward(weight)
        # As a matrix product: a sum over so few elements is slower.
        return weight.square().flatten(2) @ weight.new_ones(weight.shape[2] * weight.shape[3])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        weight, = ctx.saved_tensors
        return weight * (2 * grad)[:, :, None, None]


def _depthwise(kernel: Tensor, x: Tensor) -> Tensor:
    """The filter `(fh, fw)` as weights `(C, 1, fh, fw)` in the dtype of `x`."""
    return kernel.to(x.dtype).expand(x.shape[1], 1, *kernel.shape).contiguous()
