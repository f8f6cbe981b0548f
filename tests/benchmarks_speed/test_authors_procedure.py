"""The speed bench: the authors' procedure gives our numbers by its own way, and what is measured is told rightly."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
from click.testing import CliRunner
from torch import Tensor
from torch.testing import assert_close
from unlearnkit_eg3d import network as eg3d_network
from unlearnkit_eg3d import volume as eg3d_volume
from unlearnkit_eg3d.volume import Decoder, Draws, RenderSettings
from unlearnkit_faces import perceptual
from unlearnkit_stylegan2 import layers

from unlearnkit import ops
from unlearnkit.interfaces import Job

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def benchmarks_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")  # it is not part of the package that is installed
    yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("networks")


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# ---------------------------------------------------------------- the iteration

def twin(job: Job) -> Job:
    """The same job with a generator and chances of its own."""
    return attrs.evolve(job, edited=copy.deepcopy(job.edited), rng=job.rng.clone_state())


@pytest.mark.parametrize(("kind", "one_graph"), [("stylegan2", True), ("eg3d", False)])
def test_the_same_losses_and_gradients(kind: str, one_graph: bool, folder: Path, monkeypatch) -> None:
    from speed.authors import AuthorsIteration, OurIteration
    from speed.networks import job

    ours = OurIteration(job(kind, "small", folder))
    theirs = AuthorsIteration(twin(ours.job), one_graph)
    found = ours.gradients()
    passes = counted(theirs, monkeypatch)
    wanted = theirs.gradients()
    assert found.keys() == wanted.keys() and min(wanted.values()) > 1e-4, "each term must say something"
    for name, value in wanted.items():
        assert found[name] == pytest.approx(value, rel=1e-4), name
    assert len(wanted) == 8
    a, b = (torch.cat([p.grad.flatten() for p in side.parameters.values() if p.grad is not None])
            for side in (ours, theirs))
    assert a.shape == b.shape and float((a - b).norm()) < 1e-3 * float(b.norm())
    # 3 passes for features and 5 for pictures, on each side: what the release does.
    assert passes == {"edited": 8, "frozen": 8} | ({"rendered": 10} if kind == "eg3d" else {})


def counted(theirs: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Counts the passes of synthesis and of the renderer from here on."""
    from speed import plain_ops

    passes: dict[str, int] = {}

    def count(name: str) -> None:
        passes[name] = passes.get(name, 0) + 1

    for name, generator in (("edited", theirs.job.edited), ("frozen", theirs.job.frozen)):
        synthesis = getattr(generator.module, "backbone", generator.module).synthesis
        synthesis.register_forward_hook(lambda *_, name=name: count(name))
    render = plain_ops.render
    monkeypatch.setattr(plain_ops, "render", lambda *given: (count("rendered"), render(*given))[1])
    return passes


def test_they_step_and_leave_weights_unfrozen(folder: Path) -> None:
    from speed.authors import AuthorsIteration, OurIteration
    from speed.networks import job

    ours = OurIteration(job("stylegan2", "small", folder))
    theirs = AuthorsIteration(twin(ours.job))
    before = {name: value.detach().clone() for name, value in theirs.parameters.items()}
    source = copy.deepcopy(ours.job.frozen.module.state_dict())
    ours(), theirs()
    assert all(not torch.equal(before[name], value) for name, value in theirs.parameters.items()
               if value.grad is not None and bool(value.grad.any()))
    mapping = theirs.job.edited.module.mapping
    assert not any(p.requires_grad for p in mapping.parameters()), "the latent space stays as it is"
    for name, value in ours.job.frozen.module.state_dict().items():
        assert torch.equal(value, source[name])
    assert all(p.grad is not None for p in theirs.identity._network.parameters())
    assert all(head.grad is not None for head in theirs.perceptual._weights)
    assert not any(p.requires_grad for p in theirs.perceptual._network.parameters())
    assert all(p.grad is None for p in ours.job.measures.identity._network.parameters())


# ---------------------------------------------------------------- the operations

