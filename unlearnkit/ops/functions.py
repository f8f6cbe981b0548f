"""The public operations: they validate their arguments and dispatch to native kernels or pure PyTorch.

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
from unlearnkit.ops import native, reference, volume
from unlearnkit.ops import schemas as schemas  # defines torch.ops.unlearnkit
from unlearnkit.ops.reduced import cast_weight, is_reduced, plain_map, reduced_map
from unlearnkit.ops.volume import Composite, DecoderWeights

__all__ = ["bias_act", "fir_filter", "modulated_conv2d", "render_planes", "sample_planes", "styled_conv2d",
           "unit_distance", "upfirdn2d", "upsample2d"]

LRELU_SLOPE = 0.2
ACTIVATION = {"linear": (1.0, 1.0), "lrelu": (LRELU_SLOPE, math.sqrt(2.0))}
"""Negative slope, and gain."""
MIN_NATIVE_SIZE = {"bias_act": 1 << 18, "resample": 1 << 12, "blur": 1 << 22, "distance": 1 << 12}
"""Number of elements from which a native kernel is faster than PyTorch (measured on two cores). A filter without
resampling is faster in oneDNN until its image no longer fits the cache."""
FOLD_FACTOR = 64
"""Pixels per output channel from which modulation is folded into the weights. Folding makes about 8 passes over the 9
weights of each pair of channels, scaling about 5 over the pixels; 14 to 256 made no difference (measured)."""
FUSED_SIZES = (32, 64, 33)
"""Channels, hidden width and outputs of the decoder that the fused renderer supports: that of every published EG3D."""


def bias_act(
    x: Tensor, bias: Tensor | None = None, *, activation: str = "linear", gain: float | None = None,
    clamp: float | None = None, scale: Tensor | None = None, noise: Tensor | None = None,
) -> Tensor:
    """Multiply by a scale, add noise and a per-channel bias, apply the activation, multiply by a gain, clamp.

    In this order; a native kernel does it in one pass over memory.

    :param x: `(N, C, ...)`.
    :param bias: `(C,)` or None.
    :param activation: `linear`, or `lrelu` (leaky ReLU of slope 0.2).
    :param gain: positive factor; None for the activation's default: 1, or √2 for lrelu, which preserves the
        variance.
    :param clamp: limit of the absolute value of the result; None for no limit. The gradient is zero at the limit.
    :param scale: `(N, C)` or None.
    :param noise: any shape that broadcasts to `x`, or None.
    :returns: as `x`.
    :raises ShapeError: for an unknown activation, a gain that is not positive, a bias or scale of another shape.
    """
    if activation not in ACTIVATION:
        raise ShapeError(f"bias_act: activation is {activation!r}; use one of {sorted(ACTIVATION)}")
    slope, usual = ACTIVATION[activation]
    gain = usual if gain is None else float(gain)
    if gain <= 0:
        raise ShapeError(f"bias_act: gain is {gain}; it must be positive")
    if bias is not None and (bias.ndim != 1 or x.ndim < 2 or bias.shape[0] != x.shape[1]):
        raise ShapeError(f"bias_act: bias {tuple(bias.shape)} does not fit x {tuple(x.shape)}")
    if scale is not None and scale.shape != x.shape[:2]:
        raise ShapeError(f"bias_act: scale {tuple(scale.shape)} does not fit x {tuple(x.shape)}")
    limit = -1.0 if clamp is None else float(clamp)
    if is_reduced(x):
        bias, scale, noise = (None if given is None else given.to(x.dtype) for given in (bias, scale, noise))
    large = x.numel() >= max(MIN_NATIVE_SIZE["bias_act"], 1)
    fits = large and x.ndim > 2 and x.is_contiguous() and _is_plain_noise(noise, x)
    if fits and native.usable(x, bias, scale, noise):
        made: Tensor = torch.ops.unlearnkit.bias_act(x, bias, scale, noise, slope, gain, limit)
        return made
    return reference.fused_bias_act(x, bias, scale, noise, slope, gain, limit)


def _is_plain_noise(noise: Tensor | None, x: Tensor) -> bool:
    """True for noise `(..., H, W)` shared by all channels, per sample or not, which the native kernels support."""
    if noise is None:
        return True
    shape = (1,) * (x.ndim - noise.ndim) + tuple(noise.shape)
    return shape[1] == 1 and shape[0] in (1, len(x)) and shape[2:] == x.shape[2:]


def fir_filter(taps: Sequence[float]) -> Tensor:
    """The separable two-dimensional low-pass filter of one-dimensional taps.

    :param taps: for instance `(1, 3, 3, 1)`, the binomial filter of every published StyleGAN2.
    :returns: `(n, n)` float32: the outer product, normalised to sum 1.
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
    """Upsample with zeros, pad, convolve every channel with one FIR filter, downsample.

    A true convolution: the filter is flipped, as in signal processing and unlike `torch.conv2d`.

    :param x: `(N, C, H, W)`.
    :param kernel: `(fh, fw)`.
    :param up: `up - 1` zeros follow every value, including the last: `(H·up, W·up)`.
    :param down: keep every `down`-th value.
    :param padding: zeros at left, right, top, bottom, after `up`; negative values crop.
    :param gain: factor of the result.
    :returns: `(N, C, (H·up + top + bottom - fh) // down + 1, (W·up + left + right - fw) // down + 1)`.
    :raises ShapeError: if `x` or `kernel` has another number of dimensions.
    """
    _check_image_and_kernel("upfirdn2d", x, kernel)
    min_size = MIN_NATIVE_SIZE["blur" if up == down == 1 else "resample"]
    if not kernel.requires_grad and x.numel() >= min_size and native.usable(x, kernel):
        made: Tensor = torch.ops.unlearnkit.upfirdn2d(x, kernel, up, down, list(padding), float(gain))
        return made
    return reference.plain_upfirdn2d(x, kernel, up, down, padding, gain)


