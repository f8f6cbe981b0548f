"""What a method adds to the loss means the same however a step is cut into micro-batches."""

from __future__ import annotations

import attrs
import pytest
import torch
from torch import Tensor
from unlearnkit_guide.losses import Adjacency, Global, Local

from unlearnkit.engine import PairLoop
from unlearnkit.engine import loop as engine
from unlearnkit.errors import ShapeError
from unlearnkit.interfaces import Job, Progress
from unlearnkit.testing.world import toy_job


@attrs.define(eq=False)
class Anchored(PairLoop):
    """Pulls the bias towards 1 with a weight: one number a step."""

    def extra_terms(self, job: Job) -> dict[str, Tensor]:
        return {"anchor": 3 * (job.edited.editable_parameters()["synthesis.bias"] - 1).square().sum()}


@attrs.define(eq=False)
class AnchoredApart(Anchored):
    """The same in a method whose two sides are back-propagated apart."""

    splits = True


def anchor(monkeypatch: pytest.MonkeyPatch, method: PairLoop, size: int) -> float:
    monkeypatch.setattr(engine, "micro_batch_size", lambda device, resolution, pairs: size)
    seen: list[dict[str, float]] = []

    class Watch(Progress):
        def step(self, index, total, terms):
            seen.append(dict(terms))

    losses = {"guide-local": Local(), "guide-adjacency": Adjacency(alpha_max=1.0), "guide-global": Global()}
    job = toy_job(losses)
    job.progress = Watch()
    method.unlearn(job)
    return seen[0]["anchor"]


@pytest.mark.parametrize("method", [Anchored, AnchoredApart])
def test_one_number_counts_once_a_step(monkeypatch: pytest.MonkeyPatch, method: type[PairLoop]) -> None:
    bias = toy_job({}).edited.editable_parameters()["synthesis.bias"]
    wanted = float(3 * (bias - 1).square().sum())
    for size in (1, 2, 3, 100):
        assert anchor(monkeypatch, method(losses=(), steps=1), size) == pytest.approx(wanted, rel=1e-5), size


def test_its_gradient_counts_once_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def gradient(size: int) -> Tensor:
        monkeypatch.setattr(engine, "micro_batch_size", lambda device, resolution, pairs: size)
        job = toy_job({"guide-global": Global(samples=4)})
        method = Anchored(losses=())
        for value in job.edited.editable_parameters().values():
            value.requires_grad_(True)
        step = engine.Step(0, job.edited, job.erased, job.targets, None, job.rng)
        engine.accumulate(job, engine._name_pairs(job, step), {}, {}, method.extra_terms)
        return job.edited.editable_parameters()["synthesis.bias"].grad.clone()

    torch.testing.assert_close(gradient(1), gradient(100))


def test_one_number_a_pair_is_summed(monkeypatch: pytest.MonkeyPatch) -> None:
    class PerPair(PairLoop):
        sizes: list[int] = []  # noqa: RUF012

        def extra_terms(self, job):
            return {"anchor": torch.ones(min(2, 5 - 2 * len(self.sizes)), requires_grad=True) * self.note()}

        def note(self):
            self.sizes.append(1)
            return 1.0

    assert anchor(monkeypatch, PerPair(losses=(), steps=1), 2) == 5


def test_another_shape_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong(PairLoop):
        def extra_terms(self, job):
            return {"anchor": torch.ones(7, requires_grad=True)}

    with pytest.raises(ShapeError, match=r"extra term 'anchor' has shape \(7,\), expected a scalar"):
        anchor(monkeypatch, Wrong(losses=(), steps=1), 2)
