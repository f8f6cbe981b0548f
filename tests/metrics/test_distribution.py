from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch

from unlearnkit.interfaces import Request
from unlearnkit.metrics.distribution import Distribution, frechet_distance, frechet_to_moments, kernel_distance
from unlearnkit.metrics.gallery import Gallery
from unlearnkit.metrics.preservation import Preservation

from .toys import evidence, person

REQUEST = Request((person("Ada", (1.0, 0.0, 0.0)),))


def with_moments(count: int, mean: torch.Tensor, covariance: torch.Tensor, seed: int) -> torch.Tensor:
    """Samples whose sample mean and sample covariance are exactly the ones asked for."""
    noise = torch.randn(count, len(mean), dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    noise = noise - noise.mean(0)
    white = torch.linalg.solve_triangular(torch.linalg.cholesky(noise.T.cov()), noise.T, upper=False).T
    return white @ torch.linalg.cholesky(covariance).T + mean


def test_frechet_of_known_gaussians_in_closed_form():
    zero = torch.zeros(2, dtype=torch.float64)
    a = with_moments(50, zero, torch.diag(torch.tensor([1.0, 4.0], dtype=torch.float64)), 0)
    b = with_moments(70, zero + 3, torch.diag(torch.tensor([9.0, 25.0], dtype=torch.float64)), 1)
    # |(3, 3)|² + (1 − 3)² + (2 − 5)²
    assert frechet_distance(a, b) == pytest.approx(18 + 4 + 9, rel=1e-9)


@pytest.mark.parametrize("count", [6, 12, 40])
def test_frechet_agrees_with_the_matrix_square_root(count):
    rng = torch.Generator().manual_seed(4)
    a, b = (torch.randn(count, 8, generator=rng) @ torch.randn(8, 8, generator=rng) for _ in range(2))
    a, b = a.double(), b.double()
    ca, cb = np.cov(a.T), np.cov(b.T)
    root = np.trace(scipy.linalg.sqrtm(ca @ cb)).real
    expected = float((a.mean(0) - b.mean(0)).square().sum()) + np.trace(ca) + np.trace(cb) - 2 * root
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-5)


def test_few_samples_of_many_features_are_sound():
    samples = torch.randn(10, 512, generator=torch.Generator().manual_seed(0))
    assert frechet_distance(samples, samples) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(samples, samples + 2) == pytest.approx(4 * 512, rel=1e-6)
    assert frechet_distance(samples, samples.flip(0)) == pytest.approx(0, abs=1e-9)


def test_kernel_distance_is_unbiased_and_zero_for_equal_samples():
    rng = torch.Generator().manual_seed(1)
    a = torch.randn(30, 4, generator=rng)
    assert kernel_distance(a, a) == 0
    draws = [kernel_distance(*torch.randn(2, 20, 4, generator=rng)) for _ in range(300)]
    mean, error = np.mean(draws), np.std(draws) / np.sqrt(len(draws))
    assert abs(mean) < 4 * error and min(draws) < 0
    by_hand = np.mean([
        (x @ y / 4 + 1) ** 3 + (p @ q / 4 + 1) ** 3 - 2 * (x @ q / 4 + 1) ** 3
        for i, (x, p) in enumerate(zip(a.double().numpy(), 2 * a.double().numpy(), strict=True))
        for j, (y, q) in enumerate(zip(a.double().numpy(), 2 * a.double().numpy(), strict=True)) if i != j
    ])
    assert kernel_distance(a, 2 * a) == pytest.approx(by_hand)


