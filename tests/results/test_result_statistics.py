"""Numbers that were worked out by hand, or stand in the tables of a book."""

from __future__ import annotations

import math
import random
from statistics import fmean

import attrs
import pytest
from handmade_results import BUDGET, result
from hypothesis import given
from hypothesis import strategies as some

from unlearnkit.numbers import Number
from unlearnkit.results import AttackResult, Result, compare
from unlearnkit.results.columns import columns_of, erasure, forgotten, kept, preservation
from unlearnkit.results.statistics import ALL, Cell, half_width, holm, interval, paired_p


def test_interval_is_students() -> None:
    # Standard deviation 1 over three people, t(0.975, 2) = 4.3027: 4.3027 / sqrt(3).
    assert half_width([1.0, 2.0, 3.0]) == pytest.approx(2.4841, abs=1e-4)
    assert interval([1.0, 2.0, 3.0]) == pytest.approx((2 - 2.4841, 2 + 2.4841), abs=1e-4)
    assert half_width([5.0, 5.0]) == 0 and half_width([5.0]) is None
    assert interval([5.0, 5.0, 5.0]) == (5, 5) and interval([5.0, 5.0]) is None


@given(some.lists(some.floats(0, 1), min_size=3, max_size=20))
def test_no_interval_leaves_the_range_or_its_mean(values: list[float]) -> None:
    low, high = interval(values, 0.0, 1.0) or (math.nan, math.nan)
    assert 0 <= low <= fmean(values) <= high <= 1


@pytest.mark.parametrize("people", [3, 12])
def test_intervals_hold_the_true_mean_about_as_often_as_they_say(people: int) -> None:
    rng = random.Random(0)
    samples = [[rng.betavariate(8, 2) for _ in range(people)] for _ in range(600)]
    found = [interval(values, 0.0, 1.0) or (math.nan, math.nan) for values in samples]
    assert sum(low <= 0.8 <= high for low, high in found) / len(found) > 0.91, "a bootstrap of three holds 0.75"


def test_paired_p_is_students() -> None:
    # Differences -1, -2, -2: mean -5/3, standard deviation 1/sqrt(3), t = -5 with 2 degrees of freedom.
    # With 2 degrees p = 1 - t / sqrt(t² + 2).
    assert paired_p([1, 2, 3], [2, 4, 5]) == pytest.approx(1 - 5 / math.sqrt(27))
    assert paired_p([1.0, 2.0], [2.0, 5.0]) is None, "two people prove nothing"
    assert paired_p([0.1, 0.2, 0.3], [0.1, 0.2, 0.3]) == 1
    assert paired_p([0.1, 0.2, 0.3], [0.2, 0.3, 0.4]) == 0, "the same difference each time, but for rounding"


def test_holm_steps_down() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0] and holm([]) == []


def test_scores_are_clipped_at_their_levels() -> None:
    assert [forgotten(x, 0.1, 0.9) for x in (-0.5, 0.1, 0.5, 0.9, 1.0)] == pytest.approx([1, 1, 0.5, 0, 0])
    assert [kept(x, 0.2) for x in (-0.5, 0.2, 0.6, 1.0)] == pytest.approx([0, 0, 0.5, 1])


def test_erasure_and_preservation() -> None:
    one = result(metrics={"erased_after": 0.25, "others_after": 0.75, "bystanders_change": 0.9,
                          "preserved_identity": 0.7})
    assert erasure(one) == pytest.approx(0.5) and preservation(one) == pytest.approx(0.8)
    alone = result(metrics={"erased_after": 0.25, "bystanders_change": 0.9})
    assert erasure(alone) == pytest.approx(0.75) and preservation(alone) == pytest.approx(0.9)
    unmeasured = result(metrics={"strangers_level": None, "erased_after": 0.25})
    assert erasure(unmeasured) is None and preservation(unmeasured) is None


def cell(results: list[Result], method: str, column: str) -> Cell:
    (group,) = compare(results)
    return next(row for row in group.rows if row.method == method).cells[column]


