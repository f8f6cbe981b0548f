"""SUGAR: its targets, its adjacency pairs and its elastic weights, against the formulas and on toys."""

from __future__ import annotations

import copy
import math

import attrs
import pytest
import torch
from torch import nn
from unlearnkit_baselines.legato import Legato
from unlearnkit_baselines.sugar import Sugar, SugarAdjacency, SugarEwc
from unlearnkit_baselines.sugar_target import LatentUNet, SugarTarget
from unlearnkit_guide.losses import Local

from unlearnkit.engine import freeze
from unlearnkit.errors import ConfigError
from unlearnkit.interfaces import Generator, Measures, Step
from unlearnkit.testing.world import (
    ToyGenerator,
    ToyIdentity,
    ToyPerceptual,
    ToyTarget,
    ToyViewGenerator,
    random_latents,
    toy_job,
)

MEASURES = Measures(ToyPerceptual(), ToyIdentity())


def toy(kind: type[ToyGenerator] = ToyGenerator) -> Generator:
    made = kind()
    freeze(made.module)
    return made


def fitted(generator: Generator, sources: torch.Tensor, seed: int = 0, **options) -> SugarTarget:
    target = SugarTarget(**options)
    target.fit(sources, generator, MEASURES, torch.Generator().manual_seed(seed))
    return target


def step(selector=None, people: int = 2) -> Step:
    job = toy_job({}, people)
    return Step(0, job.edited, job.erased, job.targets, None, job.rng, selector)


# ---------------------------------------------------------------- targets

