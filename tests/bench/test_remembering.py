"""What cases have in common is computed once, and is what it would have been: latents of pictures, and renderings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from unlearnkit.bench import remembering
from unlearnkit.bench.remembering import RememberingInverter, Renderings, remembered
from unlearnkit.interfaces import Inverter
from unlearnkit.metrics.identity import Identity
from unlearnkit.metrics.preservation import Preservation
from unlearnkit.testing.world import ToyGenerator, make_evidence, random_latents

NOBODY: Any = None


class Counting(Inverter):
    """Gives each batch of pictures another latent."""

    calls = 0

    def invert(self, images: Tensor, generator: Any) -> Tensor:
        self.calls += 1
        return torch.full((len(images), 2, 3), float(self.calls))


def toys() -> tuple[ToyGenerator, ToyGenerator]:
    """A generator, and another that draws other pictures."""
    frozen, edited = ToyGenerator(), ToyGenerator()
    with torch.no_grad():
        for parameter in edited.network["synthesis"].parameters():  # type: ignore[index]
            parameter.mul_(1.1)
    return frozen, edited


@pytest.fixture(autouse=True)
def nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembering, "_FOUND", {})
    monkeypatch.setattr(remembering, "_FROZEN", {})


def test_the_same_pictures_are_inverted_once() -> None:
    inner = Counting()
    pictures = torch.zeros(1, 3, 4, 4), torch.ones(1, 3, 4, 4)
    first = RememberingInverter(inner, "a generator").invert(pictures[0], NOBODY)
    again = RememberingInverter(inner, "a generator")
    assert torch.equal(again.invert(pictures[0], NOBODY), first) and inner.calls == 1 and again.saved >= 0
    again.invert(pictures[1], NOBODY)
    RememberingInverter(inner, "another generator").invert(pictures[0], NOBODY)
    assert inner.calls == 3


def test_what_is_remembered_cannot_be_changed_from_outside() -> None:
    inverter, pictures = RememberingInverter(Counting(), "a generator"), torch.zeros(1, 3, 4, 4)
    inverter.invert(pictures, NOBODY).zero_()
    assert float(inverter.invert(pictures, NOBODY).max()) == 1


def test_latents_on_the_disk_are_those_of_the_next_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner, pictures = Counting(), torch.zeros(2, 3, 4, 4)
    first = RememberingInverter(inner, "a generator", tmp_path).invert(pictures, NOBODY)
    monkeypatch.setattr(remembering, "_FOUND", {})
    again = RememberingInverter(inner, "a generator", tmp_path)
    assert torch.equal(again.invert(pictures, NOBODY), first) and inner.calls == 1
    monkeypatch.setattr(remembering, "_FOUND", {})
    RememberingInverter(inner, "another generator", tmp_path).invert(pictures, NOBODY)
    assert inner.calls == 2 and len(list(tmp_path.iterdir())) == 2


def test_numbers_are_the_same_with_fewer_renderings() -> None:
    frozen, edited = toys()
    plain, shared = make_evidence(*toys()), make_evidence(frozen, edited)
    metrics = Identity(), Preservation()
    # A generator may round otherwise where fewer pictures are drawn at once.
    expected = [pytest.approx(metric.measure(plain), abs=1e-6) for metric in metrics]
    kept = remembered(shared, "settings")
    assert [metric.measure(kept) for metric in metrics] == expected
    before = frozen.rendered, edited.rendered
    again = remembered(shared, "settings")
    assert [metric.measure(again) for metric in metrics] == expected
    assert frozen.rendered == before[0], "the frozen generator drew again"
    assert edited.rendered > before[1], "the edited one is another in every case: it must draw again"
    Identity().measure(remembered(shared, "other settings"))
    assert frozen.rendered > before[0]


def test_gradients_go_through_the_generator_itself() -> None:
    frozen, edited = toys()
    evidence = remembered(make_evidence(frozen, edited), "settings")
    latents = random_latents(frozen, 1).requires_grad_()
    evidence.frozen.render(latents).image.sum().backward()
    assert latents.grad is not None and bool(latents.grad.abs().sum() > 0)


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembering, "_MOST_BYTES", 100)
    known, picture = Renderings(), torch.zeros(3, 2, 2)
    known.add(b"a", picture)
    known.add(b"b", picture)
    assert known.get(b"b") is not None and known.get(b"a") is not None
    known.add(b"c", picture)
    assert known.get(b"c") is not None and known.get(b"a") is None