def test_metric_is_named_after_its_space_and_shifts_add_up():
    numbers = Distribution().measure(evidence(REQUEST, (1.0, 2.0, 0.0)))
    assert numbers["frechet_toy_pixels"] == pytest.approx(5, rel=1e-5)
    assert set(numbers) == {
        f"{name}_toy_pixels{suffix}" for name in ("frechet", "kid") for suffix in ("", "_unpaired", "_floor")
    } | {"n_distribution", "n_distribution_floor", "strangeness_most", "erased_strangeness"}
    # The erased colour (1, 0, 0) moved by (1, 2, 0); random ones are about one colour unit apart.
    own = Gallery.of(evidence(REQUEST)).sample.pooled_before
    among = torch.cdist(own, own).fill_diagonal_(torch.inf).amin(1)
    nearest = (own - (REQUEST.people[0].latents[0, 0] + torch.tensor([1.0, 2.0, 0.0]))).norm(dim=1).min()
    assert numbers["erased_strangeness"] == pytest.approx(float(nearest / among.mean()), rel=1e-5)
    assert numbers["strangeness_most"] == pytest.approx(float(among.max() / among.mean()))
    assert (numbers["n_distribution"], numbers["n_distribution_floor"]) == (20, 10)
    assert numbers["frechet_toy_pixels_floor"] > 0


def test_no_change_gives_zero():
    numbers = Distribution().measure(evidence(REQUEST))
    assert numbers["frechet_toy_pixels"] == pytest.approx(0, abs=1e-9)
    assert numbers["kid_toy_pixels"] == pytest.approx(0, abs=1e-12)


def test_unpaired_draws_give_the_floor_where_nothing_has_changed():
    same, moved = (Distribution().measure(evidence(REQUEST, (shift, 0.0, 0.0))) for shift in (0.0, 9.0))
    for name in ("frechet_toy_pixels", "kid_toy_pixels"):
        assert same[f"{name}_unpaired"] == same[f"{name}_floor"] != 0
        assert moved[f"{name}_floor"] == same[f"{name}_floor"]
    latents = torch.randn(20, 3, generator=evidence(REQUEST).stream("sample"))
    by_hand = frechet_distance(latents[:10], latents[10:] + torch.tensor([9.0, 0.0, 0.0]))
    assert moved["frechet_toy_pixels_unpaired"] == pytest.approx(by_hand, rel=1e-5)


@pytest.mark.parametrize("count", [5, 40])
def test_distance_to_moments_is_the_one_to_samples_with_them(count):
    rng = torch.Generator().manual_seed(6)
    a, b = torch.randn(count, 8, generator=rng).double(), 2 * torch.randn(30, 8, generator=rng).double() + 1
    assert frechet_to_moments(a, b.mean(0), b.T.cov()) == pytest.approx(frechet_distance(a, b), rel=1e-7)
    assert frechet_to_moments(a, a.mean(0), a.T.cov()) == pytest.approx(0, abs=1e-6)


def test_too_few_samples_give_no_number():
    assert Distribution().measure(evidence(REQUEST, samples=3)) == {}
    assert Preservation().measure(evidence(REQUEST, samples=0)) == {}


@pytest.mark.parametrize("views", [False, True])
def test_preservation_by_hand(views):
    same = Preservation().measure(evidence(REQUEST, views=views))
    assert same == pytest.approx({
        "preserved_distance": 0, "preserved_identity": 1, "preserved_identity_worst": 1, "n_preserved": 20,
    })
    moved = Preservation().measure(evidence(REQUEST, (0.0, 3.0, 0.0), views=views))
    assert moved["preserved_distance"] == pytest.approx(3)
    latents = torch.randn(20, 3, generator=evidence(REQUEST).stream("sample"))
    cosines = torch.cosine_similarity(latents, latents + torch.tensor([0.0, 3.0, 0.0]), dim=1)
    assert moved["preserved_identity"] == pytest.approx(float(cosines.mean()), abs=1e-5)
    assert moved["preserved_identity_worst"] == pytest.approx(float(cosines.min()), abs=1e-5)


def test_metrics_share_one_set_of_renderings():
    given = evidence(REQUEST)
    _ = Distribution().measure(given), Preservation().measure(given)
    assert given.frozen.rendered == 20
