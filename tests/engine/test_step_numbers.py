"""A step waits for the device once, at its end: counted, and shown where nothing can be read at all."""

from __future__ import annotations

import copy
from collections import Counter

import attrs
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from unlearnkit_baselines.fisher import Fisher
from unlearnkit_baselines.losses import Ascent
from unlearnkit_baselines.methods import Ewc
from unlearnkit_eg3d.generator import EG3D
from unlearnkit_guide.losses import Adjacency, Global, Local
from unlearnkit_guide.method import Guide
from unlearnkit_stylegan2.generator import StyleGAN2

from unlearnkit.engine import loop as engine
from unlearnkit.engine import step_numbers
from unlearnkit.engine.step_numbers import StepNumbers
from unlearnkit.errors import Interrupted, UnlearnkitError
from unlearnkit.interfaces import Generator, Job, Loss, Measures, Progress, Step
from unlearnkit.testing.world import ToyIdentity, ToyPerceptual, ToyViewGenerator, toy_job

READS = ("_local_scalar_dense", "item", "nonzero", "nonzero_numpy", "masked_select", "equal", "is_nonzero",
         "unique_consecutive", "unique_dim", "unique_dim_consecutive", "_unique2")
"""Operations whose result decides on the host, or has a size that depends on the numbers: a GPU must be waited for."""


class Reads(TorchDispatchMode):
    """Counts what makes a GPU wait."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        by_mask = name == "index" and any(x is not None and x.dtype == torch.bool for x in args[1])
        if name in READS or by_mask:
            self.found[name] += 1
        return function(*args, **(kwargs or {}))


def test_the_counter_counts() -> None:
    x = torch.arange(4.0)
    with Reads() as reads:
        float(x.sum()), bool(x.any()), x[x > 1], torch.unique_consecutive(x), torch.equal(x, x), x.nonzero()
    assert reads.found.total() == 6


def losses() -> dict[str, Loss]:
    return {"local": Local(), "adjacency": Adjacency(alpha_max=1.0), "global": Global(), "ascent": Ascent()}


@pytest.mark.parametrize("size", [1, 3, 100])
def test_a_step_reads_its_numbers_together(monkeypatch, size: int) -> None:
    monkeypatch.setattr(engine, "micro_batch_size", lambda device, resolution, pairs: size)
    read: list[int] = []
    whole = torch.Tensor.tolist

    def tolist(tensor):
        read.append(tensor.numel())
        return whole(tensor)

    monkeypatch.setattr(torch.Tensor, "tolist", tolist)
    job = toy_job(losses(), people=2)
    job.edited.module["synthesis"].requires_grad_(True)
    step = Step(0, job.edited, job.erased, job.targets, None, job.rng)
    with Reads() as reads:
        terms = engine.backward(job, step, {})
    assert not reads.found and len(read) == 1
    assert len(terms) == 1 + 3 + 3 + 1 + 2


def test_penalties_are_not_read_either(monkeypatch) -> None:
    found: list[Counter[str]] = []
    gradients = engine.PairLoop._gradients

    def counted(*arguments):
        with Reads() as reads:
            said = gradients(*arguments)
        found.append(reads.found)
        return said

    monkeypatch.setattr(engine.PairLoop, "_gradients", counted)
    Ewc(steps=2).unlearn(toy_job({"local": Local(), "fisher": Fisher()}))
    assert len(found) == 2 and not found[0] + found[1]


# ---------------------------------------------------------------- where nothing can be read

@attrs.define(eq=False)
class Elsewhere(ToyViewGenerator):
    """A toy whose network lies on torch's device without numbers: every reading there is an error."""

    def __attrs_post_init__(self) -> None:
        self.network.to("meta")

    @property
    def w_avg(self) -> torch.Tensor:
        return torch.full((2, 3), 0.1, device="meta")

    def render(self, latents, views=None, rng=None):
        return ToyViewGenerator.render(self, latents, views.to("meta"), rng)


def elsewhere(generator: Generator, people: int = 2) -> Job:
    """A job on the meta device."""
    shape = (people, generator.num_ws, generator.w_dim)
    latents = torch.empty(shape, device="meta")
    return Job(edited=generator, frozen=copy.deepcopy(generator), erased=latents, targets=latents.clone(),
               losses=losses(), measures=Measures(ToyPerceptual(), ToyIdentity()), rng=torch.Generator(),
               device=torch.device("meta"))


def on_meta(generator: Generator) -> Generator:
    generator.prepare(torch.device("cpu"))
    generator.module.to("meta")
    return generator


@pytest.mark.parametrize("make", [Elsewhere, lambda: on_meta(StyleGAN2()), lambda: on_meta(EG3D())],
                         ids=["toy", "stylegan2", "eg3d"])