def test_seeds_are_averaged_within_a_person() -> None:
    numbers = {("a", 0): 0.0, ("a", 1): 0.2, ("b", 0): 0.2, ("c", 0): 0.3}
    results = [result(identity=who, seed=seed, metrics={"erased_after": value})
               for (who, seed), value in numbers.items()]
    found = cell(results, "guide", "erased")
    # 0.1, 0.2 and 0.3: standard deviation 0.1, t(0.975, 2) = 4.3027.
    assert (found.mean, found.n) == (pytest.approx(0.2), 3)
    assert (found.low, found.high) == pytest.approx((0.2 - 0.24842, 0.2 + 0.24842), abs=1e-4)
    erased = cell(results, "guide", "erasure")
    assert erased.high == 1.0 and erased.low == pytest.approx(0.8 - 0.24842, abs=1e-4), "cut where scores end"


def test_the_best_is_marked_and_who_is_not_significantly_worse() -> None:
    people = ("a", "b", "c", "d")
    values = {"best": (0.1, 0.3, 0.2, 0.4), "close": (0.15, 0.25, 0.3, 0.38), "worse": (0.5, 0.71, 0.6, 0.82)}
    results = [result(method, who, metrics={"erased_after": value})
               for method, row in values.items() for who, value in zip(people, row, strict=True)]
    marks = {method: cell(results, method, "erased").mark for method in values}
    assert marks == {"best": "best", "close": "tied", "worse": "worse"}
    assert cell(results, "close", "erased").leads and not cell(results, "worse", "erased").leads
    (group,) = compare(results)
    assert [row.method for row in group.rows] == ["best", "close", "worse"]
    assert (group.strangers, group.same) == (0.0, 1.0)


@pytest.mark.parametrize("people", [1, 2])
def test_one_person_proves_nothing_nor_do_two(people: int) -> None:
    results = [result(method, f"ind_{i}", metrics={"erased_after": value + i / 100})
               for method, value in (("a", 0.1), ("b", 0.9)) for i in range(people)]
    found = {method: cell(results, method, "erased") for method in "ab"}
    assert {(one.mark, one.p, one.low, one.high) for one in found.values()} == {("", None, None, None)}


def test_a_method_is_compared_on_the_people_whom_both_erased() -> None:
    results = [result("a", who, metrics={"erased_after": 0.1}) for who in ("x", "y", "z")]
    results += [result("b", "x", metrics={"erased_after": 0.1}), result("b", "y", metrics={}, error="no place")]
    found = cell(results, "b", "erased")
    assert found.n == 1 and found.mark == "", "one shared person is no test"
    (group,) = compare(results)
    failed = next(row for row in group.rows if row.method == "b")
    assert failed.failures == ("y: no place",) and failed.identities == 2


@pytest.mark.parametrize(("ahead", "mark"), [(0.1, "tied"), (-0.1, "worse")])
def test_who_was_tried_on_fewer_people_is_never_the_best_and_worse_only_on_the_same_people(ahead, mark) -> None:
    people = {"x": 0.2, "y": 0.3, "z": 0.25, "u": 0.9}
    results = [result("all", who, metrics={"erased_after": value}) for who, value in people.items()]
    results += [result("picky", who, metrics={"erased_after": people[who] - ahead + 0.001 * place})
                for place, who in enumerate("xyz")]
    found = cell(results, "picky", "erased")
    assert cell(results, "all", "erased").mark == "best" and found.mean < cell(results, "all", "erased").mean
    assert found.p is not None and found.p < 0.05 and found.mark == mark


def test_collapse_is_the_likeness_of_those_who_replace_different_people() -> None:
    faces = {"a": (1.0, 0.0), "b": (1.0, 0.0), "c": (0.0, 1.0)}
    results = [result(identity=who, embedding=face) for who, face in faces.items()]
    (collapse,) = (column for column in columns_of(results) if column.name == "collapse")
    # Pairs: 1, 0, 0. Leaving one person out leaves one pair: 0, 0, 1. Pseudo-values: 3 * 1/3 - 2 * that.
    assert collapse.values(results) == pytest.approx({"a": 1, "b": 1, "c": -1})
    assert cell(results, "guide", "collapse").mean == pytest.approx(1 / 3)
    two = cell(results[:2], "guide", "collapse")
    assert (two.mean, two.low) == (1.0, None), "one pair has no interval"
    # Another seed's faces are another run's: nobody has met them.
    alone = [result(identity="a", embedding=faces["a"]), result(identity="b", embedding=faces["b"], seed=1)]
    assert "collapse" not in [column.name for column in columns_of(alone)]