@pytest.mark.parametrize("shape", [(2, 3), (12, 256), (14, 512), (5, 7), (1, 1)])
def test_the_network_keeps_every_shape(shape):
    network = LatentUNet(torch.Generator().manual_seed(0))
    latents = torch.randn(2, *shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        made = network(latents)
        assert made.shape == latents.shape and made.isfinite().all() and made.abs().sum() > 0
        torch.testing.assert_close(network(latents[:1]), made[:1], rtol=1e-3, atol=1e-4)  # whatever the company


def test_first_weights_are_xaviers_from_the_rng_alone():
    with torch.random.fork_rng(devices=()):
        before = torch.get_rng_state()
        one, other = (LatentUNet(torch.Generator().manual_seed(3)) for _ in range(2))
        assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    bound = math.sqrt(6 / (9 * 64 + 9 * 64))  # uniform in +-sqrt(6 / (fan_in + fan_out))
    weight = one.encode[0].first.weight
    assert 0.95 * bound < float(weight.detach().abs().max()) <= bound and not one.stem.bias.any()
    assert {c.weight.shape[0] for b in one.encode for c in b.children() if isinstance(c, nn.Conv2d)} == {64, 128}


@pytest.mark.parametrize("kind", [ToyGenerator, ToyViewGenerator])
def test_targets_lie_at_distance_d_and_differ_by_person(kind):
    generator = toy(kind)
    sources = random_latents(generator, 3)
    targets = fitted(generator, sources, epochs=2).select(sources, generator, None)
    offsets = (targets - generator.w_avg).flatten(1)
    torch.testing.assert_close(offsets.norm(dim=1), torch.full((3,), 20.0))
    assert float(torch.cosine_similarity(offsets[0], offsets[1], dim=0)) < 0.9999


def test_fit_is_repeatable_and_leaves_the_generator_alone():
    generator = toy()
    sources = random_latents(generator, 2)
    before = copy.deepcopy(generator.module.state_dict())
    one, other, third = (fitted(generator, sources, seed, epochs=3) for seed in (0, 0, 1))
    select = [target.select(sources, generator, None) for target in (one, other, third)]
    assert torch.equal(select[0], select[1]) and not torch.allclose(select[0], select[2])
    assert all(torch.equal(before[name], value) for name, value in generator.module.state_dict().items())
    assert all(value.grad is None for value in generator.module.parameters())


def test_training_moves_the_target_away_in_looks():
    generator = toy()
    sources = random_latents(generator, 1)

    def away(epochs: int) -> float:
        target = fitted(generator, sources, epochs=epochs, distance=0.5, learning_rate=2e-3)
        now = generator.render(target.select(sources, generator, None))
        return float(MEASURES.perceptual_distance(now, generator.render(sources)))

    assert away(40) > 1.2 * away(0)


def test_the_objective_by_hand():
    generator = toy()
    sources = random_latents(generator, 1)
    before, now = generator.render(sources), generator.render(2 * generator.w_avg - sources)
    m = 0.01 * (now.features - before.features).square().mean()
    cosine = torch.cosine_similarity(now.image.flatten(1), before.image.flatten(1)).mean()
    wanted = m - 0.1 * m * (1 - cosine) - (now.image - before.image).square().mean()
    torch.testing.assert_close(SugarTarget()._objective(now, before, MEASURES), wanted)


def test_it_stops_where_nothing_improves(monkeypatch):
    generator = toy()
    sources = random_latents(generator, 1)
    rising = iter(range(1000))

    def objective(self, now, before, measures):
        return now.image.sum() * 0.0 + next(rising)

    monkeypatch.setattr(SugarTarget, "_objective", objective)
    fitted(generator, sources, epochs=100, patience=4)
    assert next(rising) == 5  # the first, and four that were no better


def test_select_before_fit_is_an_error():
    generator = toy()
    with pytest.raises(ConfigError, match=r"call fit"):
        SugarTarget().select(random_latents(generator, 1), generator, None)


# ---------------------------------------------------------------- adjacency

def test_neighbours_have_targets_of_their_own():
    now = step(ToyTarget())
    pairs = SugarAdjacency(samples=40, alpha_max=3.0).pairs(now)
    length = (pairs.edited - now.erased.repeat_interleave(40, 0)).flatten(1).norm(dim=1)
    assert float(length.max()) <= 3.0 + 1e-4 and 1.0 < float(length.mean()) < 2.0
    torch.testing.assert_close(pairs.frozen, 2 * now.edited.w_avg - pairs.edited)
    assert not pairs.frozen.requires_grad and not pairs.constant


def test_without_a_selector_it_says_what_to_do():
    with pytest.raises(ConfigError, match=r"--target sugar, or use guide-adjacency"):
        SugarAdjacency().pairs(step(None))


def test_its_distance_is_guides():
    job = toy_job({})
    a, b = job.edited.render(job.erased), job.frozen.render(job.targets)
    mine, guides = SugarAdjacency(), Local()
    assert mine.weights() == guides.weights()
    for name, value in guides.terms(a, b, job.measures).items():
        assert torch.equal(mine.terms(a, b, job.measures)[name], value)


# ---------------------------------------------------------------- elastic weights

def begun(people: int = 2, **options):
    job = toy_job({}, people)
    loss = SugarEwc(**options)
    loss.begin(job)
    return loss, job


def moved(job, by: float) -> dict[str, torch.Tensor]:
    return {name: value.detach() + by for name, value in job.frozen.editable_parameters().items()}


def test_the_penalty_is_zero_where_it_began_and_quadratic_beyond():
    loss, job = begun()
    one, two = (float(loss.penalty(moved(job, by))["ewc"]) for by in (0.1, 0.2))
    assert float(loss.penalty(moved(job, 0.0))["ewc"]) == 0.0
    assert one > 0 and two == pytest.approx(4 * one, rel=1e-4)
    assert loss.weights() == {"ewc": 50.0}
    by_hand = sum(float((value * 0.1**2).sum()) for value in loss._fisher.values())
    assert one == pytest.approx(by_hand, rel=1e-3)


def test_what_features_do_not_hang_on_is_free():
    loss, _ = begun()
    # The toy's features are the first two of three channels of 16 pixels.
    assert not loss._fisher["synthesis.bias"][32:].any() and loss._fisher["synthesis.bias"][:32].any()
    assert all(bool((value >= 0).all()) for value in loss._fisher.values())


def test_beginning_is_repeatable_and_leaves_the_job_alone():
    one, job = begun()
    state, weights = job.rng.get_state(), copy.deepcopy(job.frozen.module.state_dict())
    other = SugarEwc()
    other.begin(job)
    assert all(torch.equal(one._fisher[name], other._fisher[name]) for name in one._fisher)
    assert torch.equal(job.rng.get_state(), state)
    assert all(torch.equal(weights[name], value) for name, value in job.frozen.module.state_dict().items())


def test_normalised_the_mean_is_one():
    loss, _ = begun(normalise=True)
    plain, _ = begun()
    values = torch.cat([value.flatten() for value in loss._fisher.values()])
    assert float(values.mean()) == pytest.approx(1.0, rel=1e-4)
    ratio = values / torch.cat([value.flatten() for value in plain._fisher.values()])
    assert float(ratio[ratio.isfinite()].std() / ratio[ratio.isfinite()].mean()) < 1e-3


def test_adapters_are_not_its_business():
    job = toy_job({"sugar-ewc": SugarEwc(), "near": Local()})
    with pytest.raises(ConfigError, match=r"adapter.*leave it out of losses.names"):
        Legato(steps=1).unlearn(job)


# ---------------------------------------------------------------- method

def test_elastic_weights_hold_parameters_back():
    def distance(weight: float) -> float:
        loss = SugarEwc(weight=weight, normalise=True)
        job = toy_job({"near": Local(), "ewc": loss})
        Sugar(steps=60, learning_rate=0.005).unlearn(job)
        return float(loss.penalty(job.edited.editable_parameters())["ewc"])  # what is measured has the weight 1

    assert distance(1000.0) < 0.05 * distance(0.0)


def test_the_person_becomes_the_learned_target():
    job = toy_job({"guide-local": Local(), "sugar-adjacency": SugarAdjacency(), "sugar-ewc": SugarEwc()})
    freeze(job.frozen.module)
    job = attrs.evolve(job, selector=fitted(job.frozen, job.erased, epochs=5, distance=1.0))
    job.targets = job.selector.select(job.erased, job.frozen, job.rng)

    def gap() -> float:
        with torch.no_grad():
            edited, wanted = job.edited.render(job.erased), job.frozen.render(job.targets)
        return float((edited.image - wanted.image).square().mean())

    start = gap()
    Sugar(steps=150, learning_rate=0.01).unlearn(job)
    assert gap() < 0.1 * start