def upsample2d(x: Tensor, kernel: Tensor, *, up: int = 2, gain: float = 1.0) -> Tensor:
    """Upsample images with a low-pass filter, preserving brightness.

    Equal to `upfirdn2d` with `up`, gain `up²` and centred padding, but without multiplying by the inserted zeros.

    :param x: `(N, C, H, W)`.
    :param kernel: `(fh, fw)`, both at least `up`.
    :returns: `(N, C, H·up, W·up)`.
    :raises ShapeError: if `x` or `kernel` has another number of dimensions, or the filter is smaller
        than `up`.
    """
    _check_image_and_kernel("upsample2d", x, kernel)
    if min(kernel.shape) < up:
        raise ShapeError(f"upsample2d: filter {tuple(kernel.shape)} is smaller than the factor {up}")
    if not kernel.requires_grad and x.numel() >= MIN_NATIVE_SIZE["resample"] and native.usable(x, kernel):
        padding = reference.upsampling_padding(kernel, up)
        made: Tensor = torch.ops.unlearnkit.upfirdn2d(x, kernel, up, 1, padding, float(gain * up**2))
        return made
    return reference.plain_upsample2d(x, kernel, up, gain * up**2)


def modulated_conv2d(
    x: Tensor, weight: Tensor, styles: Tensor, *, demodulate: bool = True, up: int = 1,
    kernel: Tensor | None = None, noise: Tensor | None = None,
) -> Tensor:
    """Convolve every sample with its own weights: `weight · style`, normalised per output channel.

    :param x: `(N, I, H, W)`.
    :param weight: `(O, I, k, k)`, k odd; the convolution is a correlation of "same" size.
    :param styles: `(N, I)`.
    :param demodulate: normalise the weights of each output channel to unit L2 norm.
    :param up: 1, or 2 for a transposed convolution of stride 2 followed by the low-pass filter.
    :param kernel: `(f, f)` of the low-pass filter, needed for `up=2`.
    :param noise: added to the result; any shape that broadcasts to it, or None.
    :returns: `(N, O, H·up, W·up)`, float32 also where `x` is a map in bfloat16.
    :raises ShapeError: if the shapes do not match or `up` is neither 1 nor 2.
    """
    out, scale = _modulated(x, weight, styles, demodulate, up, kernel)
    out = plain_map(out)
    if scale is None:
        return out if noise is None else out + noise
    scale = scale[:, :, None, None]
    return out * scale if noise is None else torch.addcmul(noise, out, scale)


def styled_conv2d(
    x: Tensor, weight: Tensor, styles: Tensor, bias: Tensor | None = None, *, up: int = 1, kernel: Tensor | None = None,
    noise: Tensor | None = None, activation: str = "linear", gain: float | None = None, clamp: float | None = None,
) -> Tensor:
    """A full StyleGAN2 layer: :func:`modulated_conv2d` with demodulation, then noise, bias and :func:`bias_act`.

    Everything after the convolution is one pass over memory. Arguments and errors as for these two. Large maps are
    computed, and returned, in bfloat16 where :mod:`unlearnkit.ops.reduced` is on.
    """
    out, scale = _modulated(reduced_map(x), weight, styles, True, up, kernel)
    return bias_act(out, bias, activation=activation, gain=gain, clamp=clamp, scale=scale, noise=noise)


