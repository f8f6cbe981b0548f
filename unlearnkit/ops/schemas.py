"""The operations with native kernels, registered with torch: schema, shapes, pure-PyTorch kernel, gradient.

The only module that uses ``torch.library``. Each kernel tries :mod:`unlearnkit.ops.native` first and falls back to pure
PyTorch, so an operation works on every device. For second derivatives, the gradient is recomputed with functions that
PyTorch differentiates itself (eager mode only: neither torch.compile nor torch.func supports that here).

Arguments are validated by the public functions only. Shapes as in extensions/include/unlearnkit_ops.h.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from unlearnkit.ops import reference, volume
from unlearnkit.ops.native import call

__all__: list[str] = []

LIBRARY = torch.library.Library("unlearnkit", "DEF")
Gradients = tuple[Tensor | None, ...]


def _define(schema: str, kernel: Callable[..., Any], fake: Callable[..., Any]) -> None:
    name = schema.partition("(")[0]
    LIBRARY.define(schema)
    LIBRARY.impl(name, kernel, "CompositeExplicitAutograd")
    torch.library.register_fake(f"unlearnkit::{name}", fake, lib=LIBRARY)


def _differentiable(name: str, backward: Callable[..., Gradients], setup: Callable[..., None]) -> None:
    torch.library.register_autograd(f"unlearnkit::{name}", backward, setup_context=setup, lib=LIBRARY)


def _again(function: Callable[..., Any], tensors: Sequence[Tensor | None], grads: Sequence[Tensor | None]) -> Gradients:
    """The gradients of ``function(*tensors)``, with a graph: for second derivatives."""
    wanted = {i: tensor for i, tensor in enumerate(tensors) if tensor is not None and tensor.requires_grad}
    with torch.enable_grad():
        made = function(*tensors)
        outputs = made if isinstance(made, tuple) else (made,)
        used = [(out, grad) for out, grad in zip(outputs, grads, strict=True) if grad is not None and out.requires_grad]
        found = torch.autograd.grad([out for out, _ in used], list(wanted.values()), [grad for _, grad in used],
                                    create_graph=True, allow_unused=True)
    gradients: list[Tensor | None] = [None] * len(tensors)
    for place, gradient in zip(wanted, found, strict=True):
        gradients[place] = gradient
    return tuple(gradients)


def _none(like: Tensor) -> Tensor:
    """Placeholder for an unneeded gradient: an operation must return tensors."""
    return like.new_empty(0)


def _held(**tensors: Tensor | None) -> dict[str, Any]:
    return {name: None if tensor is None else tensor.contiguous() for name, tensor in tensors.items()}


# ---------------------------------------------------------------- bias_act

def _bias_act(x: Tensor, bias: Tensor | None, scale: Tensor | None, noise: Tensor | None, slope: float, gain: float,
              clamp: float) -> Tensor:
    x = x.contiguous()
    y = torch.empty_like(x)
    held = [None if t is None else t.contiguous() for t in (bias, scale, noise)]
    done = x.numel() > 0 and call(
        "bias_act", x, **_bias_act_sizes(x, noise), slope=slope, gain=gain, clamp=clamp, x=x, bias=held[0],
        scale=held[1], noise=held[2], y=y)
    return y if done else reference.fused_bias_act(x, bias, scale, noise, slope, gain, clamp)


def _bias_act_sizes(x: Tensor, noise: Tensor | None) -> dict[str, int]:
    n, c = x.shape[:2]
    hw = x[0, 0].numel() if n and c else 0
    return {"n": n, "c": c, "hw": hw, "noise_n": 0 if noise is None else noise.numel() // max(hw, 1)}


def _bias_act_backward(
    dy: Tensor, y: Tensor, x: Tensor | None, scale: Tensor | None, noise: Tensor | None, slope: float, gain: float,
    clamp: float, want_bias: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of x, bias, scale and noise; x is given if that of scale is needed, noise if its own is."""
    dy, y = dy.contiguous(), y.contiguous()
    dx = torch.empty_like(y)
    dbias = y.new_empty(y.shape[1]) if want_bias else _none(y)
    dscale = _none(y) if x is None else y.new_empty(y.shape[:2])
    dnoise = _none(y) if noise is None else y.new_empty(noise.shape)
    given = {"x": x, "scale": scale, "dbias": dbias if want_bias else None, "dscale": None if x is None else dscale,
             "dnoise": None if noise is None else dnoise}
    held = {key: None if tensor is None else tensor.contiguous() for key, tensor in given.items()}
    if y.numel() > 0 and call("bias_act", y, True, **_bias_act_sizes(y, noise), slope=slope, gain=gain, clamp=clamp,
                              y=y, dy=dy, dx=dx, **held):
        return dx, dbias, dscale, dnoise
    dx, *others = reference.fused_bias_act_gradients(dy, y, x, scale, noise, slope, gain, clamp, want_bias)
    dbias, dscale, dnoise = (_none(y) if gradient is None else gradient for gradient in others)
    return dx, dbias, dscale, dnoise


