from __future__ import annotations

import math

import pytest
import torch

from unlearnkit.errors import ShapeError
from unlearnkit.interfaces import Request
from unlearnkit.metrics.collapse import pairwise_similarity
from unlearnkit.metrics.identity import Identity

from .toys import evidence, person

X, Y, Z = torch.eye(3)


def test_every_pair_counts_once():
    found = pairwise_similarity(torch.stack([X, X, Y, -X]))
    # XX 1, XY 0 twice, X-X -1 twice, Y-X 0
    assert found == pytest.approx({"mean": -1 / 6, "max": 1, "n_pairs": 6})


def test_views_are_averaged_within_a_pair():
    views = torch.stack([torch.stack([X, Y]), torch.stack([X, Z])])
    assert pairwise_similarity(views) == pytest.approx({"mean": 0.5, "max": 0.5, "n_pairs": 1})


def test_who_was_not_seen_is_in_no_pair():
    nobody = torch.full((3,), math.nan)
    assert pairwise_similarity(torch.stack([X, nobody, X])) == pytest.approx({"mean": 1, "max": 1, "n_pairs": 1})
    assert pairwise_similarity(torch.stack([X, nobody])) == {"n_pairs": 0}


@pytest.mark.parametrize("shape", [(1, 3), (3,), (2, 2, 2, 2)])
def test_one_person_is_like_nobody(shape):
    with pytest.raises(ShapeError, match=r"P ≥ 2"):
        pairwise_similarity(torch.ones(shape))


def test_three_people_who_become_one_face():
    three = Request(tuple(person(name, colour) for name, colour in (
        ("Ada", (1.0, 0.0, 0.0)), ("Bo", (0.0, 1.0, 0.0)), ("Cy", (-1.0, 0.0, 0.0)))))
    same = Identity().measure(evidence(three))
    assert same["erased_alike_before"] == same["erased_alike_after"] == pytest.approx(-1 / 3)
    collapsed = Identity().measure(evidence(three, (0.0, 0.0, 1e4)))
    assert collapsed["erased_alike_before"] == pytest.approx(-1 / 3)
    assert collapsed["erased_alike_after"] > 0.999 and collapsed["erased_alike_after_max"] > 0.999
    assert collapsed["n_erased_alike"] == 3
