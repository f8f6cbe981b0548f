"""bias_act, upfirdn2d and sample_planes for CUDA against PyTorch, run on the CPU, and on a GPU if there is one."""

from __future__ import annotations

import ctypes

import pytest
import torch
from torch.testing import assert_close

from unlearnkit.ops import reference, volume
from unlearnkit.ops.native import STRUCTURES

TOLERANCE = {torch.float32: 2e-5, torch.float64: 1e-11}
both_types = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


def close(found, wanted):
    for one, other in zip(found, wanted, strict=True):
        scale = max(1.0, float(other.abs().max())) if other.numel() else 1.0
        assert_close(one, other, rtol=0, atol=scale * TOLERANCE[one.dtype])


@both_types
@pytest.mark.parametrize("clamp", [-1.0, 0.7])
@pytest.mark.parametrize("noise_n", [0, 1, 2])
@pytest.mark.parametrize(("c", "height", "width"), [(3, 5, 7), (19, 4, 4), (11, 24, 16), (2, 1, 1)])
def test_bias_act(kernels, draw, c, height, width, noise_n, clamp, dtype):
    x, bias, scale = draw(2, c, height, width, dtype=dtype), draw(c, dtype=dtype), draw(2, c, dtype=dtype)
    noise = draw(noise_n, 1, height, width, dtype=dtype) if noise_n else None
    given = [x, bias, scale, *([noise] if noise_n else [])]
    for tensor in given:
        tensor.requires_grad_()
    y = reference.fused_bias_act(x, bias, scale, noise, 0.2, 2**0.5, clamp)
    dy = draw(*x.shape, dtype=dtype)
    wanted = torch.autograd.grad(y, given, dy)
    sizes = {"n": 2, "c": c, "hw": height * width, "noise_n": noise_n, "slope": 0.2, "gain": 2**0.5, "clamp": clamp}
    close(kernels.run("bias_act", {"y": x.shape}, x=x, bias=bias, scale=scale, noise=noise, **sizes), [y.detach()])
    outputs = {"dx": x.shape, "dbias": (c,), "dscale": (2, c), **({"dnoise": noise.shape} if noise_n else {})}
    close(kernels.run("bias_act", outputs, True, x=x, scale=scale, y=y, dy=dy, **sizes), wanted)


@both_types
def test_bias_act_of_what_is_not_given_or_not_wanted(kernels, draw, dtype):
    x, dy = draw(2, 3, 9, dtype=dtype), draw(2, 3, 9, dtype=dtype)
    sizes = {"n": 2, "c": 3, "hw": 9, "noise_n": 0, "slope": 1.0, "gain": 0.5, "clamp": -1.0}
    y = x * 0.5
    close(kernels.run("bias_act", {"y": x.shape}, x=x, **sizes), [y])
    close(kernels.run("bias_act", {"dx": x.shape}, True, y=y, dy=dy, **sizes), [dy * 0.5])
    close(kernels.run("bias_act", {"dbias": (3,)}, True, y=y, dy=dy, **sizes), [dy.sum((0, 2)) * 0.5])


def test_bias_act_adds_up_a_large_picture(kernels, draw):
    """Every warp has a share in the sum, and every block makes more than one."""
    y, dy = draw(2, 5, 30000), draw(2, 5, 30000)
    sizes = {"n": 2, "c": 5, "hw": 30000, "noise_n": 0, "slope": 1.0, "gain": 1.0, "clamp": -1.0}
    found = kernels.run("bias_act", {"dbias": (5,), "dscale": (2, 5)}, True, x=y, y=y, dy=dy, **sizes)
    close(found, [dy.sum((0, 2)), (dy * y).sum(2)])


def test_bias_act_keeps_nan(kernels):
    x = torch.tensor([[[float("nan"), float("inf"), -float("inf")]]])
    y, = kernels.run("bias_act", {"y": x.shape}, x=x, n=1, c=1, hw=3, slope=0.2, gain=1.0, clamp=2.0)
    assert_close(y, torch.tensor([[[float("nan"), 2.0, -2.0]]]), equal_nan=True)


def test_bias_act_of_nothing(kernels, draw):
    sizes = {"n": 0, "c": 3, "hw": 4, "noise_n": 1, "slope": 0.2, "gain": 1.0, "clamp": -1.0}
    assert kernels.run("bias_act", {"y": (0, 3, 4)}, x=draw(0, 3, 4), **sizes)[0].shape == (0, 3, 4)
    outputs = {"dx": (0, 3, 4), "dbias": (3,), "dscale": (0, 3), "dnoise": (1, 4)}
    _, dbias, _, dnoise = kernels.run("bias_act", outputs, True, y=draw(0, 3, 4), dy=draw(0, 3, 4), **sizes)
    assert not dbias.any() and not dnoise.any()


@both_types
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 5, 3, 7), (1, 64, 8, 8), (3, 9, 4, 16)])
def test_unit_distance(kernels, draw, shape, dtype):
    a, b = draw(*shape, dtype=dtype).relu().requires_grad_(), draw(*shape, dtype=dtype).relu().requires_grad_()
    weights, slope = draw(shape[1], dtype=dtype).abs(), draw(shape[0], dtype=dtype)
    wanted = reference.plain_unit_distance(a, b, weights, 0.01)
    gradients = torch.autograd.grad(wanted, [a, b], slope)
    sizes = {"n": shape[0], "c": shape[1], "hw": shape[2] * shape[3], "eps": 0.01}
    given = {"a": a.detach(), "b": b.detach(), "weights": weights}
    close(kernels.run("unit_distance", {"distance": shape[:1]}, **given, **sizes), [wanted.detach()])
    found = kernels.run("unit_distance", {"da": shape, "db": shape}, True, **given, ddistance=slope, **sizes)
    close(found, gradients)
    close(kernels.run("unit_distance", {"db": shape}, True, **given, ddistance=slope, **sizes), gradients[1:])


