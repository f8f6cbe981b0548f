from __future__ import annotations

import numpy as np
import pytest
import torch

from unlearnkit.errors import ShapeError
from unlearnkit.interfaces import Request
from unlearnkit.metrics.prdc import PRDC, precision_recall_density_coverage

from .toys import evidence, person

REQUEST = Request((person("Ada", (1.0, 0.0, 0.0)),))


def cloud(count: int, centre: float, seed: int) -> torch.Tensor:
    return torch.randn(count, 3, generator=torch.Generator().manual_seed(seed)) + centre


def test_numbers_worked_out_by_hand_on_a_line():
    real, fake = torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([[0.5], [2.0], [9.0]])
    # k = 1: balls of reals reach 1, 1, 2; balls of fakes 1.5, 1.5, 7.
    # 0.5 lies in the balls of 0 and 1, 2 in those of 1 and 3 (edges count), 9 in none.
    # 0 lies in the ball of 0.5, 1 in those of 0.5 and 2, 3 in those of 2 and 9.
    found = precision_recall_density_coverage(real, fake, k=1)
    assert found == pytest.approx({"precision": 2 / 3, "recall": 1, "density": 4 / 3, "coverage": 1})


def test_equal_sets_are_perfect():
    real = cloud(40, 0, 1)
    found = precision_recall_density_coverage(real, real.clone())
    assert (found["precision"], found["recall"], found["coverage"]) == (1, 1, 1)
    assert found["density"] == pytest.approx(6 / 5)  # each ball holds its own centre and k others, edge included


def test_sets_apart_share_nothing():
    found = precision_recall_density_coverage(cloud(40, 0, 1), cloud(40, 100, 2))
    assert found == {"precision": 0, "recall": 0, "density": 0, "coverage": 0}


def test_a_lost_mode_lowers_recall_and_coverage_alone():
    real = torch.cat([cloud(50, 0, 1), cloud(50, 100, 2)])
    both = precision_recall_density_coverage(real, torch.cat([cloud(50, 0, 3), cloud(50, 100, 4)]))
    one = precision_recall_density_coverage(real, cloud(100, 0, 3))
    assert one["precision"] > both["precision"] - 0.1 and one["density"] > both["density"] - 0.2
    assert one["recall"] < 0.55 < both["recall"] and one["coverage"] < 0.55 < both["coverage"]


def test_stray_pictures_lower_precision_and_density_alone():
    real, good = cloud(100, 0, 1), cloud(100, 0, 2)
    stray = torch.cat([good[:50], cloud(50, 0, 3) * 50])
    clean, dirty = (precision_recall_density_coverage(real, fake) for fake in (good, stray))
    assert dirty["precision"] < 0.6 < clean["precision"] and dirty["density"] < 0.6 * clean["density"]
    assert dirty["coverage"] > clean["coverage"] - 0.2
    # Balls of strays reach over everything, which flatters recall: why coverage stands beside it.
    assert dirty["recall"] == 1


# Recorded from prdc 0.2 (compute_prdc) and, the first two, torch-fidelity 0.4.0 (calculate_precision_recall_full).
LIBRARIES = {
    1: (0.7, 0.15, 0.9666666666666667, 0.225),
    3: (1.0, 0.35, 1.1777777777777776, 0.575),
    5: (1.0, 0.625, 1.3666666666666667, 0.775),
}


@pytest.mark.parametrize("k", LIBRARIES)
def test_numbers_are_those_of_the_libraries(k):
    t = np.arange(160).reshape(40, 4)
    real = torch.from_numpy(np.sin(1.0 + t * t * 0.37))
    fake = torch.from_numpy((0.3 + 0.8 * np.sin(2.0 + t * t * 0.53) * [1, 1, 1, 0.2])[:30])
    found = precision_recall_density_coverage(real, fake, k)
    assert tuple(found.values()) == pytest.approx(LIBRARIES[k])


@pytest.mark.parametrize(("real", "fake"), [((5, 3), (9, 3)), ((9, 3), (5, 3)), ((9, 3), (9, 2)), ((9,), (9,))])
def test_too_few_or_other_spaces_are_refused(real, fake):
    with pytest.raises(ShapeError, match="k = 5"):
        precision_recall_density_coverage(torch.zeros(real), torch.zeros(fake))


def test_metric_compares_disjoint_halves_and_has_a_floor():
    same = PRDC(k=3).measure(evidence(REQUEST))
    names = {f"{name}_toy_pixels" for name in ("precision", "recall", "density", "coverage")}
    assert set(same) == names | {f"{name}_floor" for name in names} | {"n_prdc"}
    assert same["n_prdc"] == 10 and all(same[name] == same[f"{name}_floor"] for name in names)
    latents = torch.randn(20, 3, generator=evidence(REQUEST).stream("sample"))
    by_hand = precision_recall_density_coverage(latents[:10], latents[10:], 3)
    assert {name: same[f"{name}_toy_pixels"] for name in by_hand} == by_hand
    away = PRDC(k=3).measure(evidence(REQUEST, (50.0, 0.0, 0.0)))
    assert all(away[name] == 0 and away[f"{name}_floor"] == same[name] for name in names)


def test_too_few_samples_give_no_number():
    assert PRDC().measure(evidence(REQUEST, samples=11)) == {}
    assert PRDC().measure(evidence(REQUEST, samples=12))["n_prdc"] == 6
