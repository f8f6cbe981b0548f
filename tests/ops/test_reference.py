"""Each operation against a slow and obvious implementation, and its gradients against finite differences."""

import math

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from unlearnkit.errors import ShapeError
from unlearnkit.ops import bias_act, fir_filter, modulated_conv2d, upfirdn2d, upsample2d

USUAL = fir_filter((1, 3, 3, 1)).double()
CROOKED = fir_filter((1, 2, 4, 9)).double()  # not symmetric: a forgotten flip shows


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def slow_upfirdn2d(x, kernel, up, down, padding, gain):
    left, right, top, bottom = padding
    n, c, h, w = x.shape
    big = x.new_zeros(n, c, h * up + top + bottom, w * up + left + right)
    for i in range(h):
        for j in range(w):
            row, column = i * up + top, j * up + left
            if 0 <= row < big.shape[2] and 0 <= column < big.shape[3]:
                big[:, :, row, column] = x[:, :, i, j]
    rows, columns = big.shape[2] - kernel.shape[0] + 1, big.shape[3] - kernel.shape[1] + 1
    out = x.new_zeros(n, c, rows, columns)
    for i in range(rows):
        for j in range(columns):
            for a in range(kernel.shape[0]):
                for b in range(kernel.shape[1]):
                    tap = kernel[kernel.shape[0] - 1 - a, kernel.shape[1] - 1 - b]
                    out[:, :, i, j] += tap * big[:, :, i + a, j + b]
    return out[:, :, ::down, ::down] * gain