def test_nothing_is_read_before_the_end_of_a_step(make) -> None:
    job = elsewhere(make())
    parameters = job.edited.editable_parameters()
    engine.freeze(job.frozen.module)
    view = job.edited.sample_views(1, job.rng)
    step = Step(0, job.edited, job.erased, job.targets, view, job.rng)
    said = engine.accumulate(job, engine._name_pairs(job, step), {}, parameters)
    assert {number.device.type for _, number in said} == {"meta"}
    assert any(parameter.grad is not None for parameter in parameters.values())
    with pytest.raises(Exception, match="meta"):  # the end of the step, where it is read
        StepNumbers(0, [said], job.device).check()


# ---------------------------------------------------------------- one step late, as on a GPU

@attrs.define
class Watching(Progress):
    """Notes in which order things are said and saved."""

    events: list = attrs.field(factory=list)
    due_at: tuple[int, ...] = ()
    asked: int = 0

    def due(self):
        self.asked += 1
        return self.asked - 1 in self.due_at

    def save(self, tensors, values):
        self.events.append(("saved", values["step"]))

    def step(self, index, total, terms):
        self.events.append((index, terms))


def run(steps: int = 5, more: dict[str, Loss] | None = None, **watching) -> Watching:
    progress = Watching(**watching)
    Guide(steps=steps, learning_rate=0.01).unlearn(toy_job(more or losses(), progress=progress))
    return progress


def test_late_numbers_are_the_same_and_always_before_the_checkpoint(monkeypatch) -> None:
    prompt = run(due_at=(2,)).events
    monkeypatch.setattr(engine, "read_delay", lambda device: 1)
    assert run(due_at=(2,)).events == prompt
    assert [event[0] for event in prompt] == [0, 1, 2, "saved", 3, 4, "saved"]


def test_late_numbers_leave_one_step_unread(monkeypatch) -> None:
    unread: list[int] = []
    monkeypatch.setattr(engine, "read_delay", lambda device: 1)
    report = engine.PairLoop._report

    def watched(self, job, waiting, keep):
        report(self, job, waiting, keep)
        unread.append(len(waiting))

    monkeypatch.setattr(engine.PairLoop, "_report", watched)
    run()
    assert unread == [1, 1, 1, 1, 1, 0]


@attrs.define
class ExplodingAt(Local):
    """Becomes infinite at one step."""

    at: int = 2
    count: int = attrs.field(init=False, default=0)

    def terms(self, edited, frozen, measures):
        self.count += 1
        terms = super().terms(edited, frozen, measures)
        return {**terms, "mse": terms["mse"] / (0 if self.count > self.at else 1)}


@pytest.mark.parametrize("late", [0, 1])
def test_an_infinite_loss_is_never_saved(monkeypatch, late: int) -> None:
    monkeypatch.setattr(engine, "read_delay", lambda device: late)
    progress = Watching(due_at=(1, 2, 3))
    with pytest.raises(UnlearnkitError, match="at step 2"):
        Guide(steps=9).unlearn(toy_job({"exploding": ExplodingAt()}, progress=progress))
    assert progress.events[-1] == ("saved", 2)


def test_a_late_run_resumes_to_the_bit(monkeypatch) -> None:
    monkeypatch.setattr(engine, "read_delay", lambda device: 1)

    class Stops(Watching):
        kept = None

        def load(self):
            return self.kept

        def save(self, tensors, values):
            self.kept = ({name: tensor.clone() for name, tensor in tensors.items()}, dict(values))
            if values["step"] == 3:
                raise Interrupted("asked to")

    whole, first = toy_job(losses()), Stops(due_at=(2,))
    Guide(steps=6, learning_rate=0.01).unlearn(whole)
    with pytest.raises(Interrupted):
        Guide(steps=6, learning_rate=0.01).unlearn(toy_job(losses(), progress=first))
    assert [index for index, _ in first.events] == [0, 1, 2]
    second = toy_job(losses(), seed=5, progress=Stops())
    second.progress.kept = first.kept
    Guide(steps=6, learning_rate=0.01).unlearn(second)
    for a, b in zip(whole.edited.module.parameters(), second.edited.module.parameters(), strict=True):
        assert torch.equal(a, b)


def test_lateness() -> None:
    assert step_numbers.read_delay(torch.device("cuda")) == 1
    assert step_numbers.read_delay(torch.device("cpu")) == step_numbers.read_delay(torch.device("mps")) == 0


def test_sides_are_summed_apart() -> None:
    def one(value: float) -> torch.Tensor:
        return torch.tensor(value)

    sides = [[("a", one(0.1)), ("total", one(0.2)), ("a", one(0.3))], [("a", one(1.0)), ("total", one(2.0))]]
    said = StepNumbers(7, sides, torch.device("cpu")).check()
    assert list(said) == ["total", "a"]
    assert said == {"total": float(one(0.2)) + 2.0, "a": (float(one(0.1)) + float(one(0.3))) + 1.0}
    assert StepNumbers(0, [[]], torch.device("cpu")).check() == {"total": 0.0}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_reading_from_a_gpu() -> None:
    said = [("total", torch.tensor(1.5, device="cuda")), ("a", torch.tensor(2.5, device="cuda"))]
    assert StepNumbers(0, [said], torch.device("cuda")).check() == {"total": 1.5, "a": 2.5}