def _modulated(x: Tensor, weight: Tensor, styles: Tensor, demodulate: bool, up: int, kernel: Tensor | None
               ) -> tuple[Tensor, Tensor | None]:
    """The convolution, and the remaining scale of its output `(N, O)`, or None.

    Two equivalent ways: scale the input, convolve all samples with the same weights, scale the output; or, for large
    maps, fold both scales into per-sample weights, which are few compared to the pixels, and use a grouped convolution.
    With folded weights the gradient of the styles requires that of the weights, so this is only used for weights that
    are trained anyway.
    """
    _check_modulation(x, weight, styles, up, kernel)
    samples, outputs, pixels = len(x), len(weight), x.shape[2] * x.shape[3]
    if weight.shape[2:] == (1, 1) and up == 1 and not demodulate and not is_reduced(x):
        flat = torch.bmm(weight[:, :, 0, 0] * styles[:, None, :], x.flatten(2))
        return flat.unflatten(2, x.shape[2:]), None
    scale = reference.demodulation(weight, styles) if demodulate else None
    if pixels < FOLD_FACTOR * outputs or (is_reduced(x) and samples > 1) or not _folds(x, weight, styles):
        return _convolved(x * styles[:, :, None, None].to(x.dtype), weight, up, kernel, 1), scale
    factor = styles[:, None] if scale is None else scale[:, :, None] * styles[:, None]
    weights = (weight * factor[:, :, :, None, None]).flatten(0, 1)
    out = _convolved(x.reshape(1, -1, *x.shape[2:]), weights, up, kernel, samples)
    return out.reshape(samples, outputs, *out.shape[2:]), None


def _folds(x: Tensor, weight: Tensor, styles: Tensor) -> bool:
    """True if folding costs no gradient of weights that nobody wants."""
    if not torch.is_grad_enabled():
        return is_reduced(x)
    return weight.requires_grad or (is_reduced(x) and not styles.requires_grad)