def same(a: Any, b: Any, *inputs: Tensor, rtol: float = 1e-5) -> None:
    """Values, and gradients to all inputs, of two functions."""
    sides = []
    for function in (a, b):
        leaves = [x.clone().requires_grad_() for x in inputs]
        value = function(*leaves)
        probe = torch.randn(value.shape, generator=rng(9))
        sides.append((value.detach(), *torch.autograd.grad((value * probe).sum(), leaves)))
    for found, wanted in zip(*sides, strict=True):
        assert float((found - wanted).norm()) <= rtol * float(wanted.norm())


@pytest.mark.parametrize(("activation", "gain", "clamp"), [
    ("linear", None, None), ("lrelu", None, 0.7), ("lrelu", 0.5, None), ("linear", 2.0, 0.3)])
def test_plain_bias_act(activation: str, gain: float | None, clamp: float | None) -> None:
    from speed import plain_ops

    options: dict[str, Any] = {"activation": activation, "gain": gain, "clamp": clamp}
    x, bias = torch.randn(2, 5, 7, 6, generator=rng()), torch.randn(5, generator=rng(1))
    same(lambda x, b: plain_ops.bias_act(x, b, **options), lambda x, b: ops.bias_act(x, b, **options), x, bias)
    assert_close(plain_ops.bias_act(x, **options), ops.bias_act(x, **options))


@pytest.mark.parametrize("options", [
    {}, {"up": 2, "padding": (2, 1, 2, 1), "gain": 4.0}, {"down": 2, "padding": (1, 1, 0, 3)},
    {"up": 3, "down": 2, "padding": (3, 0, 1, 2)}])
def test_plain_filters(options: dict[str, Any]) -> None:
    from speed import plain_ops

    x, kernel = torch.randn(2, 3, 6, 7, generator=rng()), torch.randn(4, 4, generator=rng(1))
    same(lambda x: plain_ops.upfirdn2d(x, kernel, **options), lambda x: ops.upfirdn2d(x, kernel, **options), x)
    same(lambda x: plain_ops.upsample2d(x, kernel), lambda x: ops.upsample2d(x, kernel), x)


@pytest.mark.parametrize("noisy", [False, True])
@pytest.mark.parametrize(("up", "size", "demodulate"), [(1, 3, True), (2, 3, True), (1, 1, False)])
def test_plain_convolution(up: int, size: int, demodulate: bool, noisy: bool) -> None:
    from speed import plain_ops

    x, styles = torch.randn(2, 4, 8, 8, generator=rng()), torch.randn(2, 4, generator=rng(1))
    weight, noise = torch.randn(6, 4, size, size, generator=rng(2)), torch.randn(8 * up, 8 * up, generator=rng(3))
    kernel = ops.fir_filter((1, 3, 3, 1))
    options: dict[str, Any] = {"up": up, "kernel": kernel, "demodulate": demodulate}

    def of(function: Any) -> Any:
        return lambda x, w, s, n: function(x, w, s, noise=n if noisy else None, **options) + (0 if noisy else n)

    same(of(plain_ops.modulated_conv2d), of(ops.modulated_conv2d), x, weight, styles, noise.expand(8 * up, 8 * up))


def test_plain_distance() -> None:
    from speed import plain_ops

    a, b, weights = (torch.rand(*shape, generator=rng(9)) for shape in ((2, 5, 7, 6), (2, 5, 7, 6), (5,)))
    same(plain_ops.unit_distance, ops.unit_distance, a, b.flip(2), weights)


@pytest.mark.parametrize(("fine", "white_back", "boxed"), [(6, False, False), (0, True, False), (5, True, True)])
def test_plain_renderer(fine: int, white_back: bool, boxed: bool) -> None:
    from speed import plain_ops

    torch.manual_seed(0)
    limits: dict[str, Any] = {"near": None, "far": None} if boxed else {"near": 0.2, "far": 1.5}
    settings = RenderSettings(8, fine, box_warp=1.2, white_back=white_back, **limits)
    decoder, planes = Decoder(), torch.randn(2, 3, 32, 16, 16)
    origins = torch.tensor([0.0, 0.0, -0.9]).expand(2, 20, 3)
    directions = torch.nn.functional.normalize(torch.randn(2, 20, 3) * 0.2 + torch.tensor([0.0, 0.0, 1.0]), dim=2)
    draws = Draws.random(2, 20, settings, rng(4))
    sides = [(function(planes, decoder, origins, directions, settings, draws))
             for function in (plain_ops.render, eg3d_volume.render)]
    for name in ("features", "depth", "opacity"):
        assert_close(getattr(sides[0], name), getattr(sides[1], name), rtol=1e-4, atol=1e-5)
    same(*(lambda p, f=function: f(p, decoder, origins, directions, settings, draws).features
           for function in (plain_ops.render, eg3d_volume.render)), planes, rtol=1e-4)


