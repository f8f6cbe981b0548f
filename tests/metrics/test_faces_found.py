"""A judge that looks for faces, and pictures in which it finds none, or several."""

from __future__ import annotations

import math

import attrs
import pytest
import torch
from torch import Tensor

from unlearnkit.interfaces import Request
from unlearnkit.metrics.identity import Identity
from unlearnkit.metrics.measuring import declared
from unlearnkit.metrics.neighbours import Neighbours
from unlearnkit.metrics.preservation import Preservation
from unlearnkit.report.numbers import lines
from unlearnkit.report.verdict import verdict

from .toys import ToyJudge, evidence, person

X, Y, Z = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)


@attrs.define(eq=False)
class Looking(ToyJudge):
    """Finds no face where a picture is darker than -3 in blue, and two where it is brighter than 3."""

    def embed_and_count(self, images: Tensor) -> tuple[Tensor, Tensor]:
        blue = images[:, 2].mean((1, 2))
        return self.embed(images), torch.where(blue < -3, 0, torch.where(blue > 3, 2, 1))


def looked(request: Request, shift: float, **more):
    return evidence(request, (0.0, 0.0, shift), judge=Looking(), **more)


def test_where_every_picture_has_a_face_the_counts_are_zero_and_the_numbers_those_of_any_judge():
    request = Request((person("Ada", X, Y),), (person("Bo", Z),))
    blind, seeing = Identity().measure(evidence(request)), Identity().measure(looked(request, 0.0))
    found = {name: value for name, value in seeing.items() if name not in blind}
    assert found == {
        "n_faces_sought": 6, "n_no_face": 0, "n_several_faces": 0,
        "n_faces_sought_after": 3, "n_no_face_after": 0, "n_several_faces_after": 0,
    }
    assert {name: seeing[name] for name in blind} == blind


@pytest.mark.parametrize(("shift", "missing"), [(-9.0, "n_no_face"), (9.0, "n_several_faces")])
def test_an_edit_that_leaves_no_face_gives_counts_and_no_similarity(shift, missing):
    numbers = Identity().measure(looked(Request((person("Ada", X, Y),), (person("Bo", Z),)), shift))
    assert not any("after" in name or "change" in name for name in numbers if not name.startswith("n_"))
    assert numbers["erased_before"] == pytest.approx(1) and numbers["n_erased"] == 1
    other = ({"n_no_face", "n_several_faces"} - {missing}).pop()
    assert (numbers[missing], numbers[f"{missing}_after"], numbers[other]) == (3, 3, 0)
    assert verdict(numbers).answer == "Not measured" and "one face" in verdict(numbers).person


def test_the_others_are_averaged():
    # Of two bystanders only the second keeps one face.
    request = Request((person("Ada", X),), (person("Bo", (1.0, 0.0, 2.5)), person("Cy", X)))
    numbers = Identity().measure(looked(request, 1.0))
    assert numbers["bystanders_change"] == pytest.approx(math.sqrt(0.5)) and numbers["n_bystanders"] == 2
    assert (numbers["n_several_faces"], numbers["n_several_faces_after"], numbers["n_no_face"]) == (1, 1, 0)


def test_a_view_without_a_face_is_left_out_of_the_mean_over_views():
    # The second view turns the colours: what was red becomes green, and the green goes into the blue.
    request = Request((person("Ada", (1.0, 5.0, 0.0)),))
    numbers = Identity().measure(looked(request, 0.0, views=True))
    assert numbers["erased_change"] == pytest.approx(1) and "erased_front_change" not in numbers
    assert (numbers["n_several_faces"], numbers["n_faces_sought"]) == (2, 4)


def test_a_picture_of_the_person_without_a_face_is_counted_too():
    numbers = Identity().measure(looked(Request((person("Ada", X, Y, pictures=[(1.0, 0.0, -5.0), Y]),)), 0.0))
    assert "erased_after" not in numbers and numbers["erased_change"] == pytest.approx(1)
    assert numbers["others_after"] == pytest.approx(1) and "same_person" not in numbers
    assert (numbers["n_no_face"], numbers["n_no_face_after"], numbers["n_faces_sought"]) == (1, 0, 6)


def test_several_people_without_faces_keep_their_names_apart():
    request = Request((person("Ada", (1.0, 0.0, 5.0)), person("ada", X), person("Cy", Y)))
    numbers = Identity().measure(looked(request, 0.0))
    assert "erased_after_ada" not in numbers and numbers["erased_after_ada_1"] == pytest.approx(1)
    assert numbers["n_erased_alike"] == 1 and numbers["erased_alike_after"] == pytest.approx(0, abs=1e-6)


def test_random_people_and_neighbours_are_counted_by_themselves():
    given = looked(Request((person("Ada", X),)), 3.0)
    kept = Preservation().measure(given)
    latents = torch.randn(20, 3, generator=given.stream("sample"))
    several = int((latents[:, 2] + 3 > 3).sum())
    assert 0 < several < 20 and kept["n_several_faces_preserved"] == several
    same = torch.cosine_similarity(latents, latents + torch.tensor([0.0, 0.0, 3.0]), dim=1)[latents[:, 2] <= 0]
    assert kept["preserved_identity"] == pytest.approx(float(same.mean()), abs=1e-5)
    assert kept["preserved_identity_worst"] == pytest.approx(float(same.min()), abs=1e-5)
    assert kept["preserved_distance"] == pytest.approx(3) and kept["n_faces_sought_preserved"] == 40
    around = Neighbours().measure(given)
    assert around["n_faces_sought_neighbours"] == 2 * 3 * 8 and around["n_several_faces_neighbours"] > 0


def test_a_generator_that_came_apart_is_counted_whatever_the_judge():
    numbers = Identity().measure(evidence(Request((person("Ada", X),)), (math.nan, 0.0, 0.0)))
    assert numbers["n_no_face_after"] == 1 and "erased_after" not in numbers
    kept = Preservation().measure(evidence(Request((person("Ada", X),)), (0.0, math.nan, 0.0)))
    assert kept["n_no_face_preserved"] == 20 and "preserved_identity" not in kept


def test_the_report_tells_how_many_of_how_many():
    given = looked(Request((person("Ada", X),)), -9.0)
    known = declared({"identity": Identity()}, given.about)
    shown = {line.name: line for line in lines(Identity().measure(given), known)}
    assert (shown["n_no_face"].value, shown["n_no_face"].count) == ("1", "2")
    assert (shown["n_no_face_after"].value, shown["n_no_face_after"].count) == ("1", "1")
    assert "finds no face" in shown["n_no_face"].title and "n_erased" not in shown
