"""UFO's target and the pairs of GUIDE's losses, against the formulas of facts written out by hand."""

from __future__ import annotations

import pytest
import torch
from unlearnkit_guide.losses import Adjacency, Global, Local
from unlearnkit_guide.targets import Average, Ufo, mean_radius

from unlearnkit.interfaces import Step
from unlearnkit.testing.world import ToyGenerator, toy_job


def step(people: int = 1) -> Step:
    job = toy_job({}, people)
    return Step(0, job.edited, job.erased, job.targets, None, job.rng)


def test_ufo_lies_at_distance_d_beyond_the_mean():
    generator = ToyGenerator()
    sources = generator.w_avg + torch.randn(3, 2, 3)
    targets = Ufo(distance=30.0).select(sources, generator, torch.Generator())
    offset = targets - generator.w_avg
    torch.testing.assert_close(offset.flatten(1).norm(dim=1), torch.full((3,), 30.0))
    cosine = torch.cosine_similarity(offset.flatten(1), (sources - generator.w_avg).flatten(1))
    torch.testing.assert_close(cosine, -torch.ones(3))


def test_ufo_in_mean_radii():
    generator = ToyGenerator()
    target = Ufo(distance=1.5, unit="mean-radius").select(generator.w_avg + torch.ones(1, 2, 3), generator, None)
    assert float((target - generator.w_avg).norm()) == pytest.approx(1.5 * mean_radius(generator), rel=1e-5)


def test_ufo_of_the_mean_itself_is_finite():
    generator = ToyGenerator()
    assert Ufo().select(generator.w_avg[None].clone(), generator, None).isfinite().all()


def test_ufo_along_what_all_rows_share():
    generator = ToyGenerator()
    alike = generator.w_avg + torch.randn(2, 1, 3)
    torch.testing.assert_close(*(Ufo(rows=rows).select(alike, generator, None) for rows in ("each", "mean")))
    unlike = generator.w_avg + torch.tensor([[[1.0, 5.0, 0.0], [1.0, -5.0, 0.0]]])
    offset = Ufo(distance=2.0, rows="mean").select(unlike, generator, None) - generator.w_avg
    torch.testing.assert_close(offset, torch.tensor([[[-(2**0.5), 0.0, 0.0]]]).expand(1, 2, 3))


def test_average():
    generator = ToyGenerator()
    assert torch.equal(Average().select(torch.randn(2, 2, 3), generator, None), generator.w_avg.expand(2, 2, 3))


def test_local_pairs_do_not_change():
    now = step(people=2)
    pairs = Local().pairs(now)
    assert torch.equal(pairs.edited, now.erased) and torch.equal(pairs.frozen, now.targets) and pairs.constant


def test_adjacency_moves_source_and_target_alike_by_less_than_alpha():
    now = step(people=2)
    pairs = Adjacency(samples=50, alpha_max=2.0).pairs(now)
    delta = pairs.edited - now.erased.repeat_interleave(50, 0)
    torch.testing.assert_close(delta, pairs.frozen - now.targets.repeat_interleave(50, 0), atol=1e-5, rtol=0)
    length = delta.flatten(1).norm(dim=1)
    assert length.max() <= 2.0 + 1e-5 and 0.7 < length.mean() < 1.3 and not pairs.constant


def test_global_pairs_are_random_and_alike():
    now = step()
    first, second = Global(samples=3).pairs(now), Global(samples=3).pairs(now)
    assert torch.equal(first.edited, first.frozen) and not torch.equal(first.edited, second.edited)
    assert set(Global().weights()) == {"perceptual"}


def test_terms_of_local_by_hand():
    job = toy_job({})
    a, b = job.edited.render(job.erased), job.frozen.render(job.targets)
    terms = Local().terms(a, b, job.measures)
    assert float(terms["mse"].detach()) == pytest.approx(float((a.features - b.features).square().mean()), rel=1e-6)
    assert float(terms["perceptual"].detach()) == pytest.approx(float((a.image - b.image).square().mean()), rel=1e-6)
    cosine = torch.cosine_similarity(a.image.flatten(1), b.image.flatten(1))
    assert float(terms["identity"].detach()) == pytest.approx(1 - float(cosine), rel=1e-5)
    assert Local().weights() == {"mse": 0.01, "perceptual": 1.0, "identity": 0.1}
