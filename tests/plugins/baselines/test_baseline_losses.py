"""The baselines' losses on toys: what they pair, what they measure, and where it ends when one is minimised."""

from __future__ import annotations

import pytest
import torch
from unlearnkit_baselines.losses import Ascent, Hinge, RandomFace

from unlearnkit.engine import PairLoop, backward
from unlearnkit.interfaces import Job, Rendering, Step
from unlearnkit.testing.world import ToyGenerator, toy_job


def step(people: int = 1, seed: int = 0) -> Step:
    job = toy_job({}, people, seed)
    return Step(0, job.edited, job.erased, job.targets, None, job.rng)


def likeness(job: Job) -> float:
    with torch.no_grad():
        pictures = [made.render(job.erased).image.flatten(1) for made in (job.edited, job.frozen)]
    return float(torch.cosine_similarity(*pictures).mean())


def test_ascent_lies_beside_the_person_and_keeps_the_frozen_side():
    now = step(people=3)
    pairs = Ascent(spread=0.2).pairs(now)
    assert torch.equal(pairs.frozen, now.erased) and pairs.constant
    away = (pairs.edited - now.erased).flatten(1).norm(dim=1)
    torch.testing.assert_close(away, torch.full((3,), 0.2), atol=1e-5, rtol=0)


def test_ascent_measures_two_cosines_that_end():
    job = toy_job({}, people=2)
    frozen = job.frozen.render(job.erased)
    same = Ascent().terms(Rendering(frozen.image, frozen.features), frozen, job.measures)
    far = Ascent().terms(Rendering(-1e6 * frozen.image, -1e6 * frozen.features), frozen, job.measures)
    for name in ("identity", "features"):
        torch.testing.assert_close(same[name], torch.ones(2), atol=1e-5, rtol=0)
        torch.testing.assert_close(far[name], -torch.ones(2), atol=1e-5, rtol=0)


def test_features_are_compared_place_by_place():
    edited, frozen = torch.zeros(1, 2, 1, 2), torch.zeros(1, 2, 1, 2)
    edited[0, :, 0, 0], frozen[0, :, 0, 0] = torch.tensor([1.0, 0.0]), torch.tensor([3.0, 0.0])  # cosine 1
    edited[0, :, 0, 1], frozen[0, :, 0, 1] = torch.tensor([100.0, 0.0]), torch.tensor([0.0, 1.0])  # cosine 0
    image = torch.ones(1, 3, 4, 4)
    terms = Ascent().terms(Rendering(image, edited), Rendering(image, frozen), toy_job({}).measures)
    assert float(terms["features"]) == pytest.approx(0.5)


def test_ascent_has_a_slope_where_both_generators_are_alike():
    def slope(spread: float) -> float:
        job = toy_job({"ascent": Ascent(spread=spread)})
        backward(job, Step(0, job.edited, job.erased, job.targets, None, job.rng), {})
        return float(sum(p.grad.norm() for p in job.edited.editable_parameters().values()))

    assert slope(0.5) > 100 * slope(1e-6), "exactly at the person a cosine is at its top"


@pytest.mark.parametrize("loss", [Ascent(), RandomFace()], ids=["ascent", "random-face"])
def test_minimising_takes_the_person_away(loss):
    job = toy_job({"checked": loss})
    assert likeness(job) > 0.999
    PairLoop(steps=60, learning_rate=0.02).unlearn(job)
    assert likeness(job) < (0.0 if isinstance(loss, Ascent) else 0.9)


def test_random_face_is_another_one_each_time():
    now = step(people=2)
    first, second = RandomFace().pairs(now), RandomFace().pairs(now)
    assert torch.equal(first.edited, now.erased) and torch.equal(second.edited, now.erased)
    assert not torch.equal(first.frozen, second.frozen) and not torch.equal(first.frozen[0], first.frozen[1])
    assert not first.constant


# ---------------------------------------------------------------- hinge

def along(direction: torch.Tensor, *lengths: float) -> torch.Tensor:
    """Latents of ToyGenerator whose offset from the mean has these lengths along a direction, and 0.3 across it."""
    unit = direction / direction.norm()
    across = torch.randn(2, 3, generator=torch.Generator().manual_seed(1))
    across = across - (across * unit).sum() * unit
    return ToyGenerator().w_avg + torch.stack([length * unit + 0.3 * across / across.norm() for length in lengths])


def test_hinge_by_hand():
    mean, direction = ToyGenerator().w_avg, torch.arange(6.0).view(2, 3)
    person = mean + 2.0 * direction / direction.norm()  # |w_id| = 2, so t = 0.25 * 2 = 0.5
    before = along(direction, -3.0, 0.0, 0.4, 0.6, 2.0)
    after = Hinge(threshold=0.25).drawn_back(before, person[None], mean)
    torch.testing.assert_close(after, along(direction, -3.0, 0.0, 0.4, 0.5, 0.5))
    assert torch.equal(after[:3], before[:3]), "what lies below the threshold stays to the bit"


def test_hinge_of_the_mean_itself_is_finite():
    mean = ToyGenerator().w_avg
    assert Hinge().drawn_back(mean[None] + 1, mean[None], mean).isfinite().all()


def test_hinge_draws_back_from_each_person():
    mean = ToyGenerator().w_avg
    people = mean + torch.eye(6)[:2].view(2, 2, 3)  # two directions at right angles
    after = Hinge(threshold=0.25).drawn_back((mean + 1)[None], people, mean) - mean
    torch.testing.assert_close(after.flatten(), torch.tensor([0.25, 0.25, 1, 1, 1, 1]))


def test_half_of_the_hinge_lies_around_the_people():
    now = step(people=2)
    pairs = Hinge(samples=40, alpha_max=0.5, threshold=0.0).pairs(now)
    assert len(pairs) == 40 + 2 * 40
    away = (pairs.edited[40:] - now.erased.repeat_interleave(40, 0)).flatten(1).norm(dim=1)
    assert away.max() <= 0.5 + 1e-5 and 0.15 < away.mean() < 0.35
    assert (pairs.edited[40:] != pairs.frozen[40:]).flatten(1).any(1).all(), "each has something of the person"


def test_terms_of_hinge_by_hand():
    job = toy_job({})
    with torch.no_grad():
        a, b = job.edited.render(job.erased), job.frozen.render(job.targets)
    terms = Hinge().terms(a, b, job.measures)
    assert float(terms["pixels"]) == pytest.approx(float((a.image - b.image).abs().mean()), rel=1e-6)
    assert float(terms["perceptual"]) == pytest.approx(float((a.image - b.image).square().mean()), rel=1e-6)