def test_plain_mode_touches_nothing_of_ours(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever takes the place of our operations, native kernels say, cannot get into the authors' side."""
    from speed.networks import job
    from speed.plain_ops import plain

    found = job("eg3d", "small", folder)
    generator = found.edited
    latents, view = generator.sample_latents(1, rng()), generator.sample_views(1, rng())
    with torch.no_grad():
        expected = generator.render(latents, view).image

    def forbidden(*_: Any, **__: Any) -> None:
        raise RuntimeError("ours")

    for module in (layers, eg3d_volume, eg3d_network):
        for name in (set(ops.__all__) & vars(module).keys()) - {"fir_filter"}:
            monkeypatch.setattr(module, name, forbidden)
    monkeypatch.setattr(eg3d_network, "render", forbidden)
    monkeypatch.setattr(perceptual, "unit_distance", forbidden)
    with torch.no_grad(), plain():
        assert_close(generator.render(latents, view).image, expected, rtol=0, atol=1e-4)
        features = found.measures.perceptual.features(expected)
        assert not found.measures.perceptual.distance(features, features).any()
    with pytest.raises(RuntimeError, match="ours"), torch.no_grad():
        generator.render(latents, view)
    with pytest.raises(RuntimeError, match="ours"):
        found.measures.perceptual.distance(features, features)


def test_an_operation_without_its_plain_way_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    from speed.plain_ops import plain

    with plain():
        assert layers.bias_act is not ops.bias_act
    assert layers.bias_act is ops.bias_act
    monkeypatch.setattr(ops, "__all__", [*ops.__all__, "faster"])
    monkeypatch.setattr(layers, "faster", len, raising=False)
    with pytest.raises(RuntimeError, match="uses faster"), plain():
        pass


# ---------------------------------------------------------------- what is measured

def test_sides_that_differ_are_refused() -> None:
    from speed.timing import Different, Turn, interleave, operation_side

    def says(**terms: float) -> Any:
        return lambda: Turn({"iteration": 1.0}, {name: torch.tensor(term) for name, term in terms.items()})

    x, probe = torch.ones(3).requires_grad_(), torch.ones(3)
    right = operation_side(lambda x: 2 * x, [x], probe)
    with pytest.raises(Different, match=r"values, value: relative difference 1\.0e-03"):
        interleave(operation_side(lambda x: 2.002 * x, [x], probe), right, 1)
    with pytest.raises(Different, match="gradients, input 0"):
        interleave(operation_side(lambda x: 3 * x - x.detach(), [x], probe), right, 1)
    with pytest.raises(Different, match="relative difference nan"):
        interleave(says(total=float("nan")), says(total=1.0), 1)
    with pytest.raises(Different, match="ours are"):
        interleave(says(total=1.0), says(total=1.0, more=1.0), 1)


def test_sides_take_turns_and_the_first_is_not_timed() -> None:
    from speed.timing import Turn, interleave

    order: list[str] = []

    def side(name: str, seconds: list[float]) -> Any:
        def turn() -> Turn:
            order.append(name)
            return Turn({"forward": seconds.pop(0)}, {"value": torch.ones(1)})
        return turn

    found, = interleave(side("ours", [9.0, 1.0, 5.0, 2.0]), side("authors", [99.0, 8.0, 6.0, 4.0]), 3)
    assert order == ["ours", "authors"] * 4
    assert (found.ours, found.authors, found.ratio) == ((1.0, 5.0, 2.0), (8.0, 6.0, 4.0), 3.0)


def test_bars() -> None:
    from speed.table import table
    from speed.works import Row

    rows = [
        Row("a", "A", "forward", "full", "s", (1.0,), (2.0,), 2.0, 1.6),
        Row("b", "B", "forward", "full", "s", (0.001,), (0.0015,), 1.5, 1.6),
        Row("m", "M", "peak", "full", "bytes", (8.5e9,), bar=8e9),
        Row("s", "S", "forward", "small", "s", (1.0,), (2.0,), 2.0),
    ]
    assert [row.met for row in rows] == [True, False, False, None]
    assert attrs.evolve(rows[2], ours=(7.9e9,)).met
    lines = table(rows).splitlines()[2:]
    assert lines[0] == "| A | forward | full | 1.00 s | 2.00 s | x2.00 | x1.6 | yes |"
    assert lines[2] == "| M | peak | full | 8.50 GB | – | – | ≤ 8.00 GB | NO |"
    assert lines[1].endswith("| 1.0 ms | 1.5 ms | x1.50 | x1.6 | NO |") and lines[3].endswith("x2.00 | – | – |")


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from speed import table
    from speed.__main__ import main

    monkeypatch.setattr(table.native, "in_use", lambda device: ("native", "avx2"))
    file = tmp_path / "speed.json"
    works = ["upsample", "renderer", "bias_act", "sampling"]
    done = CliRunner().invoke(main, [*works, "--size", "small", "--repeats", "2", "--json", str(file)])
    assert done.exit_code == 0, done.output
    written = json.loads(file.read_text())
    assert written["machine"]["threads"] == torch.get_num_threads()
    assert (written["machine"]["kernels"], written["machine"]["instructions"]) == ("native", "avx2")
    assert done.output.endswith("kernels: native, avx2\n")
    assert [(row["work"], row["phase"]) for row in written["rows"]] == [
        (work, phase) for work in works for phase in ("forward", "backward")]
    assert all(len(row["ours"]) == len(row["authors"]) == 2 and row["met"] is None for row in written["rows"])
    assert all(f"| {row['work']} | {row['phase']} | small |" in done.output for row in written["rows"])
    assert CliRunner().invoke(main, ["nothing"]).exit_code == 2


def test_without_native_kernels_it_refuses_or_says_so_in_capitals(monkeypatch: pytest.MonkeyPatch) -> None:
    from speed import table
    from speed.__main__ import main

    monkeypatch.setattr(table.native, "in_use", lambda device: ("PyTorch (not built)", "avx2"))
    arguments = ["bias_act", "--size", "small", "--repeats", "1"]
    refused = CliRunner().invoke(main, arguments)
    assert refused.exit_code == 1 and "no native kernels to time: PyTorch (not built)" in refused.output
    done = CliRunner().invoke(main, [*arguments, "--without-kernels"])
    assert done.exit_code == 0 and "WITHOUT NATIVE KERNELS: PyTorch (not built), avx2" in done.output


def test_iterations_take_turns_in_processes_of_their_own() -> None:
    from speed.works import WORKS, measure

    iteration, peak = measure(WORKS["stylegan2"], "small", 2)
    assert (iteration.phase, iteration.unit, peak.phase, peak.unit) == ("iteration", "s", "peak", "bytes")
    assert len(iteration.ours) == len(iteration.authors) == 2 and min(iteration.ours) > 0
    assert min(*peak.ours, *peak.authors) > 1e8 and peak.met is None


def test_a_process_that_ends_is_told() -> None:
    from speed.worker import worker

    with worker("stylegan2", "ours", "no such size") as side, pytest.raises(RuntimeError, match="the process ended"):
        side()


def test_all_that_issue_5_asks_for_has_a_bar() -> None:
    from speed.works import MEMORY_BAR, WORKS

    assert {name: tuple(work.bars.values()) for name, work in WORKS.items()} == {
        "stylegan2": (1.6,), "eg3d": (2.0,), "sampling": (5.0, 8.0), "renderer": (4.0, 6.0), "bias_act": (1.5, 4.0),
        "upsample": (3.0, 8.0), "memory": ()}
    assert MEMORY_BAR == 8e9
