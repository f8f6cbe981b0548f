"""The pair loop: right gradients, nothing rendered twice, nothing frozen given a graph, resume to the bit."""

from __future__ import annotations

import copy

import attrs
import pytest
import torch
from unlearnkit_guide.losses import Adjacency, Global, Local
from unlearnkit_guide.method import Guide

from unlearnkit.engine import loop as engine
from unlearnkit.errors import ConfigError, Interrupted, ShapeError, UnlearnkitError
from unlearnkit.interfaces import Pairs, Progress, Step
from unlearnkit.testing.world import ToyGenerator, toy_job


def losses() -> dict:
    return {"guide-local": Local(), "guide-adjacency": Adjacency(alpha_max=1.0), "guide-global": Global()}


def gradient(job) -> torch.Tensor:
    return torch.cat([p.grad.flatten() for p in job.edited.editable_parameters().values()])


def direct_gradient(job) -> tuple[torch.Tensor, float]:
    """The same loss written out plainly: every pair rendered on its own, one graph, one backward pass."""
    step = Step(0, job.edited, job.erased, job.targets, None, job.rng)
    total = torch.zeros(())
    for loss in job.losses.values():
        pairs = loss.pairs(step)
        for a, b in zip(pairs.edited, pairs.frozen, strict=True):
            made, kept = job.edited.render(a[None]), job.frozen.render(b[None])
            for name, value in loss.terms(made, kept, job.measures).items():
                total = total + loss.weights()[name] * value.sum()
    total.backward()
    return gradient(job), float(total.detach())


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_gradient_does_not_depend_on_micro_batches(monkeypatch, size):
    monkeypatch.setattr(engine, "micro_batch_size", lambda device, resolution, pairs: size)
    plain, batched = toy_job(losses(), people=2), toy_job(losses(), people=2)
    wanted, total = direct_gradient(plain)
    step = Step(0, batched.edited, batched.erased, batched.targets, None, batched.rng)
    terms = engine.backward(batched, step, {})
    torch.testing.assert_close(gradient(batched), wanted, rtol=1e-5, atol=1e-7)
    assert terms["total"] == pytest.approx(total, rel=1e-5)


def test_each_pair_is_rendered_once_and_the_constant_side_only_in_the_first_step():
    job = toy_job(losses())
    Guide(steps=3).unlearn(job)
    pairs = 1 + 2 + 2
    assert job.edited.rendered == 3 * pairs
    assert job.frozen.rendered == 3 * pairs - 2  # the local target is kept
    assert job.measures.identity.embedded == 3 * 3 + (3 + 2 + 2)  # edited each time; frozen: local once


def test_only_synthesis_moves_and_the_source_stays():
    job = toy_job(losses())
    before = copy.deepcopy(job.edited.module.state_dict())
    Guide(steps=2, learning_rate=0.01).unlearn(job)
    after = job.edited.module.state_dict()
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    assert changed == {"synthesis.weight", "synthesis.bias"}
    assert all(torch.equal(value, before[name]) for name, value in job.frozen.module.state_dict().items())
    assert all(p.grad is None for p in job.frozen.module.parameters())
    assert not any(p.requires_grad for p in job.edited.module.parameters())


def test_it_learns():
    seen = []
    progress = Progress()
    progress.step = lambda index, total, terms: seen.append(terms["guide-local/perceptual"])
    Guide(steps=200, learning_rate=0.02).unlearn(toy_job({"guide-local": Local(mse=0)}, progress=progress))
    assert seen[-1] < 0.01 * seen[0]


@attrs.define
class Memory(Progress):
    """Saves at every step, stops after ``stop_after``."""

    stop_after: int = 10**9
    kept: tuple | None = None
    log: list = attrs.field(factory=list)

    def load(self):
        return self.kept

    def due(self):
        return True

    def save(self, tensors, values):
        self.kept = ({name: tensor.clone() for name, tensor in tensors.items()}, dict(values))
        if values["step"] >= self.stop_after:
            raise Interrupted("asked to")

    def step(self, index, total, terms):
        self.log.append((index, terms))


@pytest.mark.parametrize("stop_after", [1, 3, 6])
def test_resume_is_exact_to_the_bit(stop_after):
    whole = toy_job(losses(), progress=Memory())
    Guide(steps=6, learning_rate=0.01).unlearn(whole)
    first = Memory(stop_after=stop_after)
    with pytest.raises(Interrupted):
        Guide(steps=6, learning_rate=0.01).unlearn(toy_job(losses(), progress=first))
    second = toy_job(losses(), seed=99, progress=Memory(kept=first.kept))
    Guide(steps=6, learning_rate=0.01).unlearn(second)
    for a, b in zip(whole.edited.module.parameters(), second.edited.module.parameters(), strict=True):
        assert torch.equal(a, b)
    assert first.log[:stop_after] + second.progress.log == whole.progress.log
    assert torch.equal(whole.rng.get_state(), second.rng.get_state())


def test_a_wrong_term_is_named():
    @attrs.define
    class Wrong(Local):
        def terms(self, edited, frozen, measures):
            return {"mse": torch.zeros(())}

    with pytest.raises(ShapeError, match=r"'mine'.*'mse'.*one value per pair"):
        Guide(steps=1).unlearn(toy_job({"mine": Wrong()}))


def test_an_infinite_loss_ends_the_run():
    @attrs.define
    class Exploding(Local):
        def terms(self, edited, frozen, measures):
            terms = super().terms(edited, frozen, measures)
            return {**terms, "mse": terms["mse"] / 0}

    with pytest.raises(UnlearnkitError, match="learning_rate"):
        Guide(steps=50).unlearn(toy_job({"exploding": Exploding()}))


def test_no_losses():
    with pytest.raises(ConfigError, match="no losses"):
        Guide(steps=1).unlearn(toy_job({}))


def test_pairs_need_one_shape():
    with pytest.raises(ShapeError, match="one shape"):
        Pairs(torch.zeros(1, 2, 3), torch.zeros(2, 2, 3))


@pytest.mark.parametrize(("device", "resolution", "size"), [
    ("cpu", 128, 5), ("cpu", 256, 1), ("cpu", 1024, 1), ("cpu", 16, 9), ("meta", 1024, 9),
])
def test_micro_batch_size(device, resolution, size):
    assert engine.micro_batch_size(torch.device(device), resolution, 9) == size


def test_toy_is_deterministic():
    assert torch.equal(ToyGenerator().map(torch.ones(1, 3)), ToyGenerator().map(torch.ones(1, 3)))