def _convolved(x: Tensor, weight: Tensor, up: int, kernel: Tensor | None, groups: int) -> Tensor:
    """Convolution of "same" size; for up=2 a transposed one (weights not flipped), then the filter with gain 4."""
    weight = cast_weight(weight, x)
    if up == 1:
        return F.conv2d(x, weight, padding=weight.shape[-1] // 2, groups=groups)
    assert kernel is not None
    height, width = x.shape[2] * 2, x.shape[3] * 2
    turned = weight.unflatten(0, (groups, -1)).transpose(1, 2).flatten(0, 1)  # (groups * I, O, k, k)
    turned = turned.contiguous(memory_format=torch.channels_last if is_reduced(x) else torch.contiguous_format)
    x = F.conv_transpose2d(x, turned, stride=2, groups=groups)
    # The output has 2H + k - 2 values; pad so that the filter leaves 2H of them, centred.
    rows, columns = (size + taps - 1 - have for size, taps, have in
                     zip((height, width), kernel.shape, x.shape[2:], strict=True))
    padding = ((columns + 1) // 2, columns // 2, (rows + 1) // 2, rows // 2)
    return upfirdn2d(x, kernel, padding=padding, gain=4.0)


def unit_distance(a: Tensor, b: Tensor, weights: Tensor, *, eps: float = 1e-10) -> Tensor:
    """One stage of LPIPS: weighted squared distance of two feature maps, normalised over channels at each position.

    Zhang et al. 2018, arXiv 1801.03924, equation 1. Where all features of a position are 0, its norm has no gradient.

    :param a: `(N, C, H, W)`, not normalised.
    :param b: as `a`.
    :param weights: `(C,)`, of the squared difference in each channel.
    :param eps: added to each norm.
    :returns: `(N,)`: the weighted squares summed over channels, averaged over positions.
    :raises ShapeError: if the shapes do not match.
    """
    if a.ndim != 4 or a.shape != b.shape or weights.shape != a.shape[1:2]:
        raise ShapeError(f"unit_distance: a is {tuple(a.shape)}, b {tuple(b.shape)}, weights {tuple(weights.shape)}; "
                         "needs (N, C, H, W) twice and (C,)")
    if not weights.requires_grad and a.numel() >= max(MIN_NATIVE_SIZE["distance"], 1) and native.usable(a, b, weights):
        made: Tensor = torch.ops.unlearnkit.unit_distance(a, b, weights, float(eps))
        return made
    return reference.plain_unit_distance(a, b, weights, eps)


def sample_planes(planes: Tensor, points: Tensor, box_warp: float) -> Tensor:
    """Mean features of points on tri-planes: at (x, y) of the first, (x, z) of the second and (z, x) of the third.

    The third is the second transposed, a bug of EG3D's release that every published checkpoint was trained with.

    :param planes: `(N, 3, C, h, h)`.
    :param points: `(N, M, 3)`; the planes span ±`box_warp` / 2, with zeros outside.
    :returns: `(N, M, C)`.
    :raises ShapeError: if the shapes do not match.
    """
    _check_planes("sample_planes", planes)
    if points.ndim != 3 or points.shape[0] != len(planes) or points.shape[2] != 3:
        raise ShapeError(f"sample_planes: points are {tuple(points.shape)}; needs ({len(planes)}, M, 3)")
    if not points.requires_grad and native.usable(planes, points):
        found: Tensor = torch.ops.unlearnkit.sample_planes(planes, points, float(box_warp))
        return found
    return volume.sample_merged(volume.merged_planes(planes), points, box_warp)


def render_planes(
    planes: Tensor, decoder: DecoderWeights, origins: Tensor, directions: Tensor, depths: Tensor, draws: Tensor, *,
    box_warp: float, margin: float = 0.001, white_back: bool = False,
) -> Composite:
    """Volume rendering of tri-planes along rays, including the decoder; formulas in :mod:`unlearnkit.ops.volume`.

    :param planes: `(N, 3, C, h, h)`.
    :param decoder: w1 `(H, C)`, b1 `(H,)`, w2 `(1 + K, H)`, b2 `(1 + K,)`; the first output is density, then K colours.
    :param origins: `(N, R, 3)`, like `directions`.
    :param depths: `(N, R, S)`, increasing: the coarse samples of each ray, S at least 4.
    :param draws: `(N, R, F)` in [0, 1): uniform draws for F importance samples; F may be 0.
    :param margin: colours range from -margin to 1 + margin.
    :param white_back: use a background of 1 instead of 0.
    :returns: colours `(N, R, K)`, depth and opacity `(N, R)`.
    :raises ShapeError: if the shapes do not match.
    """
    _check_rays(planes, decoder, origins, directions, depths, draws)
    w1, b1, w2, b2 = decoder
    tensors = (planes, w1, b1, w2, b2, origins, directions, depths, draws)
    numbers = (float(box_warp), float(margin))
    no_gradient = not any(tensor.requires_grad for tensor in (origins, directions, depths))
    # Limits of the native kernels; published checkpoints are within them.
    fits = (w1.shape[1], w1.shape[0], len(w2)) == FUSED_SIZES and depths.shape[2] + draws.shape[2] <= 1024
    if no_gradient and fits and native.usable(*tensors):
        *seen, depths = torch.ops.unlearnkit.render_planes(*tensors, *numbers)
    else:
        *seen, depths = volume.render_composite(planes, decoder, origins, directions, depths, draws, *numbers)
    return volume.finished(Composite(*seen), depths, white_back)


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


def _check_planes(name: str, planes: Tensor) -> None:
    if planes.ndim != 5 or planes.shape[1] != 3 or planes.shape[3] != planes.shape[4]:
        raise ShapeError(f"{name}: planes are {tuple(planes.shape)}; needs (N, 3, C, h, h)")


def _check_rays(planes: Tensor, decoder: DecoderWeights, origins: Tensor, directions: Tensor, depths: Tensor,
                draws: Tensor) -> None:
    _check_planes("render_planes", planes)
    w1, b1, w2, b2 = decoder
    hidden, outputs = w1.shape[0], w2.shape[0]
    if w1.shape[1] != planes.shape[2] or b1.shape != (hidden,) or w2.shape[1] != hidden or b2.shape != (outputs,):
        raise ShapeError(f"render_planes: a decoder of {[tuple(t.shape) for t in decoder]} does not fit planes "
                         f"{tuple(planes.shape)}; needs (H, C), (H,), (1 + K, H) and (1 + K,)")
    rays = (len(planes), depths.shape[1] if depths.ndim == 3 else -1)
    if origins.shape != (*rays, 3) or directions.shape != (*rays, 3) or depths.shape[:2] != rays \
            or draws.shape[:2] != rays or draws.ndim != 3 or depths.shape[2] < 4:
        raise ShapeError(f"render_planes: origins {tuple(origins.shape)}, directions {tuple(directions.shape)}, depths "
                         f"{tuple(depths.shape)}, draws {tuple(draws.shape)}; needs (N, R, 3) twice, (N, R, S) with S "
                         "of 4 or more, and (N, R, F)")