def _bias_act_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, _, scale, noise, *ctx.numbers = inputs
    ctx.save_for_backward(x if ctx.needs_input_grad[2] else None, scale, noise, output)


def _bias_act_gradient(ctx: Any, dy: Tensor) -> Gradients:
    x, scale, noise, y = ctx.saved_tensors
    want_bias, want_scale, want_noise = (ctx.needs_input_grad[place] for place in (1, 2, 3))
    arguments = (dy, y, x if want_scale else None, scale, noise if want_noise else None, *ctx.numbers, want_bias)
    if torch.is_grad_enabled():
        return *reference.fused_bias_act_gradients(*arguments), None, None, None
    dx, *others = torch.ops.unlearnkit.bias_act_backward(*arguments)
    asked = zip(others, (want_bias, want_scale, want_noise), strict=True)
    return dx, *(gradient if want else None for gradient, want in asked), None, None, None


def _bias_act_backward_fake(dy: Tensor, y: Tensor, x: Tensor | None, scale: Tensor | None, noise: Tensor | None,
                            slope: float, gain: float, clamp: float, want_bias: bool) -> tuple[Tensor, ...]:
    return (y.new_empty(y.shape), y.new_empty(y.shape[1] if want_bias else 0),
            y.new_empty(0 if x is None else y.shape[:2]), y.new_empty(0 if noise is None else noise.shape))


_define("bias_act(Tensor x, Tensor? bias, Tensor? scale, Tensor? noise, float slope, float gain, float clamp) "
        "-> Tensor",
        _bias_act, lambda x, bias, scale, noise, slope, gain, clamp: x.new_empty(x.shape))
_define("bias_act_backward(Tensor dy, Tensor y, Tensor? x, Tensor? scale, Tensor? noise, float slope, float gain, "
        "float clamp, bool want_bias) -> (Tensor, Tensor, Tensor, Tensor)", _bias_act_backward, _bias_act_backward_fake)
_differentiable("bias_act", _bias_act_gradient, _bias_act_setup)


# ---------------------------------------------------------------- upfirdn2d

def _upfirdn2d(x: Tensor, kernel: Tensor, up: int, down: int, padding: list[int], gain: float) -> Tensor:
    x, kernel = x.contiguous(), kernel.contiguous()
    y = _upfirdn2d_fake(x, kernel, up, down, padding, gain)
    done = call("upfirdn2d", x, planes=x.shape[0] * x.shape[1], h=x.shape[2], w=x.shape[3], out_h=y.shape[2],
                out_w=y.shape[3], fh=kernel.shape[0], fw=kernel.shape[1], up=up, down=down, left=padding[0],
                top=padding[2], gain=gain, x=x, kernel=kernel, y=y)
    return y if done else reference.plain_upfirdn2d(x, kernel, up, down, padding, gain)


def _upfirdn2d_fake(x: Tensor, kernel: Tensor, up: int, down: int, padding: list[int], gain: float) -> Tensor:
    return x.new_empty(*x.shape[:2], *reference.fir_size(x, kernel, up, down, padding))


def _upfirdn2d_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, kernel, ctx.up, ctx.down, (left, _, top, _), ctx.gain = inputs
    ctx.save_for_backward(kernel)
    (height, width), (out_height, out_width), (fh, fw) = x.shape[2:], output.shape[2:], kernel.shape
    ctx.padding = [fw - left - 1, width * ctx.up - out_width * ctx.down + left - ctx.up + 1,
                   fh - top - 1, height * ctx.up - out_height * ctx.down + top - ctx.up + 1]


