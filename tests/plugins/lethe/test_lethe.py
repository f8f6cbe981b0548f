"""lethe: its target, its searching latents, what it moves and how fast, and resuming in the middle of a search."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from unlearnkit_lethe.losses import Erase, Keep, Seek
from unlearnkit_lethe.method import Lethe
from unlearnkit_lethe.targets import NearestStranger, spread, strangers_level
from unlearnkit_lethe.whitening import WhitenedAdam, whitening

from unlearnkit.config import nest, resolve
from unlearnkit.engine import freeze
from unlearnkit.errors import ConfigError, Interrupted
from unlearnkit.interfaces import Job, Measures, Pairs, Progress, Rendering, Step, StyleLayer
from unlearnkit.plugins import registry
from unlearnkit.testing.world import ToyGenerator, ToyIdentity, ToyPerceptual, random_latents, toy_job

MEASURES = Measures(ToyPerceptual(), ToyIdentity())


def toy() -> ToyGenerator:
    made = ToyGenerator()
    freeze(made.module)
    return made


def step_of(job: Job, index: int = 0) -> Step:
    return Step(index, job.edited, job.erased, job.targets, None, job.rng)


def rendered(job: Job, pairs: Pairs) -> tuple[Rendering, Rendering]:
    return job.edited.render(pairs.edited), job.frozen.render(pairs.frozen)


def likeness(job: Job, latents: Tensor) -> Tensor:
    """To the first person to be erased, as the frozen generator draws them."""
    face = job.measures.embed(job.frozen.render(job.erased[:1]).image)
    return (job.measures.embed(job.frozen.render(latents).image) * face).sum(1).detach()


# ---------------------------------------------------------------- the target

def test_the_nearest_stranger_is_less_alike_and_no_further_than_needed():
    generator, erased = toy(), random_latents(toy(), 2)
    target = NearestStranger(step_size=0.1)
    target.fit(erased, generator, MEASURES, torch.Generator())
    found = target.select(erased, generator, torch.Generator())
    faces, strangers = (MEASURES.embed(generator.render(latents).image) for latents in (erased, found))
    similar = (faces * strangers).sum(1)
    assert (similar < 0.7).all()
    far = NearestStranger(step_size=0.1, perceptual=0, stay=0)
    far.fit(erased, generator, MEASURES, torch.Generator())
    further = far.select(erased, generator, torch.Generator())
    assert (found - erased).norm() < (further - erased).norm()


def test_all_rows_of_a_latent_move_alike():
    erased = random_latents(toy(), 1)
    target = NearestStranger()
    target.fit(erased, toy(), MEASURES, torch.Generator())
    offset = target.select(erased, toy(), torch.Generator()) - erased
    torch.testing.assert_close(offset[:, 0], offset[:, 1])


def test_a_latent_that_was_not_fitted_is_refused():
    target = NearestStranger(steps=1)
    latents = random_latents(toy(), 2)
    target.fit(latents[:1], toy(), MEASURES, torch.Generator())
    with pytest.raises(ConfigError, match="latent 1 was not fitted"):
        target.select(latents, toy(), torch.Generator())


def test_the_level_of_strangers_is_the_encoders_own_and_never_negative():
    class Known(ToyIdentity):
        def levels(self) -> dict[str, float]:
            return {"same_person": 0.8, "strangers": level}

    level = 0.2
    assert strangers_level(Known()) == 0.2
    level = -0.1
    assert strangers_level(Known()) == 0.0
    assert strangers_level(ToyIdentity()) == 0.0


# ---------------------------------------------------------------- searching

def test_the_pool_starts_nearer_to_the_person_than_it_was_drawn():
    job, seek = toy_job({}), Seek(pool=8, samples=8)
    seek.begin(job)
    pairs = seek.pairs(step_of(job))
    assert likeness(job, pairs.edited).mean() > likeness(job, pairs.frozen).mean() + 0.1


def test_latents_climb_between_their_turns_and_their_origins_stay():
    job, seek = toy_job({}), Seek(pool=4, samples=6, pull_steps=0, climb=0.05, restart=1000)
    seek.begin(job)
    first = seek.pairs(step_of(job, 1))
    before = {tuple(origin.flatten().tolist()): latent.detach().clone()
              for origin, latent in zip(first.frozen, first.edited, strict=True)}
    seek.terms(*rendered(job, first), job.measures)
    second = seek.pairs(step_of(job, 2))
    for origin, latent in zip(second.frozen, second.edited, strict=True):
        was, now = before[tuple(origin.flatten().tolist())], latent[None].detach()
        if torch.equal(origin, job.targets[0]):  # it is the erased latent: nothing is more like it
            assert torch.equal(was, job.erased[0]) and (latent - was).norm() < 1e-3
            continue
        assert (latent - was).norm().item() == pytest.approx(0.05, rel=1e-4)
        assert likeness(job, now) > likeness(job, was[None])


def test_a_search_begins_at_the_mean_face_too():
    job, seek = toy_job({}, people=2), Seek(pool=3, samples=5)
    seek.begin(job)
    pairs = seek.pairs(step_of(job))
    mean = (pairs.frozen - job.frozen.w_avg).abs().flatten(1).amax(1) == 0
    assert mean.sum() == 2 and len(pairs) == 10  # for each person


def test_a_latent_starts_again_in_its_turn():
    job, seek = toy_job({}), Seek(pool=2, samples=4, climb=1.0, restart=1)
    seek.begin(job)
    start = seek.memory()["now"].clone()
    for index in range(4):
        pairs = seek.pairs(step_of(job, index))
        seek.terms(*rendered(job, pairs), job.measures)
    moved = (seek.memory()["now"] - start).flatten(2).norm(dim=2)[0]
    assert moved[3] == pytest.approx(1.0, rel=1e-3)  # set back at step 3, and moved once since
    assert moved[1] > 0 and moved[1] != pytest.approx(1.0, rel=1e-3)  # set back at step 1


@pytest.mark.parametrize("size", [1, 2, 5])
def test_where_a_latent_climbs_does_not_depend_on_micro_batches(size: int):
    def climbed(parts: int) -> Tensor:
        job, seek = toy_job({}, people=2), Seek(pool=5, samples=3)
        seek.begin(job)
        pairs = seek.pairs(step_of(job))
        for start in range(0, len(pairs), parts):
            part = Pairs(pairs.edited[start : start + parts], pairs.frozen[start : start + parts])
            seek.terms(*rendered(job, part), job.measures)
        return seek.memory()["now"]

    torch.testing.assert_close(climbed(size), climbed(100), rtol=1e-5, atol=1e-3)


def test_neighbours_move_with_their_target():
    job = toy_job({}, people=2)
    pairs = Erase(samples=3, alpha_max=0.5).pairs(step_of(job))
    assert len(pairs) == 2 * (1 + 3)
    torch.testing.assert_close(pairs.edited[:2], job.erased)
    torch.testing.assert_close(pairs.edited - job.erased.repeat_interleave(3, 0)[[0, 3, 0, 1, 2, 3, 4, 5]],
                               pairs.frozen - job.targets.repeat_interleave(3, 0)[[0, 3, 0, 1, 2, 3, 4, 5]])
    assert (pairs.edited[2:] - job.erased.repeat_interleave(3, 0)).flatten(1).norm(dim=1).max() <= 0.5


def test_somebody_who_is_no_longer_recognised_costs_nothing_more():
    job = toy_job({})
    loss = Erase()
    loss.begin(job)
    same = job.frozen.render(job.erased)
    other = Rendering(-same.image, same.features)
    assert loss.terms(same, same, job.measures)["recognised"].item() == pytest.approx(1.0, abs=1e-5)
    assert loss.terms(other, same, job.measures)["recognised"].item() == 0.0


def test_kept_are_random_people_and_mixtures_of_two():
    job = toy_job({})
    pairs = Keep(samples=5, mixtures=3, mixing=1.0).pairs(step_of(job))
    assert torch.equal(pairs.edited, pairs.frozen)
    plain = (pairs.edited[:, 0] - pairs.edited[:, 1]).abs().amax(1) < 1e-6  # both rows alike, as they are drawn
    assert plain.tolist() == [True, True, False, False, False]


# ---------------------------------------------------------------- the method

class Styled(ToyGenerator):
    """A toy whose synthesis counts as a style layer, beside a parameter that is editable and none."""

    def style_layers(self) -> list[StyleLayer]:
        layer: Any = self.network["synthesis"]
        return [StyleLayer("synthesis", 0, layer.weight, layer.bias, 1.0)]

    def editable_parameters(self) -> dict[str, nn.Parameter]:
        return {name: p for name, p in self.network.named_parameters() if not name.startswith("mapping")}


def test_style_layers_alone_are_trained_and_everything_where_there_are_none():
    job = toy_job({})
    assert set(Lethe().parameters(job)) == {"synthesis.weight", "synthesis.bias"}
    job.edited = Styled()
    job.edited.network["extra"] = nn.Linear(2, 2)
    assert set(Lethe().parameters(job)) == {"synthesis.weight", "synthesis.bias"}
    assert set(job.edited.editable_parameters()) >= {"extra.weight", "synthesis.weight"}


def test_the_learning_rate_decays_over_the_second_half():
    method = Lethe(steps=10, learning_rate=0.1)
    assert [method.rate(index) for index in (0, 4, 5)] == [0.1, 0.1, 0.1]
    assert [method.rate(index) for index in (6, 9)] == pytest.approx([0.08, 0.02])


class Kept(Progress):
    """Saves at one step, and stops there."""

    def __init__(self, at: int) -> None:
        self.at, self.seen, self.kept = at, 0, None

    def load(self):
        return self.kept

    def due(self) -> bool:
        return self.seen == self.at and self.kept is None

    def step(self, index, total, terms) -> None:
        self.seen = index + 1

    def save(self, tensors, values) -> None:
        if self.kept is None and self.seen == self.at:
            self.kept = ({name: value.clone() for name, value in tensors.items()}, dict(values))
            raise Interrupted("stopped")


def test_a_run_that_was_stopped_goes_on_with_its_searches():
    def losses() -> dict[str, Any]:
        return {"lethe-erase": Erase(), "lethe-seek": Seek(pool=3, samples=2), "lethe-keep": Keep()}

    method = Lethe(steps=8, learning_rate=0.05)
    whole, stopped = toy_job(losses()), Kept(5)
    method.unlearn(whole)
    with pytest.raises(Interrupted):
        method.unlearn(toy_job(losses(), progress=stopped))
    assert "loss/lethe-seek/now" in stopped.kept[0]
    resumed = toy_job(losses(), progress=stopped)
    method.unlearn(resumed)
    for name, value in whole.edited.module.state_dict().items():
        assert torch.equal(value, resumed.edited.module.state_dict()[name]), name
    stopped.kept[0].pop("loss/lethe-seek/now")  # and it would not, without them
    forgetful = toy_job(losses(), progress=stopped)
    method.unlearn(forgetful)
    assert not torch.equal(whole.edited.module.state_dict()["synthesis.weight"],
                           forgetful.edited.module.state_dict()["synthesis.weight"])


def test_a_length_scale_does_not_depend_on_when_it_is_asked_for():
    generator = toy()
    assert spread(generator) == spread(generator) > 0


# ---------------------------------------------------------------- whitening

class Stretched(Styled):
    """Random latents differ ten times as much in their first element as in the others."""

    def sample_latents(self, count: int, rng: torch.Generator) -> Tensor:
        drawn = torch.randn(count, 1, 3, generator=rng) * torch.tensor([10.0, 1.0, 1.0])
        return self.w_avg + drawn.expand(-1, 2, -1)


def test_whitened_latents_vary_alike_in_all_directions_up_to_the_ridge():
    made = Stretched()
    drawn = (made.sample_latents(4000, torch.Generator().manual_seed(1)) - made.w_avg).flatten(0, 1)
    white = drawn @ whitening(made, 1e-4)
    torch.testing.assert_close(white.std(0) / white.std(), torch.ones(3), rtol=0.1, atol=0)
    mild = (drawn @ whitening(made, 1.0)).std(0)
    assert 1.5 < mild[0] / mild[1] < 9  # less stretched than before, and not whitened whole


def test_it_is_adam_on_what_stands_between_whitened_latents_and_styles():
    torch.manual_seed(0)
    scales = whitening(Stretched(), 0.1)
    weight, bias = nn.Parameter(torch.randn(4, 3)), nn.Parameter(torch.randn(4))
    start, v, c = weight.detach().clone(), nn.Parameter(torch.zeros(4, 3)), nn.Parameter(bias.detach().clone())
    ours, plain = WhitenedAdam([weight, bias], [weight], scales, lr=0.1), torch.optim.Adam([v, c], lr=0.1)
    latents, styles = torch.randn(5, 3), torch.randn(5, 4)
    for _ in range(6):
        for adam, product, offset in ((ours, weight, bias), (plain, start + v @ scales, c)):
            adam.zero_grad()
            (latents @ product.T + offset - styles).square().sum().backward()
            adam.step()
    torch.testing.assert_close(weight, start + v @ scales)
    torch.testing.assert_close(bias, c)


# ---------------------------------------------------------------- what the worlds offer

@pytest.mark.parametrize(("generator", "rate", "pool"), [
    ("stylegan2", 4e-3, 16), ("eg3d", 4e-3, 8), ("mobilestylegan", 4e-4, 4),
])
def test_each_world_offers_settings_of_its_own(generator: str, rate: float, pool: int):
    given = {"method.name": "lethe", "generator.name": generator}
    settings = resolve(nest(given), registry())
    assert settings.method.options()["learning_rate"] == rate
    assert settings.losses["lethe-seek"].options()["pool"] == pool
    guide = resolve(nest({**given, "method.name": "guide"}), registry())
    assert guide.method.options()["learning_rate"] != rate and "lethe-seek" not in guide.losses
