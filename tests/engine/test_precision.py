"""Precision: switches are set and put back; bfloat16 changes a loss by rounding only, and leaves the rest float32."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest
import torch
from torch import Tensor, nn
from unlearnkit_guide.losses import Adjacency, Global, Local
from unlearnkit_guide.method import Guide

from unlearnkit.config import resolve
from unlearnkit.engine.precision import (
    FastMeasures,
    bfloat16_instructions,
    effective_precision,
    float32_products,
    make_measures,
    trains_in_bfloat16,
)
from unlearnkit.errors import ConfigError
from unlearnkit.interfaces import Measures, Perceptual, Progress, Rendering
from unlearnkit.plugins import registry
from unlearnkit.testing.world import ToyIdentity, toy_job

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def switches() -> tuple[str, ...]:
    cudnn = torch.backends.cudnn
    if not hasattr(cudnn, "conv"):
        return torch.backends.cuda.matmul.allow_tf32, cudnn.allow_tf32
    return torch.backends.cuda.matmul.fp32_precision, cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision


@pytest.mark.parametrize("precision", ["float32", "tf32", "bf16"])
def test_switches_are_set_and_put_back(precision: str) -> None:
    before = switches()
    with float32_products(precision):
        inside = switches()
    assert set(inside) <= ({"ieee", False} if precision == "float32" else {"tf32", True})
    assert switches() == before
    with pytest.raises(ZeroDivisionError), float32_products(precision):
        raise ZeroDivisionError
    assert switches() == before


def test_without_a_precision_nothing_is_touched() -> None:
    before = switches()
    with float32_products(None):
        assert switches() == before


@attrs.define(eq=False)
class Convolving(Perceptual):
    """Feature maps by two convolutions; notes what type of number they were computed in."""

    network: nn.Module = attrs.field(init=False)
    seen: list[torch.dtype] = attrs.field(init=False, factory=list)

    def __attrs_post_init__(self) -> None:
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(0)
            self.network = nn.Sequential(nn.Conv2d(3, 32, 3), nn.ReLU(), nn.Conv2d(32, 32, 1)).requires_grad_(False)

    def features(self, images: Tensor) -> list[Tensor]:
        maps = self.network(images)
        self.seen.append(maps.dtype)
        return [maps]

    def distance(self, a: list[Tensor], b: list[Tensor]) -> Tensor:
        assert a[0].dtype == b[0].dtype == torch.float32
        return (a[0] - b[0]).square().flatten(1).mean(1)


def one_step(measures: Measures) -> tuple[dict[str, float], Tensor]:
    """The numbers of a first step, and where it led."""
    said: list[dict[str, float]] = []
    progress = Progress()
    progress.step = lambda index, total, terms: said.append(terms)
    job = toy_job({"local": Local(), "adjacency": Adjacency(alpha_max=1.0), "global": Global()}, progress=progress)
    job.measures = measures
    Guide(steps=2, learning_rate=1e-2).unlearn(job)
    assert all(p.dtype == torch.float32 for p in job.edited.module.parameters())
    return said[1], torch.cat([p.flatten() for p in job.edited.module.parameters()])


def test_bfloat16_changes_a_loss_by_rounding_only() -> None:
    exact, _ = one_step(Measures(Convolving(), ToyIdentity()))
    network = Convolving()
    rounded, _ = one_step(FastMeasures(network, ToyIdentity(), bfloat16=True))
    assert set(network.seen) == {torch.bfloat16}
    assert rounded.keys() == exact.keys()
    differences = {name: abs(rounded[name] - value) / abs(value) for name, value in exact.items()}
    assert 0 < differences["total"] < 2e-2
    assert differences["local/mse"] < 1e-2  # features of the generator are float32; only the step before differs


def test_without_bfloat16_the_numbers_are_the_same() -> None:
    exact, plain = one_step(Measures(Convolving(), ToyIdentity()))
    fast, same = one_step(FastMeasures(Convolving(), ToyIdentity()))
    assert fast == exact and torch.equal(plain, same)


def test_identities_are_of_length_one_and_alike_where_pictures_are() -> None:
    picture = Rendering(torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)), torch.zeros(2, 1, 1, 1))
    measures = FastMeasures(Convolving(), ToyIdentity(), bfloat16=True)
    assert measures.embed(picture.image).norm(dim=1).sub(1).abs().max() < 1e-6
    assert measures.identity_similarity(picture, picture).sub(1).abs().max() < 1e-6
    assert torch.equal(measures.perceptual_distance(picture, picture), torch.zeros(2))


def test_which_measures() -> None:
    parts = (Convolving(), ToyIdentity())
    assert type(make_measures(*parts, CPU, None)) is type(make_measures(*parts, CPU, "tf32")) is Measures
    assert make_measures(*parts, CUDA, "bf16").bfloat16
    on_cuda = make_measures(*parts, CUDA, None)
    assert isinstance(on_cuda, FastMeasures) and not on_cuda.bfloat16


# ---------------------------------------------------------------- processors

def cpu_info(folder: Path, flags: str) -> Path:
    file = folder / "cpuinfo"
    file.write_text(f"processor : 0\nmodel name : some\nflags\t\t: fpu {flags} sse\n", encoding="utf-8")
    return file


@pytest.mark.parametrize(("flags", "found"), [
    ("avx512_bf16 amx_bf16", "amx_bf16"), ("avx512f avx512_bf16", None), ("avx512f amx_int8", None)])
def test_what_a_processor_has(tmp_path: Path, flags: str, found: str | None) -> None:
    assert bfloat16_instructions(cpu_info(tmp_path, flags)) == found


def test_a_system_that_does_not_tell_has_nothing(tmp_path: Path) -> None:
    assert bfloat16_instructions(tmp_path / "missing") is None


def pretend(monkeypatch: pytest.MonkeyPatch, found: str | None) -> None:
    monkeypatch.setattr("unlearnkit.engine.precision.bfloat16_instructions", lambda: found)


def test_a_processor_without_bfloat16_is_told_and_computes_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, None)
    with pytest.warns(UserWarning, match="computes in float32"):
        assert not trains_in_bfloat16("bf16", CPU)
    assert type(make_measures(Convolving(), ToyIdentity(), CPU, "bf16")) is Measures
    assert str(effective_precision("bf16", CPU)).startswith("float32 (bf16 was asked for")


def test_a_processor_with_bfloat16_uses_it_where_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, "amx_bf16")
    assert trains_in_bfloat16("bf16", CPU) and not trains_in_bfloat16("bf16", CUDA)
    assert not trains_in_bfloat16("tf32", CPU) and not trains_in_bfloat16(None, CPU)
    assert effective_precision("bf16", CPU) == "bf16 (amx_bf16)" and effective_precision(None, CPU) is None


def test_layers_that_bfloat16_slows_down_stay_float32_and_weights_are_cast_once() -> None:
    network = Convolving()
    measures = FastMeasures(network, ToyIdentity(), bfloat16=True)
    picture = torch.randn(1, 3, 16, 16)
    first, second = measures.features(picture), measures.features(picture)
    assert torch.equal(first[0], second[0]) and len(measures._weights) == 2
    network.network = nn.Sequential(nn.Conv2d(3, 3, 3, stride=2, groups=3), nn.Flatten(), nn.Linear(147, 4))
    network.network.requires_grad_(False)
    exact = network.network(picture)
    assert torch.allclose(measures.features(picture)[0], exact, atol=1e-6) and network.seen[-1] == torch.float32


def test_a_wrong_precision_says_what_there_is() -> None:
    with pytest.raises(ConfigError, match="bf16"):
        resolve({"precision": "bfloat16"}, registry())