def _upfirdn2d_gradient(ctx: Any, dy: Tensor) -> Gradients:
    # The same operation with up and down exchanged and the filter flipped, so it is differentiable to any order.
    kernel, = ctx.saved_tensors
    flipped = kernel.flip(0, 1)
    return torch.ops.unlearnkit.upfirdn2d(dy, flipped, ctx.down, ctx.up, ctx.padding, ctx.gain), *[None] * 5


_define("upfirdn2d(Tensor x, Tensor kernel, int up, int down, int[] padding, float gain) -> Tensor", _upfirdn2d,
        _upfirdn2d_fake)
_differentiable("upfirdn2d", _upfirdn2d_gradient, _upfirdn2d_setup)


# ---------------------------------------------------------------- unit_distance

def _unit_distance(a: Tensor, b: Tensor, weights: Tensor, eps: float) -> Tensor:
    made, layout = a.new_empty(len(a)), _map_layout(a)
    done = call("unit_distance", a, **_map_sizes(a), eps=eps, a=_rows(a, layout), b=_rows(b, layout),
                weights=weights.contiguous(), distance=made)
    return made if done else reference.plain_unit_distance(a, b, weights, eps)


def _map_layout(a: Tensor) -> torch.memory_format:
    """Channels last if the maps have that layout and the kernels support it."""
    last = a.device.type == "cpu" and a.is_contiguous(memory_format=torch.channels_last) and not a.is_contiguous()
    return torch.channels_last if last else torch.contiguous_format


def _map_sizes(a: Tensor) -> dict[str, int]:
    return {"n": a.shape[0], "c": a.shape[1], "hw": a.shape[2] * a.shape[3],
            "channels_last": int(_map_layout(a) == torch.channels_last)}


def _rows(x: Tensor, layout: torch.memory_format) -> Tensor:
    """The kernel's view of a map: contiguous in its own dimension order."""
    x = x.contiguous(memory_format=layout)
    return x.permute(0, 2, 3, 1) if layout == torch.channels_last else x


def _map_gradients(a: Tensor, b: Tensor, want_a: bool, want_b: bool) -> tuple[Tensor, Tensor]:
    """Allocate the requested gradients, in the layout of ``a``."""
    layout = _map_layout(a)
    da, db = (torch.empty_like(x, memory_format=layout) if want else _none(x)
              for x, want in ((a, want_a), (b, want_b)))
    return da, db


def _unit_distance_backward(grad: Tensor, a: Tensor, b: Tensor, weights: Tensor, eps: float, want_a: bool, want_b: bool
                            ) -> tuple[Tensor, Tensor]:
    da, db = _map_gradients(a, b, want_a, want_b)
    layout = _map_layout(a)
    if call("unit_distance", a, True, **_map_sizes(a), eps=eps, a=_rows(a, layout), b=_rows(b, layout),
            weights=weights.contiguous(), ddistance=grad.contiguous(), da=_rows(da, layout) if want_a else None,
            db=_rows(db, layout) if want_b else None):
        return da, db
    found = reference.unit_distance_gradients(grad, a, b, weights, eps)
    for room, gradient, want in zip((da, db), found, (want_a, want_b), strict=True):
        if want:
            room.copy_(gradient)
    return da, db


def _unit_distance_gradient(ctx: Any, grad: Tensor) -> Gradients:
    a, b, weights = ctx.saved_tensors
    if torch.is_grad_enabled():
        return *_again(lambda a, b: reference.plain_unit_distance(a, b, weights, ctx.eps), [a, b], [grad]), None, None
    wanted = ctx.needs_input_grad[:2]
    found = torch.ops.unlearnkit.unit_distance_backward(grad, a, b, weights, ctx.eps, *wanted)
    return *(gradient if want else None for gradient, want in zip(found, wanted, strict=True)), None, None


def _unit_distance_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    a, b, weights, ctx.eps = inputs
    ctx.save_for_backward(a, b, weights)