def slow_modulated_conv2d(x, weight, styles, demodulate, up, kernel, noise):
    out = []
    for sample, style in zip(x, styles, strict=True):
        own = weight * style[None, :, None, None]
        if demodulate:
            own = own / torch.sqrt((own**2).sum((1, 2, 3), keepdim=True) + 1e-8)
        if up == 1:
            out.append(torch.conv2d(sample[None], own, padding=weight.shape[-1] // 2))
        else:
            # A transposed convolution spreads each value over the 3×3 weights, two pixels apart.
            spread = sample.new_zeros(1, weight.shape[0], 2 * x.shape[2] + 1, 2 * x.shape[3] + 1)
            for i in range(x.shape[2]):
                for j in range(x.shape[3]):
                    patch = torch.einsum("i,oikl->okl", sample[:, i, j], own)
                    spread[0, :, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3] += patch
            out.append(slow_upfirdn2d(spread, kernel, 1, 1, (1, 1, 1, 1), 4.0))
    result = torch.cat(out)
    return result if noise is None else result + noise


def test_fir_filter_is_normalised_and_separable():
    assert_close(fir_filter((1, 3, 3, 1)) * 64, torch.outer(*[torch.tensor([1.0, 3, 3, 1])] * 2))
    assert_close(CROOKED.sum(), torch.tensor(1.0).double())


@pytest.mark.parametrize("taps", [(), (1, -1)])
def test_fir_filter_refuses_taps_without_a_sum(taps):
    with pytest.raises(ShapeError, match="sum"):
        fir_filter(taps)


@pytest.mark.parametrize("activation", ["linear", "lrelu"])
@pytest.mark.parametrize("gain", [None, 0.7])
@pytest.mark.parametrize("clamp", [None, 0.5])
@pytest.mark.parametrize("shape", [(3, 5), (3, 5, 4, 2)])
def test_bias_act(activation, gain, clamp, shape):
    x, bias = normal(*shape), normal(5, seed=1)
    kept = x.clone()
    expected = torch.empty_like(x)
    for index in torch.cartesian_prod(*map(torch.arange, shape)).tolist():
        value = float(x[tuple(index)] + bias[index[1]])
        if activation == "lrelu":
            value = value if value > 0 else 0.2 * value
        value *= gain if gain else (math.sqrt(2) if activation == "lrelu" else 1.0)
        expected[tuple(index)] = value if clamp is None else max(-clamp, min(clamp, value))
    assert_close(bias_act(x, bias, activation=activation, gain=gain, clamp=clamp), expected)
    assert_close(x, kept)


@pytest.mark.parametrize("activation", ["linear", "lrelu"])
def test_bias_act_without_bias_leaves_its_input_alone(activation):
    x = normal(2, 3)
    kept = x.clone()
    with_zeros = bias_act(x, torch.zeros(3).double(), activation=activation)
    assert_close(bias_act(x, activation=activation), with_zeros)
    assert_close(x, kept)


@pytest.mark.parametrize("settings", [{"activation": "relu"}, {"gain": 0.0}, {"bias": torch.zeros(4)}])
def test_bias_act_refuses(settings):
    with pytest.raises(ShapeError, match="bias_act"):
        bias_act(torch.zeros(2, 3), **settings)


@pytest.mark.parametrize("up", [1, 2, 3])
@pytest.mark.parametrize("down", [1, 2])
@pytest.mark.parametrize("padding", [(1, 1, 2, 2), (2, 1, 2, 1), (3, 0, 1, 2), (-1, 2, 3, -1)])
def test_upfirdn2d(up, down, padding):
    x, kernel = normal(2, 3, 4, 5), normal(3, 4, seed=1)
    expected = slow_upfirdn2d(x, kernel, up, down, padding, 1.5)
    assert_close(upfirdn2d(x, kernel, up=up, down=down, padding=padding, gain=1.5), expected)


@pytest.mark.parametrize("kernel", [USUAL, CROOKED, normal(2, 3), normal(5, 4), normal(6, 7)])
def test_upsample2d_is_upfirdn2d(kernel):
    x = normal(2, 3, 4, 5)
    (top, bottom), (left, right) = (((size + 1) // 2, (size - 2) // 2) for size in kernel.shape)
    expected = slow_upfirdn2d(x, kernel, 2, 1, (left, right, top, bottom), 4.0)
    assert_close(upsample2d(x, kernel), expected)


def test_upsample2d_keeps_brightness():
    assert_close(upsample2d(torch.ones(1, 1, 6, 6), USUAL)[:, :, 2:-2, 2:-2], torch.ones(1, 1, 8, 8))


@pytest.mark.parametrize(
    ("x", "kernel"), [(torch.zeros(3, 4, 4), USUAL), (torch.zeros(1, 3, 4, 4), torch.ones(1, 1)),
                      (torch.zeros(1, 3, 4, 4), torch.ones(4))])
def test_upsample2d_refuses(x, kernel):
    with pytest.raises(ShapeError, match="upsample2d"):
        upsample2d(x, kernel)


@pytest.mark.parametrize("demodulate", [False, True])
@pytest.mark.parametrize("noisy", [False, True])
@pytest.mark.parametrize(
    ("size", "up", "kernel"), [(1, 1, None), (3, 1, None), (3, 2, USUAL), (3, 2, CROOKED)])
def test_modulated_conv2d(demodulate, noisy, size, up, kernel):
    x, weight, styles = normal(2, 3, 5, 4), normal(6, 3, size, size, seed=1), normal(2, 3, seed=2)
    noise = normal(5 * up, 4 * up, seed=3) if noisy else None
    expected = slow_modulated_conv2d(x, weight, styles, demodulate, up, kernel, noise)
    ours = modulated_conv2d(x, weight, styles, demodulate=demodulate, up=up, kernel=kernel, noise=noise)
    assert_close(ours, expected)


@pytest.mark.parametrize(
    "wrong", [{"styles": torch.zeros(2, 4)}, {"weight": torch.zeros(6, 4, 3, 3)}, {"up": 2},
              {"up": 3, "kernel": USUAL}, {"x": torch.zeros(3, 5, 5)}])
def test_modulated_conv2d_refuses(wrong):
    usual = {"x": torch.zeros(2, 3, 5, 5), "weight": torch.zeros(6, 3, 3, 3), "styles": torch.zeros(2, 3)}
    with pytest.raises(ShapeError, match="modulated_conv2d"):
        modulated_conv2d(**usual | wrong)


@pytest.mark.parametrize("check", [torch.autograd.gradcheck, torch.autograd.gradgradcheck])
@pytest.mark.parametrize("name", ["bias_act", "upfirdn2d", "upsample2d", "conv", "conv_up", "to_rgb"])
def test_gradients(check, name):
    x, bias = normal(2, 2, 3, 2).requires_grad_(), normal(2, seed=1).requires_grad_()
    styles, weight = normal(2, 2, seed=2).requires_grad_(), normal(2, 2, 3, 3, seed=3).requires_grad_()
    small, noise = normal(3, 2, 1, 1, seed=4).requires_grad_(), normal(6, 4, seed=5).requires_grad_()
    function, inputs = {
        "bias_act": (lambda x, b: bias_act(x, b, activation="lrelu", clamp=2.0), (x, bias)),
        "upfirdn2d": (lambda x: upfirdn2d(x, CROOKED, up=2, down=3, padding=(2, 1, 1, 2)), (x,)),
        "upsample2d": (lambda x: upsample2d(x, CROOKED), (x,)),
        "conv": (modulated_conv2d, (x, weight, styles)),
        "conv_up": (lambda x, w, s, n: modulated_conv2d(x, w, s, up=2, kernel=CROOKED, noise=n),
                    (x, weight, styles, noise)),
        "to_rgb": (lambda x, w, s: modulated_conv2d(x, w, s, demodulate=False), (x, small, styles)),
    }[name]
    assert check(function, inputs)
