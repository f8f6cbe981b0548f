from __future__ import annotations

import math

import pytest
import torch

from unlearnkit.errors import ShapeError
from unlearnkit.interfaces import Request
from unlearnkit.metrics.gallery import Gallery
from unlearnkit.metrics.identity import Identity
from unlearnkit.metrics.neighbours import Neighbours

from .toys import ToyJudge, evidence, person

X, Y, Z = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
HALF = math.sqrt(0.5)


def test_identical_generators_change_nobody():
    numbers = Identity().measure(evidence(Request((person("Ada", X, Y),), (person("Bo", Z),))))
    changes = {name: value for name, value in numbers.items() if name.endswith(("_before", "_after", "_change"))}
    groups = ("erased", "others", "bystanders")
    assert set(changes) == {f"{group}_{when}" for group in groups for when in ("before", "after", "change")} | {
        "bystanders_worst_change"}
    assert numbers["bystanders_distance_worst"] == 0 and numbers["strangers_distance"] > 0
    assert all(value == pytest.approx(1) for value in changes.values())


def test_numbers_worked_out_by_hand():
    # shift (0, 1, 0): X becomes (1, 1, 0), cosine √½ with X; Y stays Y; Z becomes (0, 1, 1)
    ada = person("Ada", X, Y, pictures=[Y, X])
    request = Request((ada,), (person("Bo", Z), person("Cy", X)))
    numbers = Identity().measure(evidence(request, (0.0, 1.0, 0.0)))
    expected = {
        "erased_before": 0, "erased_after": HALF, "erased_change": HALF, "n_erased": 1,
        "others_before": 0, "others_after": 0, "others_change": 1, "n_others": 1,
        "bystanders_before": 1, "bystanders_after": HALF, "bystanders_change": HALF, "n_bystanders": 2,
        "strangers": 0, "n_strangers": 1, "same_person": 0, "n_same_person": 1,
        "bystanders_worst_change": HALF, "bystanders_worst_number": 1,
        # By pixels: (0, 1, 0) is a mean square of 1/3; Ada's picture Y and her image X differ in two colours of three.
        "bystanders_distance": 1 / 3, "bystanders_distance_worst": 1 / 3, "bystanders_distance_worst_number": 1,
        "erased_fit_worst": 2 / 3, "strangers_distance": numbers["strangers_distance"],
    }
    assert numbers == pytest.approx(expected, abs=1e-6)
    assert all(type(value) is float for value in numbers.values())


def test_missing_groups_are_left_out_and_levels_are_named():
    judge = ToyJudge({"strangers": 0.2, "same_person": 0.8})
    numbers = Identity().measure(evidence(Request((person("Ada", X),)), judge=judge))
    assert set(numbers) == {
        "erased_before", "erased_after", "erased_change", "n_erased", "strangers_level", "same_person_level",
        "n_erased_judged", "n_erased_recognised_before", "n_erased_recognised",
    }


def test_individuals_are_counted_and_the_worst_are_kept() -> None:
    # shift (0, 2, 0): X is then at 0.45 to itself, Y at 1, Z at 0.45; the border is 0.5.
    judge = ToyJudge({"strangers": 0.2, "same_person": 0.8})
    ada, bo = person("Ada", X, Y, Z, pictures=[X, Y, Y]), person("Bo", Z)
    request = Request((ada, bo), (person("Cy", Y), person("Dee", X)))
    numbers = Identity().measure(evidence(request, (0.0, 2.0, 0.0), judge=judge))
    low = 1 / math.sqrt(5)
    assert numbers["n_erased_judged"] == numbers["n_erased_recognised_before"] == 2
    assert numbers["n_erased_recognised"] == 0
    # Of Ada's other pictures Y is Y, and so is what the frozen generator shows as Z: recognised only after.
    assert numbers["n_others_judged"] == 2
    assert (numbers["n_others_recognised_before"], numbers["n_others_recognised"]) == (1, 2)
    assert numbers["others_lowest_before"] == pytest.approx(0) and numbers["others_worst_after"] == pytest.approx(1)
    assert numbers["erased_worst_after_ada"] == pytest.approx(low) == numbers["erased_worst_after_bo"]
    assert numbers["bystanders_worst_change"] == pytest.approx(low) and numbers["bystanders_worst_number"] == 2
    assert numbers["n_bystanders_changed"] == 1


def test_one_view_is_enough_to_be_recognised() -> None:
    request = Request((person("Ada", X, Y, pictures=[X, X]),))
    judge = ToyJudge({"strangers": 0.2, "same_person": 0.8})
    numbers = Identity().measure(evidence(request, judge=judge, views=True))
    assert numbers["erased_after"] == pytest.approx(0.5) and numbers["erased_worst_view_after"] == pytest.approx(1)
    assert numbers["n_erased_recognised"] == 1 and numbers["n_others_recognised"] == 0


