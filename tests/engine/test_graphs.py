"""A step as a function of static buffers, and when a recording is given up; the CUDA part only on a GPU."""

from __future__ import annotations

import copy
import warnings

import attrs
import pytest
import torch
from unlearnkit_baselines.fisher import Fisher
from unlearnkit_baselines.gradients import GradientSurgery
from unlearnkit_guide.losses import Adjacency, Global, Local
from unlearnkit_guide.method import Guide
from unlearnkit_lethe.losses import Seek

from unlearnkit.engine import graphs
from unlearnkit.engine import loop as engine
from unlearnkit.errors import ConfigError
from unlearnkit.interfaces import Job, Pairs, Progress
from unlearnkit.testing.world import ToyGenerator, ToyViewGenerator, make_job, toy_job

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def losses() -> dict:
    return {"local": Local(), "adjacency": Adjacency(alpha_max=1.0), "global": Global()}


@attrs.define
class Again:
    """Stands for CUDA: a recording is the function itself, run anew on the same buffers, into the same numbers."""

    fails: bool = False
    asides: int = 0
    replays: int = 0

    def aside(self, run):
        self.asides += 1
        return run()

    def record(self, run):
        if self.fails:
            raise RuntimeError("operation not permitted when stream is capturing\nmore")
        said: graphs.TermList = []

        def replay():
            self.replays += 1
            said[:] = run()

        return said, replay


@attrs.define
class Log(Progress):
    seen: list = attrs.field(factory=list)

    def step(self, index, total, terms):
        self.seen.append(terms)


def numbers(job: Job, steps: int = 7) -> tuple[list, torch.Tensor]:
    """All numbers of a run, and where it ended."""
    Guide(steps=steps, learning_rate=0.01).unlearn(job)
    return job.progress.seen, torch.cat([p.flatten() for p in job.edited.module.parameters()])


@pytest.fixture
def recorder(monkeypatch) -> Again:
    """Lets a CPU record."""
    made = Again()
    monkeypatch.setattr(engine, "CudaRecorder", lambda: made)
    monkeypatch.setattr(engine, "reason_against", lambda *_: None)
    monkeypatch.setattr(engine, "micro_batch_size", lambda device, resolution, pairs: pairs)
    return made


def make(generator=ToyGenerator, **options) -> Job:
    return make_job(generator(), generator(), options.pop("losses", None) or losses(), progress=Log(), **options)


@pytest.mark.parametrize("generator", [ToyGenerator, ToyViewGenerator])
def test_replayed_steps_give_the_numbers_of_plain_ones(recorder, generator) -> None:
    plain, replayed = make(generator), make(generator, cuda_graph=True)
    wanted, end = numbers(plain)
    found, same = numbers(replayed)
    assert (recorder.asides, recorder.replays) == (graphs.WARM_UP, 7 - graphs.WARM_UP)
    assert found == wanted and torch.equal(same, end)
    assert torch.equal(plain.rng.get_state(), replayed.rng.get_state())


def given_up(job: Job, reason: str, steps: int = 7) -> None:
    """The run says why, once, and gives the numbers of a plain one."""
    plain = copy.deepcopy(job)
    plain.cuda_graph = False
    wanted, end = numbers(plain, steps)
    with pytest.warns(UserWarning, match=reason) as said:
        found, same = numbers(job, steps)
    assert len(said) == 1
    assert found == wanted and torch.equal(same, end)


@attrs.define
class Growing(Global):
    """Asks for one more pair at the sixth step."""

    def pairs(self, step):
        self.samples = 3 if step.index >= 5 else 2
        return Global.pairs(self, step)


def test_other_shapes(recorder) -> None:
    given_up(make(losses={"local": Local(), "growing": Growing()}, cuda_graph=True), "pairs have changed")
    assert recorder.replays == 5 - graphs.WARM_UP


@attrs.define
class Heavier(Global):
    """Weighs more from the sixth step on."""

    def pairs(self, step):
        self.perceptual = 2.0 if step.index >= 5 else 1.0
        return Global.pairs(self, step)


def test_other_weights(recorder) -> None:
    given_up(make(losses={"local": Local(), "heavier": Heavier()}, cuda_graph=True), "weights .* have changed")


class Noisy(ToyGenerator):
    """Draws noise for each picture, as `noise = "random"` does."""

    def render(self, latents, views=None, rng=None):
        made = ToyGenerator.render(self, latents)
        noise = torch.randn(made.image.shape, generator=rng)
        return attrs.evolve(made, image=made.image + 0.01 * noise)


