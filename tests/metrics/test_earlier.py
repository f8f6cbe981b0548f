from __future__ import annotations

import math

import pytest
import torch

from unlearnkit.interfaces import Request
from unlearnkit.metrics.earlier import Earlier
from unlearnkit.metrics.identity import Identity

from .toys import ToyGenerator, evidence, person

X, Y, Z = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
HALF = math.sqrt(0.5)


def shifted(*shift: float, views: bool = False) -> ToyGenerator:
    return ToyGenerator(torch.tensor(shift), views=views)


@pytest.mark.parametrize("views", [False, True])
def test_numbers_worked_out_by_hand(views):
    # X: itself in the checkpoint, (1, 1, 0) before this run, (1, 1, 0) + (0, -1, 0) = itself again now
    request = Request((person("Cy", Z),), (), (person("Ada", X, Y), person("Bo", Y, X, pictures=[X, X])))
    seen = evidence(request, (0.0, 0.0, 0.0), frozen=shifted(0.0, 1.0, 0.0, views=views),
                    original=shifted(0.0, 0.0, 0.0, views=views), views=views)
    numbers = Earlier().measure(seen)
    if views:  # the second view turns the colours round: Bo's picture is X, seen as Y and as Z
        assert numbers["earlier_ada_then"] == pytest.approx(HALF) and numbers["earlier_ada_after"] == pytest.approx(1)
        return
    assert numbers == pytest.approx({
        "earlier_ada_before": 1, "earlier_ada_then": HALF, "earlier_ada_after": 1, "n_earlier_ada": 1,
        "earlier_bo_before": 0, "earlier_bo_then": 0, "earlier_bo_after": 0, "n_earlier_bo": 1,
    }, abs=1e-6)


def test_as_many_latents_as_were_erased():
    ada = person("Ada", X, Y, Z)
    ada = type(ada)(ada.name, ada.latents, None, 2)
    numbers = Earlier().measure(evidence(Request((ada,), (), (ada,)), (0.0, 1.0, 0.0), original=shifted(0, 0, 0)))
    assert numbers["earlier_ada_after"] == pytest.approx((HALF + 1) / 2) and numbers["n_earlier_ada"] == 2


@pytest.mark.parametrize("original", [None, shifted(0.0, 0.0, 0.0)])
def test_nothing_without_an_earlier_edit(original):
    assert Earlier().measure(evidence(Request((person("Ada", X),)), original=original)) == {}


def test_several_pictures_of_one_person_are_erased_and_the_rest_judge():
    ada = person("Ada", X, Y, Z)
    ada = type(ada)(ada.name, ada.latents, None, 2)
    numbers = Identity().measure(evidence(Request((ada,)), (0.0, 1.0, 0.0)))
    assert (numbers["n_erased"], numbers["n_others"]) == (2, 1)
    assert numbers["erased_after"] == pytest.approx((HALF + 1) / 2)  # X became (1, 1, 0), Y stayed Y
    assert numbers["erased_worst_after"] == pytest.approx(1) and numbers["others_after"] == pytest.approx(HALF)