def test_several_people_are_told_apart_even_with_one_name():
    request = Request((person("Ada B.", X), person("ada-b", Y)))
    numbers = Identity().measure(evidence(request, (0.0, 1.0, 0.0)))
    assert numbers["erased_after_ada_b"] == pytest.approx(HALF)
    assert numbers["erased_after_ada_b_1"] == pytest.approx(1)
    assert numbers["erased_after"] == pytest.approx((HALF + 1) / 2)
    assert numbers["erased_alike_before"] == pytest.approx(0, abs=1e-6)
    assert numbers["erased_alike_after"] == pytest.approx(HALF)


def test_views_are_averaged():
    # View 0 shows X as X, view 1 as Y; the picture is X.
    ada = person("Ada", X, pictures=[X])
    numbers = Identity().measure(evidence(Request((ada,)), views=True))
    assert numbers["erased_before"] == pytest.approx(0.5)
    assert numbers["erased_change"] == pytest.approx(1)


def test_one_picture_a_latent():
    ada = person("Ada", X, Y, pictures=[X])
    with pytest.raises(ShapeError, match="2 latents and 1 pictures"):
        Identity().measure(evidence(Request((ada,))))


def test_each_latent_is_rendered_once_for_all_metrics():
    given = evidence(Request((person("Ada", *[X] * 3, *[(0.1 * i, 1.0, 0.0) for i in range(11)]),)))
    first = Identity().measure(given)
    assert Identity().measure(given) == first
    assert (given.frozen.rendered, given.edited.rendered) == (12, 12)
    assert Gallery.of(given) is Gallery.of(given)


def test_neighbours_at_the_distances_they_claim():
    given = evidence(Request((person("Ada", X), person("Bo", Y))), (0.0, 0.0, 0.0))
    numbers = Neighbours(directions=9).measure(given)
    latents = torch.randn(256, 3, generator=given.stream("neighbours"))
    far = latents.norm(dim=1).mean()
    assert numbers["neighbour_distance"] == pytest.approx(float(far))
    assert numbers["n_neighbours"] == 18
    assert all(numbers[f"neighbours_change_{percent}"] == pytest.approx(1) for percent in (25, 50, 100))
    away = torch.nn.functional.normalize(latents[:9] - torch.tensor(X), dim=1)
    cosines = torch.nn.functional.normalize(torch.tensor(X) + 0.5 * far * away, dim=1)[:, 0]
    alone = Neighbours(directions=9).measure(evidence(Request((person("Ada", X),))))
    assert alone["neighbours_before_50"] == pytest.approx(float(cosines.mean()), abs=1e-5)


def test_no_number_depends_on_what_else_is_measured():
    request = Request((person("Ada", X),))
    alone = Neighbours().measure(evidence(request, (0.3, 0.0, 0.1)))
    given = evidence(request, (0.3, 0.0, 0.1))
    _ = Identity().measure(given), Gallery.of(given).sample
    assert Neighbours().measure(given) == alone


def test_views_are_averaged_and_the_front_and_the_worst_stand_beside() -> None:
    # Two views: the second turns the colours, so that X is seen as Y. The shift takes X away in one of them only.
    request = Request((person("Ada", X, pictures=[X]),), (person("Bo", Z),))
    numbers = Identity().measure(evidence(request, (0.0, 1.0, 0.0), views=True))
    views = {0: HALF, 1: 0.0}  # (1, 1, 0) with X; rolled by one it is (0, 1, 1)
    assert numbers["erased_after"] == pytest.approx(sum(views.values()) / 2, abs=1e-6)
    assert numbers["erased_front_after"] == pytest.approx(views[1], abs=1e-6)  # the middle of two is the second
    assert numbers["erased_worst_view_after"] == pytest.approx(HALF, abs=1e-6)
    assert numbers["erased_front_before"] == pytest.approx(0, abs=1e-6)
    assert {"bystanders_front_before", "bystanders_front_after", "bystanders_front_change"} <= set(numbers)
    assert not any(name.startswith("erased_after_") for name in numbers)  # the verdict takes those for people


def test_neighbours_are_seen_from_the_front_only() -> None:
    seen = evidence(Request((person("Ada", X),)), (0.0, 1.0, 0.0), views=True)
    gallery = Gallery.of(seen)
    gallery.faces(seen.request.people[0])
    before = seen.frozen.rendered
    Neighbours(fractions=[0.5], directions=3).measure(seen)
    assert seen.frozen.rendered - before == 3
