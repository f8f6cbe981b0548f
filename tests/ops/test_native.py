"""Native kernels against pure PyTorch: values and gradients on a grid of sizes, types, layouts; how torch sees them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from unittest import mock

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from unlearnkit import ops
from unlearnkit.errors import BuildError, ShapeError
from unlearnkit.ops import functions, native

DTYPES = (torch.float32, torch.float64)


@pytest.fixture(autouse=True)
def native_at_every_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(functions, "MIN_NATIVE_SIZE", dict.fromkeys(functions.MIN_NATIVE_SIZE, 0))


def needs_native() -> None:
    if native.library("cpu") is None:
        pytest.skip(f"no native CPU kernels: {dict(native.status())['cpu']}")


def drawn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def check(function: Callable[..., Tensor], *inputs: Tensor) -> None:
    """Native and pure: the same result, and the same gradients of all inputs that ask for one."""
    found, calls = _result_and_gradients(function, inputs)
    with native.off():
        pure, none = _result_and_gradients(function, inputs)
    assert none == 0 and (calls >= 2 or not found[0].numel())  # there and back
    tolerance = 1e-5 if found[0].dtype == torch.float32 else 1e-12
    for one, other in zip(found, pure, strict=True):
        largest = float(other.detach().abs().max()) if other.numel() else 0.0
        assert_close(one, other, rtol=tolerance, atol=tolerance * max(1.0, largest))


def _result_and_gradients(function: Callable[..., Tensor], inputs: Sequence[Tensor]) -> tuple[list[Tensor], int]:
    """And how many calls of native kernels it took."""
    with mock.patch.object(native.Library, "run", autospec=True, side_effect=native.Library.run) as run:
        made = function(*inputs)
        probe = drawn(*made.shape, seed=99, dtype=made.dtype)
        wanted = [tensor for tensor in inputs if tensor.requires_grad]
        return [made, *torch.autograd.grad((made * probe).sum(), wanted)], run.call_count


# ---------------------------------------------------------------- against pure PyTorch

@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 5, 7, 3), (3, 33, 64), (1, 2, 71, 67), (2, 40, 5, 1), (0, 3, 4, 4)])
@pytest.mark.parametrize("parts", ["", "b", "s", "n", "bsn", "bsN"])
@pytest.mark.parametrize("clamp", [None, 0.8])
def test_bias_act(shape: tuple[int, ...], parts: str, clamp: float | None, dtype: torch.dtype) -> None:
    needs_native()
    x = drawn(*shape, dtype=dtype).requires_grad_()
    tables = {
        "b": drawn(shape[1], seed=1, dtype=dtype), "s": drawn(*shape[:2], seed=2, dtype=dtype),
        "n": drawn(*shape[2:], seed=3, dtype=dtype), "N": drawn(shape[0], 1, *shape[2:], seed=4, dtype=dtype),
    }
    given = {part: tables[part].requires_grad_() for part in parts}

    def run(x: Tensor, *_: Tensor) -> Tensor:
        return ops.bias_act(x, given.get("b"), activation="lrelu", clamp=clamp, scale=given.get("s"),
                            noise=given.get("n", given.get("N")))

    check(run, x, *given.values())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("up", "down"), [(1, 1), (2, 1), (1, 2), (3, 1), (1, 3), (2, 2), (2, 3)])
@pytest.mark.parametrize("size", [(1, 1), (5, 4), (33, 70), (64, 17)])
@pytest.mark.parametrize("taps", [(1, 1), (4, 4), (3, 2), (12, 5)])
@pytest.mark.parametrize("padding", [(0, 0, 0, 0), (2, 1, 2, 1), (13, 9, 11, 13), (-1, 14, 15, -2)])
def test_upfirdn2d(up: int, down: int, size: tuple[int, int], taps: tuple[int, int], padding: tuple[int, ...],
                   dtype: torch.dtype) -> None:
    needs_native()
    kernel = drawn(*taps, seed=1, dtype=dtype)
    x = drawn(2, 3, *size, dtype=dtype).requires_grad_()
    height = (size[0] * up + padding[2] + padding[3] - taps[0]) // down + 1
    width = (size[1] * up + padding[0] + padding[1] - taps[1]) // down + 1
    if min(height, width) < 1 or -min(padding) >= min(size) * up:
        pytest.skip("nothing would come out")
    check(lambda x: ops.upfirdn2d(x, kernel, up=up, down=down, padding=padding, gain=1.5), x)


@pytest.mark.parametrize("shape", [(2, 3, 4, 4), (1, 96, 16, 16), (1, 1, 3, 50), (0, 3, 4, 4)])
def test_upsample2d(shape: tuple[int, ...]) -> None:
    needs_native()
    kernel = ops.fir_filter((1, 3, 3, 1)).double()
    check(lambda x: ops.upsample2d(x, kernel), drawn(*shape).requires_grad_())


def maps(*shape: int, seed: int, dtype: torch.dtype, last: bool = False) -> Tensor:
    """Feature maps behind a ReLU, with a place where nothing was found; laid out with channels last if so asked."""
    made = drawn(*shape, seed=seed, dtype=dtype).relu()
    if seed == 1:
        made[..., :1, :1] = 0
    return made.contiguous(memory_format=torch.channels_last) if last else made


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("last", [False, True], ids=["channels first", "channels last"])
@pytest.mark.parametrize("shape", [(1, 8, 1, 1), (2, 3, 5, 7), (1, 64, 40, 33), (3, 521, 4, 4), (1, 2, 70, 80),
                                   (0, 3, 4, 4)])
@pytest.mark.parametrize("wanted", ["a", "ab", "b"])
def test_unit_distance(shape: tuple[int, ...], wanted: str, last: bool, dtype: torch.dtype) -> None:
    needs_native()
    a, b = maps(*shape, seed=2, dtype=dtype, last=last), maps(*shape, seed=3, dtype=dtype, last=last)
    weights = drawn(shape[1], seed=4, dtype=dtype).abs()
    # Where all channels are 0 the gradient is 1e10 times as large: another epsilon keeps the others in sight.
    check(lambda a, b: ops.unit_distance(a, b, weights, eps=0.01), a.requires_grad_("a" in wanted),
          b.requires_grad_("b" in wanted))


@pytest.mark.parametrize("last", [False, True], ids=["channels first", "channels last"])
def test_unit_distance_of_places_where_nothing_was_found(last: bool) -> None:
    needs_native()
    a, b = (maps(2, 16, 3, 5, seed=seed, dtype=torch.float32, last=last).requires_grad_() for seed in (1, 1))
    weights = torch.ones(16)
    check(lambda a, b: ops.unit_distance(a, b, weights), a, b)
    assert ops.unit_distance(a, b, weights).tolist() == [0.0, 0.0]
    other = maps(2, 16, 3, 5, seed=2, dtype=torch.float32, last=last)
    check(lambda a: ops.unit_distance(a, other, weights, eps=0.1), a)


@pytest.mark.parametrize("last", [False, True], ids=["channels first", "channels last"])
def test_unit_distance_without_an_epsilon(last: bool) -> None:
    """What pads the last block of places has no length to be divided by."""
    needs_native()
    a, b = (maps(1, 4, 3, 5, seed=seed, dtype=torch.float32, last=last) + 1 for seed in (2, 3))
    check(lambda a, b: ops.unit_distance(a, b, torch.ones(4), eps=0.0), a.requires_grad_(), b.requires_grad_())


def test_unit_distance_of_mixed_layouts_and_with_moved_weights() -> None:
    needs_native()
    a, b = (maps(2, 20, 6, 5, seed=seed, dtype=torch.float64, last=seed == 2).requires_grad_() for seed in (2, 3))
    weights = drawn(20, seed=4).abs().requires_grad_()
    check(lambda a, b: ops.unit_distance(a, b, weights.detach(), eps=0.1), a, b)
    check(lambda b, a: ops.unit_distance(b, a, weights.detach(), eps=0.1), b, a)
    found = ops.unit_distance(a, b, weights)
    assert "unlearnkit" not in str(found.grad_fn) and torch.autograd.grad(found.sum(), weights)[0].all()
    with pytest.raises(ShapeError, match=r"a is \(2, 20, 6, 5\), b \(2, 20, 6, 5\), weights \(19,\)"):
        ops.unit_distance(a, b, weights[1:])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("count", "channels", "side", "points"),
                         [(1, 32, 16, 100), (2, 5, 7, 33), (1, 1, 1, 9), (2, 33, 8, 0), (3, 32, 40, 1)])
def test_sample_planes(count: int, channels: int, side: int, points: int, dtype: torch.dtype) -> None:
    needs_native()
    planes = drawn(count, 3, channels, side, side, dtype=dtype).requires_grad_()
    places = drawn(count, points, 3, seed=1, dtype=dtype).mul(0.5)  # some outside the box
    check(lambda planes: ops.sample_planes(planes, places, 1.1), planes)


def scene(dtype: torch.dtype, *, count: int = 2, side: int = 9, rays: int = 19, coarse: int = 12, fine: int = 9,
          density: float = 1.0) -> tuple[Tensor, ...]:
    """Planes, decoder, origins, directions, depths, draws."""
    decoder = [drawn(*shape, seed=5 + len(shape) + shape[0], dtype=dtype).mul(0.3) for shape in
               ((64, 32), (64,), (33, 64), (33,))]
    decoder[3][0] = density
    return (drawn(count, 3, 32, side, side, dtype=dtype), *decoder, drawn(count, rays, 3, seed=1, dtype=dtype) * 0.3,
            drawn(count, rays, 3, seed=2, dtype=dtype) * 0.3,
            torch.linspace(0.1, 1, coarse, dtype=dtype).expand(count, rays, coarse),
            torch.rand(count, rays, fine, generator=torch.Generator().manual_seed(3), dtype=dtype))


def rendered(part: int, white_back: bool = False) -> Callable[..., Tensor]:
    def run(planes: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, *rays: Tensor) -> Tensor:
        return ops.render_planes(planes, (w1, b1, w2, b2), *rays, box_warp=1.0, white_back=white_back)[part]

    return run


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("part", [0, 1, 2], ids=["colours", "depth", "opacity"])
@pytest.mark.parametrize("sizes", [{}, {"fine": 0}, {"side": 1, "rays": 1}, {"rays": 37, "coarse": 4, "fine": 1},
                                   {"coarse": 48, "fine": 48, "rays": 5}], ids=str)
def test_render_planes(sizes: dict[str, int], part: int, dtype: torch.dtype) -> None:
    needs_native()
    tensors = scene(dtype, **sizes)
    check(rendered(part, white_back=part == 0), *(tensor.requires_grad_() for tensor in tensors[:5]), *tensors[5:])


@pytest.mark.parametrize("density", [-60.0, 60.0], ids=["empty", "opaque"])
def test_rays_through_nothing_and_into_walls(density: float) -> None:
    needs_native()
    tensors = scene(torch.float64, density=density)
    leaves = [tensor.requires_grad_() for tensor in tensors[:5]]
    for part in (0, 2):
        check(rendered(part), *leaves, *tensors[5:])
    depth = rendered(1)(*tensors)  # pure PyTorch's gradient is 0 / 0 where nothing is hit
    assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(depth.sum(), leaves))


def test_more_rays_than_a_chunk_and_falling_depths() -> None:
    needs_native()
    planes, *rest = scene(torch.float64, count=1, rays=1100, coarse=5, fine=3)
    rest[6] = rest[6].flip(-1)  # where rays miss the box they may run backwards
    check(rendered(0), planes.requires_grad_(), *rest)


def test_the_number_of_threads_does_not_change_a_bit() -> None:
    needs_native()
    before = torch.get_num_threads()
    tensors = [tensor.requires_grad_(place < 5) for place, tensor in enumerate(scene(torch.float32, rays=1500))]
    results = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            made = rendered(0)(*tensors)
            results.append([made, *torch.autograd.grad(made.square().sum(), tensors[:5])])
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_layouts_that_are_not_contiguous() -> None:
    needs_native()
    x = drawn(2, 6, 8, 10).transpose(2, 3).requires_grad_()
    kernel = ops.fir_filter((1, 3, 3, 1)).double()
    check(lambda x: ops.upfirdn2d(x, kernel, padding=(2, 1, 2, 1)), x)
    planes = drawn(1, 3, 8, 6, 6).transpose(3, 4).requires_grad_()
    check(lambda planes: ops.sample_planes(planes, drawn(1, 3, 20, seed=1).transpose(1, 2), 4.0), planes)


def test_other_types_and_gradients_of_points_go_to_pytorch() -> None:
    x = drawn(1, 2, 8, 8).bfloat16().requires_grad_()
    assert "unlearnkit" not in str(ops.bias_act(x, clamp=1.0).grad_fn)
    points = drawn(1, 5, 3).requires_grad_()
    found = ops.sample_planes(drawn(1, 3, 4, 4, 4), points, 4.0)
    assert torch.autograd.grad(found.sum(), points)[0].abs().sum() > 0


# ---------------------------------------------------------------- derivatives

def test_derivatives_by_differences() -> None:
    needs_native()
    x, bias, scale = drawn(2, 3, 4, 5), drawn(3, seed=1), drawn(2, 3, seed=2).abs() + 0.5
    noise = drawn(4, 5, seed=3)
    everything = [tensor.requires_grad_() for tensor in (x, bias, scale, noise)]

    def act(x: Tensor, bias: Tensor, scale: Tensor, noise: Tensor) -> Tensor:
        return ops.bias_act(x, bias, activation="lrelu", clamp=2.0, scale=scale, noise=noise)

    assert torch.autograd.gradcheck(act, everything)
    assert torch.autograd.gradgradcheck(act, everything)
    kernel = drawn(4, 3, seed=4)
    for up, down in ((1, 1), (2, 1), (1, 2), (2, 3)):
        def fir(x: Tensor, up: int = up, down: int = down) -> Tensor:
            return ops.upfirdn2d(x, kernel, up=up, down=down, padding=(2, 3, 1, 2))

        assert torch.autograd.gradcheck(fir, x) and torch.autograd.gradgradcheck(fir, x)
    planes, points = drawn(1, 3, 2, 4, 4).requires_grad_(), drawn(1, 6, 3, seed=1) * 0.4
    assert torch.autograd.gradcheck(lambda planes: ops.sample_planes(planes, points, 1.0), planes)
    assert torch.autograd.gradgradcheck(lambda planes: ops.sample_planes(planes, points, 1.0), planes)


@pytest.mark.parametrize("last", [False, True], ids=["channels first", "channels last"])
def test_derivatives_of_the_distance_by_differences(last: bool) -> None:
    needs_native()
    a, b = (drawn(2, 3, 4, 5, seed=seed) for seed in (1, 2))
    if last:
        a, b = (x.contiguous(memory_format=torch.channels_last) for x in (a, b))
    weights = drawn(3, seed=3).abs()

    def distance(a: Tensor, b: Tensor) -> Tensor:
        return ops.unit_distance(a, b, weights)

    assert torch.autograd.gradcheck(distance, (a.requires_grad_(), b.requires_grad_()))
    assert torch.autograd.gradgradcheck(distance, (a, b))


def test_derivatives_of_the_renderer_by_differences() -> None:
    needs_native()
    tensors = scene(torch.float64, count=1, side=3, rays=2, coarse=4, fine=0)
    leaves = [tensor.requires_grad_() for tensor in tensors[:5]]
    for part in (0, 1, 2):
        assert torch.autograd.gradcheck(lambda *five, part=part: rendered(part)(*five, *tensors[5:]), leaves,
                                        fast_mode=True, atol=1e-4)
    assert torch.autograd.gradgradcheck(lambda *five: rendered(0)(*five, *tensors[5:]), leaves, fast_mode=True,
                                        atol=1e-4)


# ---------------------------------------------------------------- as torch sees them

def calls() -> dict[str, tuple[Callable[..., object], Sequence[object]]]:
    known = torch.ops.unlearnkit
    x, y = drawn(2, 3, 4, 5).requires_grad_(), drawn(2, 3, 4, 5, seed=1)
    tensors = scene(torch.float64, rays=3)
    leaves = [tensor.requires_grad_() for tensor in tensors[:5]]
    planes, points = drawn(1, 3, 2, 4, 4).requires_grad_(), drawn(1, 6, 3)
    all_depths = torch.cat(tensors[7:], -1)
    grads = drawn(2, 3, 32), drawn(2, 3), drawn(2, 3)
    detached = [tensor.detach() for tensor in tensors]
    return {
        "bias_act": (known.bias_act, (x, drawn(3), drawn(2, 3), drawn(4, 5), 0.2, 1.5, 2.0)),
        "bias_act_backward": (known.bias_act_backward,
                              (y, y, y, drawn(2, 3), drawn(4, 5), 0.2, 1.5, 2.0, True)),
        "upfirdn2d": (known.upfirdn2d, (x, drawn(4, 4), 2, 1, [2, 1, 2, 1], 4.0)),
        "unit_distance": (known.unit_distance, (x, y, drawn(3), 0.1)),
        "unit_distance_last": (known.unit_distance, (*(t.contiguous(memory_format=torch.channels_last) for t in (x, y)),
                                                     drawn(3), 0.1)),
        "unit_distance_backward": (known.unit_distance_backward, (drawn(2), x.detach(), y, drawn(3), 0.1, True, True)),
        "sample_planes": (known.sample_planes, (planes, points, 1.0)),
        "sample_planes_backward": (known.sample_planes_backward, (drawn(1, 6, 2), planes.detach(), points, 1.0)),
        "render_planes": (known.render_planes, (*leaves, *tensors[5:], 1.0, 0.001)),
        "render_planes_backward": (known.render_planes_backward,
                                   (*grads, *detached[:7], all_depths, 12, 1.0, 0.001, True)),
    }


@pytest.mark.parametrize("with_native", [True, False], ids=["native", "pure"])
@pytest.mark.parametrize("name", [
    "bias_act", "bias_act_backward", "upfirdn2d", "unit_distance", "unit_distance_last", "unit_distance_backward",
    "sample_planes", "sample_planes_backward", "render_planes", "render_planes_backward"])
def test_schemas_hold(name: str, with_native: bool) -> None:
    operation, arguments = calls()[name]
    if with_native:
        needs_native()
        torch.library.opcheck(operation, arguments)
        return
    with native.off():
        torch.library.opcheck(operation, arguments)


@pytest.mark.parametrize("name", ["bias_act_backward", "unit_distance_backward", "sample_planes_backward",
                                  "render_planes", "render_planes_backward"])
def test_kernels_in_pure_pytorch_agree(name: str) -> None:
    """What runs on a device without native kernels: gradients by hand."""
    needs_native()
    operation, arguments = calls()[name]
    found = operation(*arguments)
    with native.off():
        pure = operation(*arguments)
    for one, other in zip(*(made if isinstance(made, tuple) else (made,) for made in (found, pure)), strict=True):
        assert_close(one, other, rtol=1e-10, atol=1e-10)


@pytest.mark.slow
def test_compiled_as_one_graph() -> None:
    needs_native()
    kernel = ops.fir_filter((1, 3, 3, 1))

    def layer(x: Tensor, bias: Tensor) -> Tensor:
        return ops.bias_act(ops.upfirdn2d(x, kernel, padding=(2, 1, 2, 1)), bias, activation="lrelu", clamp=1.0).sum()

    x, bias = drawn(1, 4, 16, 16, dtype=torch.float32).requires_grad_(), torch.zeros(4, requires_grad=True)
    plain = torch.autograd.grad(layer(x, bias), (x, bias))
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    assert_close(torch.autograd.grad(compiled(x, bias), (x, bias)), plain)
    a, b, weights = x.detach().requires_grad_(), drawn(1, 4, 16, 16, seed=1, dtype=torch.float32), torch.ones(4)
    compiled = torch.compile(ops.unit_distance, fullgraph=True, backend="aot_eager")
    assert_close(torch.autograd.grad(compiled(a, b, weights).sum(), a),
                 torch.autograd.grad(ops.unit_distance(a, b, weights).sum(), a))
    tensors = scene(torch.float32, rays=3)
    planes = tensors[0].requires_grad_()
    whole = torch.compile(rendered(0), fullgraph=True, backend="aot_eager")
    plain = torch.autograd.grad(rendered(0)(planes, *tensors[1:]).sum(), planes)
    assert_close(torch.autograd.grad(whole(planes, *tensors[1:]).sum(), planes), plain)


# ---------------------------------------------------------------- loading

@pytest.fixture
def unloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "_loaded", {})
    monkeypatch.setattr(native, "_reasons", {})


def test_switched_off(unloaded: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNLEARNKIT_NATIVE", "0")
    assert native.library("cpu") is None and not native.usable(torch.zeros(1))
    assert ("cpu", "pure PyTorch is used (UNLEARNKIT_NATIVE=0)") in native.status()


def test_not_built(unloaded: None, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setattr(native, "__file__", str(tmp_path / "native.py"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert native.library("cpu") is None
    assert "not built; run: unlearnkit build-ext" in dict(native.status())["cpu"]
    (tmp_path / "unlearnkit").mkdir()
    (tmp_path / "unlearnkit" / "unlearnkit_cpu-0123456789abcdef.so").write_bytes(b"old")
    native._loaded.clear()
    assert native.library("cpu") is None and "built from other sources" in dict(native.status())["cpu"]
    native._loaded.clear()
    monkeypatch.setenv("UNLEARNKIT_NATIVE", "1")
    with pytest.raises(BuildError, match="UNLEARNKIT_NATIVE=1, but the native cpu kernels cannot be used"):
        native.library("cpu")


def test_no_library_at_all_and_a_wrong_word(unloaded: None, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    broken = tmp_path / "broken.so"
    broken.write_bytes(b"\x7fELF nothing")
    monkeypatch.setattr(native, "_find", lambda device: broken)
    assert native.library("cpu") is None and "broken.so" in dict(native.status())["cpu"]
    native._loaded.clear()
    monkeypatch.setenv("UNLEARNKIT_NATIVE", "yes")
    with pytest.raises(BuildError, match="expected 0, 1, cpu or cuda"):
        native.library("cpu")


def test_a_kernel_that_fails_is_replaced_once_and_for_all(unloaded: None, monkeypatch: pytest.MonkeyPatch) -> None:
    needs_native()

    def fail(*_: object) -> None:
        raise BuildError("native kernel failed: no memory")

    monkeypatch.setattr(native.Library, "run", fail)
    x = drawn(1, 2, 4, 4)
    with pytest.warns(RuntimeWarning, match="no memory; pure PyTorch is used from here on"):
        made = ops.bias_act(x, clamp=0.5)
    assert_close(made, x.clamp(-0.5, 0.5))
    assert native.library("cpu") is None and "no memory" in dict(native.status())["cpu"]


def test_what_the_library_refuses() -> None:
    needs_native()
    library = native.library("cpu")
    assert library is not None
    arguments = native.STRUCTURES["bias_act"]()
    arguments.size = 8
    with pytest.raises(BuildError, match="another version"):
        library.run("bias_act", arguments, torch.zeros(1), False)