_define("unit_distance(Tensor a, Tensor b, Tensor weights, float eps) -> Tensor", _unit_distance,
        lambda a, b, weights, eps: a.new_empty(a.shape[0]))
_define("unit_distance_backward(Tensor grad, Tensor a, Tensor b, Tensor weights, float eps, bool want_a, bool want_b) "
        "-> (Tensor, Tensor)",
        _unit_distance_backward, lambda grad, a, b, weights, eps, *wanted: _map_gradients(a, b, *wanted))
_differentiable("unit_distance", _unit_distance_gradient, _unit_distance_setup)


# ---------------------------------------------------------------- sample_planes

def _sample_planes(planes: Tensor, points: Tensor, box_warp: float) -> Tensor:
    planes, points = planes.contiguous(), points.contiguous()
    features = points.new_empty(*points.shape[:2], planes.shape[2])
    done = call("sample_planes", planes, **_sample_sizes(planes, points, box_warp), planes=planes, points_xyz=points,
                features=features)
    return features if done else volume.sample_merged(volume.merged_planes(planes), points, box_warp).contiguous()


def _sample_sizes(planes: Tensor, points: Tensor, box_warp: float) -> dict[str, Any]:
    return {"n": planes.shape[0], "channels": planes.shape[2], "side": planes.shape[3], "points": points.shape[1],
            "scale": 2 / box_warp}


def _sample_planes_backward(grad: Tensor, planes: Tensor, points: Tensor, box_warp: float) -> Tensor:
    grad, points = grad.contiguous(), points.contiguous()
    found = planes.new_empty(planes.shape)
    done = call("sample_planes", planes, True, **_sample_sizes(planes, points, box_warp), points_xyz=points,
                dfeatures=grad, dplanes=found)
    return found if done else volume.sample_gradient(grad, planes, points, box_warp)


def _sample_planes_gradient(ctx: Any, grad: Tensor) -> Gradients:
    planes, points = ctx.saved_tensors
    if torch.is_grad_enabled():
        return *_again(lambda table: volume.sample_merged(volume.merged_planes(table), points, ctx.box_warp), [planes],
                       [grad]), None, None
    return torch.ops.unlearnkit.sample_planes_backward(grad, planes, points, ctx.box_warp), None, None


def _sample_planes_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    planes, points, ctx.box_warp = inputs
    ctx.save_for_backward(planes, points)


_define("sample_planes(Tensor planes, Tensor points, float box_warp) -> Tensor", _sample_planes,
        lambda planes, points, box_warp: points.new_empty(*points.shape[:2], planes.shape[2]))
_define("sample_planes_backward(Tensor grad, Tensor planes, Tensor points, float box_warp) -> Tensor",
        _sample_planes_backward, lambda grad, planes, points, box_warp: planes.new_empty(planes.shape))
_differentiable("sample_planes", _sample_planes_gradient, _sample_planes_setup)


# ---------------------------------------------------------------- render_planes

def _render_planes(planes: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, origins: Tensor, directions: Tensor,
                   depths: Tensor, draws: Tensor, box_warp: float, margin: float) -> tuple[Tensor, ...]:
    made = _render_planes_fake(planes, w1, b1, w2, b2, origins, directions, depths, draws, box_warp, margin)
    inputs = _held(planes=planes, w1=w1, b1=b1, w2=w2, b2=b2, origins=origins, directions=directions,
                   coarse_depths=depths, draws=draws)
    done = call("render_planes", planes, **_render_sizes(planes, depths, draws, box_warp, margin), **inputs,
                **dict(zip(("colours", "depth", "opacity", "depths"), made, strict=True)))
    if done:
        return made
    return volume.render_composite(planes, (w1, b1, w2, b2), origins, directions, depths, draws, box_warp, margin)


def _render_sizes(planes: Tensor, depths: Tensor, draws: Tensor, box_warp: float, margin: float) -> dict[str, Any]:
    return {"n": planes.shape[0], "side": planes.shape[3], "rays": depths.shape[1], "coarse": depths.shape[2],
            "fine": draws.shape[2], "scale": 2 / box_warp, "margin": margin}