def test_random_noise(recorder) -> None:
    given_up(make(Noisy, cuda_graph=True), "random numbers")
    assert recorder.replays == 0 and recorder.asides == 1


def test_a_recording_that_fails(recorder) -> None:
    recorder.fails = True
    given_up(make(cuda_graph=True), r"capture failed \(operation not permitted when stream is capturing\)")


def test_what_is_not_even_tried() -> None:
    job = attrs.evolve(toy_job(losses()), device=CUDA)
    assert graphs.reason_against(job, False) is None
    assert "adds to the gradients" in graphs.reason_against(job, True)
    assert "learning rate changes" in graphs.reason_against(job, False, True)
    assert "the device is cpu" in graphs.reason_against(attrs.evolve(job, device=CPU), False)
    learning = attrs.evolve(job, losses={**losses(), "lethe-seek": Seek()})
    assert "lethe-seek learns from step to step" in graphs.reason_against(learning, False)
    penalised = attrs.evolve(job, losses={**losses(), "fisher": Fisher()})
    assert "fisher penalises" in graphs.reason_against(penalised, False)


@pytest.mark.parametrize(("method", "says"), [(Guide, False), (GradientSurgery, True)])
def test_methods_that_add_terms_are_told_apart(monkeypatch, method, says) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(engine, "reason_against", lambda job, adds_terms, _: asked.append(adds_terms) or "it is a test")
    with pytest.warns(UserWarning, match="no CUDA graph: it is a test"):
        method(steps=1).unlearn(make(cuda_graph=True))
    assert asked == [says]


def test_without_the_setting_nothing_is_said() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Guide(steps=1).unlearn(make())
    with pytest.raises(ConfigError):
        Guide(steps=1).unlearn(attrs.evolve(make(), losses={}))


# ---------------------------------------------------------------- buffers

def test_buffers_are_their_own_and_stay_where_they_are() -> None:
    latents, view = torch.ones(1, 2, 3), torch.ones(1, 2)
    asked = {"a": Pairs(latents.expand(4, 2, 3), latents.expand(4, 2, 3), view.expand(4, 2))}
    static = graphs.StaticPairs(asked, CPU)
    kept = static.pairs["a"]
    places = [tensor.data_ptr() for tensor in (kept.edited, kept.frozen, kept.views)]
    other = {"a": Pairs(torch.full((4, 2, 3), 2.0), torch.full((4, 2, 3), 3.0), torch.full((4, 2), 4.0))}
    assert static.fits(other)
    static.fill(other)
    assert [float(tensor.mean()) for tensor in (kept.edited, kept.frozen, kept.views)] == [2.0, 3.0, 4.0]
    assert places == [tensor.data_ptr() for tensor in (kept.edited, kept.frozen, kept.views)]
    assert float(latents.mean()) == 1.0


@pytest.mark.parametrize("other", [
    {}, {"b": Pairs(torch.zeros(1, 2, 3), torch.zeros(1, 2, 3))},
    {"a": Pairs(torch.zeros(2, 2, 3), torch.zeros(2, 2, 3))},
    {"a": Pairs(torch.zeros(1, 2, 3), torch.zeros(1, 2, 3), torch.zeros(1, 2))},
    {"a": Pairs(torch.zeros(1, 2, 3), torch.zeros(1, 2, 3), constant=True)},
])
def test_what_does_not_fit(other) -> None:
    static = graphs.StaticPairs({"a": Pairs(torch.zeros(1, 2, 3), torch.zeros(1, 2, 3))}, CPU)
    assert not static.fits(other)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_graph_on_a_gpu_gives_the_numbers_of_plain_steps() -> None:
    from unlearnkit_stylegan2.generator import StyleGAN2

    def on_gpu(graph: bool) -> Job:
        parts = StyleGAN2(), StyleGAN2()
        for part in parts:
            part.prepare(CUDA)
        job = make_job(*parts, losses(), progress=Log(), cuda_graph=graph)
        job.device = CUDA
        return job

    wanted, end = numbers(on_gpu(False), 12)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found, same = numbers(on_gpu(True), 12)
    for one, other in zip(found, wanted, strict=True):
        assert one == pytest.approx(other, rel=1e-3)
    torch.testing.assert_close(same, end, rtol=1e-3, atol=1e-4)