def test_relearning_that_never_succeeds_counts_its_whole_budget() -> None:
    def relearned(effort: float | None) -> Result:
        return result(audit={"relearning": AttackResult("steps", 20, {"effort_to_recognise": effort}),
                             "random-search": AttackResult("latents", 64, {"best": 0.4})})

    for effort, expected in ((None, 20.0), (7.0, 7.0), (0.0, 0.0)):
        assert cell([relearned(effort)], "guide", "relearning").mean == expected
    assert cell([relearned(None)], "guide", "attack_random-search").mean == 0.4
    nobody_knows = attrs.evolve(relearned(None), metrics={"erased_after": 0.1})
    assert "relearning" not in [column.name for column in columns_of([nobody_knows])], "no border, no answer"


DECLARED = {
    number.name: number for number in (
        Number("erased_after", "Erased person, after", "lower"), Number("frechet_x_floor", "Distance in x, chance"),
        Number("precision_at_age", "Age", "lower", "years", least=0.0, digits=1),
        Number("frechet_x", "Distance in x", "lower", short="in x"))
}
METRICS = {"erased_after": 0.1, "precision_at_age": 3.0, "frechet_x": 3.0, "frechet_x_floor": 9.0}


def test_every_declared_number_with_a_direction_has_a_column() -> None:
    columns = {column.name: column for column in columns_of([result(metrics=METRICS, numbers=DECLARED)])}
    assert {name for name, column in columns.items() if not column.headline} == {
        "metric_precision_at_age", "metric_frechet_x"}, "erased_after is a headline, the floor has no direction"
    age = columns["metric_precision_at_age"]
    assert (age.title, age.better, age.least, age.digits) == ("Age (years)", "lower", 0.0, 1)
    assert columns["metric_frechet_x"].title == "in x" and "Distance in x" in columns["metric_frechet_x"].help
    assert age.values([result(metrics=METRICS, numbers=DECLARED)]) == {"ind_0": 3.0}


def test_old_results_without_declarations_have_the_headline_columns() -> None:
    assert {column.headline for column in columns_of([result(metrics=METRICS)])} == {True}


def test_a_number_that_is_neither_good_nor_bad_is_not_tested() -> None:
    results = [result(method, f"ind_{i}", profile="run", budget=attrs.evolve(BUDGET, steps=steps))
               for method, steps in (("a", 10), ("b", 20)) for i in range(3)]
    assert {(found.mark, found.p) for found in (cell(results, m, "steps") for m in "ab")} == {("", None)}
    assert "steps" not in [column.name for column in columns_of([result()])], "the bench grants all the same"


def test_several_scenarios_are_also_taken_together() -> None:
    results = [result(scenario=scenario, identity=f"{scenario}_{i}", metrics={"erased_after": 0.1 * i})
               for scenario in ("ind", "ood") for i in range(3)]
    groups = compare(results)
    assert [(group.scenario, group.rows[0].cells["erased"].n) for group in groups] == [
        (ALL, 6), ("ind", 3), ("ood", 3)]
    together, alone = (group.rows[0].cells["erased"] for group in groups[:2])
    assert together.high - together.low < alone.high - alone.low


def test_who_fails_on_the_difficult_does_not_lead() -> None:
    results = [result(method="all", identity=f"ind_{i}", metrics={"erased_after": 0.1 * i}) for i in range(5)]
    results += [result(method="easy", identity=f"ind_{i}", metrics={"erased_after": 0.0}) for i in range(3)]
    results += [result(method="easy", identity=f"ind_{i}", metrics={}, error="too difficult") for i in (3, 4)]
    (group,) = compare(results)
    assert [row.method for row in group.rows] == ["all", "easy"]
    assert group.rows[0].cells["erased"].mark == "best"
    assert group.people() == 5