def _render_planes_fake(planes: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, origins: Tensor,
                        directions: Tensor, depths: Tensor, draws: Tensor, box_warp: float, margin: float
                        ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    shape = depths.shape[:2]
    return (planes.new_empty(*shape, w2.shape[0] - 1), planes.new_empty(shape), planes.new_empty(shape),
            planes.new_empty(*shape, depths.shape[2] + draws.shape[2]))


def _render_planes_backward(
    dcolours: Tensor | None, ddepth: Tensor | None, dopacity: Tensor | None, planes: Tensor, w1: Tensor, b1: Tensor,
    w2: Tensor, b2: Tensor, origins: Tensor, directions: Tensor, depths: Tensor, coarse: int, box_warp: float,
    margin: float, want_decoder: bool,
) -> tuple[Tensor, ...]:
    """Gradients of planes, w1, b1, w2, b2; ``depths`` are all samples, the coarse ones first."""
    named = {"dplanes": planes, "dw1": w1, "db1": b1, "dw2": w2, "db2": b2}
    wanted = {name: tensor for name, tensor in named.items() if name == "dplanes" or want_decoder}
    made: dict[str, Any] = {name: tensor.new_empty(tensor.shape) for name, tensor in wanted.items()}
    inputs = _held(planes=planes, w1=w1, b1=b1, w2=w2, b2=b2, origins=origins, directions=directions, depths=depths,
                   dcolours=dcolours, ddepth=ddepth, dopacity=dopacity)
    sizes = _render_sizes(planes, depths[..., :coarse], depths[..., coarse:], box_warp, margin)
    if not call("render_planes", planes, True, **sizes, **inputs, **made):
        found = volume.render_gradients((dcolours, ddepth, dopacity), planes, (w1, b1, w2, b2), origins, directions,
                                        depths, box_warp, margin)
        made = dict(zip(named, found, strict=True))
    return tuple(made[name] if name in wanted else _none(planes) for name in named)


def _render_planes_gradient(ctx: Any, dcolours: Tensor | None, ddepth: Tensor | None, dopacity: Tensor | None,
                            _: Tensor | None) -> Gradients:
    planes, w1, b1, w2, b2, origins, directions, depths = ctx.saved_tensors
    rest = [None] * 6
    if torch.is_grad_enabled():
        def function(planes: Tensor, *decoder: Any) -> tuple[Tensor, ...]:
            look = volume.looking(planes, decoder, origins, directions, ctx.box_warp, ctx.margin)
            return tuple(volume.composite(depths, *look(depths)))

        return *_again(function, [planes, w1, b1, w2, b2], [dcolours, ddepth, dopacity]), *rest
    want_decoder = any(ctx.needs_input_grad[1:5])
    found = torch.ops.unlearnkit.render_planes_backward(
        dcolours, ddepth, dopacity, planes, w1, b1, w2, b2, origins, directions, depths, ctx.coarse, ctx.box_warp,
        ctx.margin, want_decoder)
    return found[0], *(found[1:] if want_decoder else [None] * 4), *rest


def _render_planes_setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    *tensors, depths, _, ctx.box_warp, ctx.margin = inputs
    ctx.coarse = depths.shape[2]
    ctx.mark_non_differentiable(output[3])
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*tensors, output[3])


def _render_planes_backward_fake(*arguments: Any) -> tuple[Tensor, ...]:
    planes, w1, b1, w2, b2 = arguments[3:8]
    decoder = [tensor.new_empty(tensor.shape if arguments[-1] else 0) for tensor in (w1, b1, w2, b2)]
    return planes.new_empty(planes.shape), *decoder


_define("render_planes(Tensor planes, Tensor w1, Tensor b1, Tensor w2, Tensor b2, Tensor origins, Tensor directions, "
        "Tensor depths, Tensor draws, float box_warp, float margin) -> (Tensor, Tensor, Tensor, Tensor)",
        _render_planes, _render_planes_fake)
_define("render_planes_backward(Tensor? dcolours, Tensor? ddepth, Tensor? dopacity, Tensor planes, Tensor w1, "
        "Tensor b1, Tensor w2, Tensor b2, Tensor origins, Tensor directions, Tensor depths, int coarse, "
        "float box_warp, float margin, bool want_decoder) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
        _render_planes_backward, _render_planes_backward_fake)
_differentiable("render_planes", _render_planes_gradient, _render_planes_setup)