def test_unit_distance_of_nothing_and_of_another_layout(kernels, draw):
    kernels.run("unit_distance", {"distance": (0,)}, a=draw(0, 3, 4), b=draw(0, 3, 4), weights=draw(3), n=0, c=3, hw=4)
    with pytest.raises(RuntimeError, match="channels_last is for the CPU only"):
        kernels.run("unit_distance", {"distance": (1,)}, a=draw(1, 3, 4), b=draw(1, 3, 4), weights=draw(3), n=1, c=3,
                    hw=4, channels_last=1)


@both_types
@pytest.mark.parametrize(("up", "down"), [(1, 1), (2, 1), (1, 2), (2, 2), (3, 2)])
@pytest.mark.parametrize("filter_size", [(4, 4), (1, 5), (8, 3), (2, 2), (9, 12)])
@pytest.mark.parametrize("size", [(6, 5), (37, 41)])
def test_upfirdn2d(kernels, draw, up, down, filter_size, size, dtype):
    x, kernel = draw(1, 3, *size, dtype=dtype), draw(*filter_size, dtype=dtype)
    for padding in ([7, 4, 5, 8], [-1, 9, 9, -2]):
        wanted = reference.plain_upfirdn2d(x, kernel, up, down, padding, 1.7)
        found = kernels.run("upfirdn2d", {"y": wanted.shape}, planes=3, h=size[0], w=size[1], out_h=wanted.shape[2],
                            out_w=wanted.shape[3], fh=filter_size[0], fw=filter_size[1], up=up, down=down,
                            left=padding[0], top=padding[2], gain=1.7, x=x, kernel=kernel)
        close(found, [wanted])


@both_types
@pytest.mark.parametrize(("n", "channels", "side", "points"), [(2, 5, 7, 13), (1, 32, 9, 40), (2, 41, 10, 3)])
def test_sample_planes(kernels, draw, n, channels, side, points, dtype):
    planes = draw(n, 3, channels, side, side, dtype=dtype).requires_grad_()
    places = draw(n, points, 3, dtype=dtype) * 0.6  # some outside the box
    features = volume.sample_merged(volume.merged_planes(planes), places, 1.2)
    dfeatures = draw(*features.shape, dtype=dtype)
    wanted = torch.autograd.grad(features, planes, dfeatures)
    sizes = {"n": n, "channels": channels, "side": side, "points": points, "scale": 2 / 1.2}
    found = kernels.run("sample_planes", {"features": features.shape}, planes=planes, points_xyz=places, **sizes)
    close(found, [features.detach()])
    found = kernels.run("sample_planes", {"dplanes": planes.shape}, True, points_xyz=places, dfeatures=dfeatures,
                        **sizes)
    close(found, wanted)


def test_points_that_are_nowhere(kernels, draw):
    planes, nan = draw(1, 3, 2, 4, 4), float("nan")
    places = torch.tensor([[[nan, 0, 0], [0, float("inf"), 1e30], [5, 5, 5]]], dtype=torch.float64)
    sizes = {"n": 1, "channels": 2, "side": 4, "points": 3, "scale": 1.0}
    features, = kernels.run("sample_planes", {"features": (1, 3, 2)}, planes=planes, points_xyz=places, **sizes)
    assert not features.any()


def test_no_points(kernels, draw):
    sizes = {"n": 1, "channels": 2, "side": 4, "points": 0, "scale": 1.0}
    planes, none = draw(1, 3, 2, 4, 4), draw(1, 0, 3)
    kernels.run("sample_planes", {"features": (1, 0, 2)}, planes=planes, points_xyz=none, **sizes)
    dplanes, = kernels.run("sample_planes", {"dplanes": planes.shape}, True, points_xyz=none, dfeatures=none, **sizes)
    assert not dplanes.any()


@pytest.mark.parametrize("name", sorted(STRUCTURES))
def test_strange_arguments_are_refused_in_words(kernels, name):
    call = getattr(kernels.functions, f"ul_{name}")
    arguments = STRUCTURES[name]()
    assert call(ctypes.byref(arguments)) != 0
    assert b"another version" in kernels.functions.ul_last_error()
    arguments.size, arguments.dtype = ctypes.sizeof(arguments), 7
    assert call(ctypes.byref(arguments)) != 0
    assert b"dtype" in kernels.functions.ul_last_error()


def test_a_workspace_that_is_too_small_is_refused(kernels, draw):
    x, y = draw(1, 3, 2, 4, 4).to(kernels.device), draw(1, 1, 2).to(kernels.device)
    arguments = STRUCTURES["sample_planes"](
        dtype=1, n=1, channels=2, side=4, points=1, planes=x.data_ptr(), points_xyz=x.data_ptr(), features=y.data_ptr(),
        workspace=x.data_ptr(), workspace_size=8)
    arguments.size = ctypes.sizeof(arguments)
    assert kernels.functions.ul_sample_planes(ctypes.byref(arguments)) != 0
    assert b"workspace" in kernels.functions.ul_last_error()


def test_what_the_library_says_of_itself(kernels):
    assert kernels.functions.ul_abi_version() == 1 and kernels.functions.ul_device() == b"cuda"
    assert kernels.functions.ul_variant().startswith(b"sm_")
