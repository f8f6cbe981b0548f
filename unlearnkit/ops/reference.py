"""Pure-PyTorch kernels, differentiable twice, in float32 and float64, on every device.

Formulas: Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", arXiv 1912.04958, section
2.2 (modulation and demodulation) and appendix B (activations and filters).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from unlearnkit.errors import ShapeError

__all__ = ["bias_act", "fir_filter", "modulated_conv2d", "upfirdn2d", "upsample2d"]

LRELU_SLOPE = 0.2
DEMODULATION_EPS = 1e-8
ACTIVATION_GAIN = {"linear": 1.0, "lrelu": math.sqrt(2.0)}


def bias_act(
    x: Tensor, bias: Tensor | None = None, *, activation: str = "linear", gain: float | None = None,
    clamp: float | None = None,
) -> Tensor:
    """Add a bias per channel, apply the activation, multiply by a gain, clamp: in this order.

    :param x: `(N, C, ...)`.
    :param bias: `(C,)` or None.
    :param activation: `linear`, or `lrelu` (leaky ReLU of slope 0.2).
    :param gain: positive factor; None stands for the activation's own: 1, or √2 for lrelu, which keeps the
        variance.
    :param clamp: limit of the absolute value of the result; None for no limit.
    :returns: as `x`.
    :raises ShapeError: for an unknown activation, a gain that is not positive, a bias of another length.
    """
    if activation not in ACTIVATION_GAIN:
        raise ShapeError(f"bias_act: activation is {activation!r}; use one of {sorted(ACTIVATION_GAIN)}")
    gain = ACTIVATION_GAIN[activation] if gain is None else float(gain)
    if gain <= 0:
        raise ShapeError(f"bias_act: gain is {gain}; it must be positive")
    # Both activations are positively homogeneous: the gain may go in before them, which saves a pass over x.
    if bias is not None:
        if bias.ndim != 1 or x.ndim < 2 or bias.shape[0] != x.shape[1]:
            raise ShapeError(f"bias_act: bias {tuple(bias.shape)} does not fit x {tuple(x.shape)}")
        x = torch.add((bias * gain).reshape(-1, *[1] * (x.ndim - 2)), x, alpha=gain)
    else:
        x = x * gain
    if activation == "lrelu":
        x = F.leaky_relu(x, LRELU_SLOPE, inplace=True)  # in place on our own tensor, never on the caller's
    return x if clamp is None else x.clamp(-clamp, clamp)


def fir_filter(taps: Sequence[float]) -> Tensor:
    """Make the separable two-dimensional low-pass filter of one-dimensional taps.

    :param taps: for instance `(1, 3, 3, 1)`, the binomial filter of every published StyleGAN2.
    :returns: `(n, n)` float32: the outer product, of sum 1.
    :raises ShapeError: if there are no taps or their sum is 0.
    """
    if not sum(taps):
        raise ShapeError(f"fir_filter: taps are {tuple(taps)}; give numbers whose sum is not 0")
    row = torch.tensor(taps, dtype=torch.float32) / sum(taps)
    return torch.outer(row, row)


def upfirdn2d(
    x: Tensor, kernel: Tensor, *, up: int = 1, down: int = 1, padding: Sequence[int] = (0, 0, 0, 0),
    gain: float = 1.0,
) -> Tensor:
    """Insert zeros, pad, convolve every channel with one filter, keep every `down`-th value.

    A true convolution: the filter is flipped, as in signal processing and unlike `torch.conv2d`.

    :param x: `(N, C, H, W)`.
    :param kernel: `(fh, fw)`.
    :param up: `up - 1` zeros follow every value, the last one too: `(H·up, W·up)`.
    :param down: step of the result.
    :param padding: zeros at left, right, top, bottom, after `up`; negative numbers cut off.
    :param gain: factor of the result.
    :returns: `(N, C, (H·up + top + bottom - fh) // down + 1, (W·up + left + right - fw) // down + 1)`.
    :raises ShapeError: if `x` or `kernel` has another number of dimensions.
    """
    _check_image_and_kernel("upfirdn2d", x, kernel)
    channels = x.shape[1]
    if up > 1:
        stuffed = x.new_zeros(x.shape[0], channels, x.shape[2], up, x.shape[3], up)
        stuffed[:, :, :, 0, :, 0] = x
        x = stuffed.reshape(x.shape[0], channels, x.shape[2] * up, x.shape[3] * up)
    left, right, top, bottom = padding
    if left == right >= 0 and top == bottom >= 0:
        inner = (top, left)
    else:
        x, inner = F.pad(x, (left, right, top, bottom)), (0, 0)
    return F.conv2d(x, _depthwise(kernel.flip(0, 1) * gain, x), stride=down, padding=inner, groups=channels)


def upsample2d(x: Tensor, kernel: Tensor, *, up: int = 2, gain: float = 1.0) -> Tensor:
    """Enlarge pictures: zeros between the pixels, then the low-pass filter, brightness kept.

    Equal to `upfirdn2d` with `up`, gain `up²` and the padding that keeps the picture centred, but computed as
    a transposed depth-wise convolution, which does not multiply the zeros: 3 times faster, 10 in the backward
    pass.

    :param x: `(N, C, H, W)`.
    :param kernel: `(fh, fw)`, both at least `up`.
    :returns: `(N, C, H·up, W·up)`.
    :raises ShapeError: if `x` or `kernel` has another number of dimensions, or the filter is smaller
        than `up`.
    """
    _check_image_and_kernel("upsample2d", x, kernel)
    if min(kernel.shape) < up:
        raise ShapeError(f"upsample2d: filter {tuple(kernel.shape)} is smaller than the factor {up}")
    height, width = x.shape[2] * up, x.shape[3] * up
    # Centred padding of the zero-stuffed picture is (f + up - 1) // 2 in front: so many values of the full
    # convolution are dropped in front.
    top, left = (size - 1 - (size + up - 1) // 2 for size in kernel.shape)
    symmetric = kernel.shape[0] - up == 2 * top and kernel.shape[1] - up == 2 * left
    weight = _depthwise(kernel * (gain * up**2), x)
    crop = (top, left) if symmetric else (0, 0)
    full = F.conv_transpose2d(x, weight, stride=up, padding=crop, groups=x.shape[1])
    return full if symmetric else full[:, :, top : top + height, left : left + width]


def modulated_conv2d(
    x: Tensor, weight: Tensor, styles: Tensor, *, demodulate: bool = True, up: int = 1,
    kernel: Tensor | None = None, noise: Tensor | None = None,
) -> Tensor:
    """Convolve every sample with weights of its own: `weight · style`, normalised per output channel.

    Computed as scale, shared convolution, scale; the demodulation `1/sqrt(Σ (w·s)² + 1e-8)` needs only
    `s² · (Σ_kk w²)ᵀ`, so no `(N, O, I, k, k)` tensor ever exists.

    :param x: `(N, I, H, W)`.
    :param weight: `(O, I, k, k)`, k odd; the convolution is a correlation of "same" size.
    :param styles: `(N, I)`.
    :param demodulate: normalise the weights of each output channel to length 1.
    :param up: 1, or 2 for a transposed convolution of stride 2 followed by the low-pass filter.
    :param kernel: `(f, f)` of the low-pass filter, needed for `up=2`.
    :param noise: added to the result; any shape that broadcasts to it, or None.
    :returns: `(N, O, H·up, W·up)`.
    :raises ShapeError: if the shapes do not fit together or `up` is neither 1 nor 2.
    """
    _check_modulation(x, weight, styles, up, kernel)
    if weight.shape[2:] == (1, 1) and up == 1 and not demodulate:
        out = torch.bmm(weight[:, :, 0, 0] * styles[:, None, :], x.flatten(2)).unflatten(2, x.shape[2:])
        return out if noise is None else out + noise
    x = x * styles[:, :, None, None]
    if up == 1:
        x = F.conv2d(x, weight, padding=weight.shape[-1] // 2)
    else:
        assert kernel is not None
        x = _transposed_conv2d(x, weight, kernel)
    if not demodulate:
        return x if noise is None else x + noise
    scale = ((styles**2) @ weight.square().sum((2, 3)).T + DEMODULATION_EPS).rsqrt()[:, :, None, None]
    return x * scale if noise is None else torch.addcmul(noise, x, scale)


def _transposed_conv2d(x: Tensor, weight: Tensor, kernel: Tensor) -> Tensor:
    """Double the size: transposed convolution (weights not flipped), then the low-pass filter with gain 4."""
    height, width = x.shape[2] * 2, x.shape[3] * 2
    x = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
    # (2H + k - 2) values come out; pad so that the filter leaves 2H of them, centred.
    rows, columns = (size + taps - 1 - have for size, taps, have in
                     zip((height, width), kernel.shape, x.shape[2:], strict=True))
    padding = ((columns + 1) // 2, columns // 2, (rows + 1) // 2, rows // 2)
    return upfirdn2d(x, kernel, padding=padding, gain=4.0)


def _depthwise(kernel: Tensor, x: Tensor) -> Tensor:
    """The filter `(fh, fw)` as weights `(C, 1, fh, fw)` in the type of `x`."""
    return kernel.to(x.dtype).expand(x.shape[1], 1, *kernel.shape).contiguous()


def _check_image_and_kernel(name: str, x: Tensor, kernel: Tensor) -> None:
    if x.ndim != 4 or kernel.ndim != 2:
        raise ShapeError(f"{name}: needs x (N, C, H, W) and a filter (fh, fw), not {tuple(x.shape)} and "
                         f"{tuple(kernel.shape)}")


def _check_modulation(x: Tensor, weight: Tensor, styles: Tensor, up: int, kernel: Tensor | None) -> None:
    if x.ndim != 4 or weight.ndim != 4 or weight.shape[1] != x.shape[1] or styles.shape != x.shape[:2]:
        raise ShapeError(f"modulated_conv2d: x {tuple(x.shape)}, weight {tuple(weight.shape)} and styles "
                         f"{tuple(styles.shape)} do not fit; needs (N, I, H, W), (O, I, k, k) and (N, I)")
    if up not in (1, 2) or (up == 2 and kernel is None):
        raise ShapeError(f"modulated_conv2d: up={up} with filter {kernel}; up is 1, or 2 with a filter")
