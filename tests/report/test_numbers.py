"""Lines of the table of all numbers, as metrics declare them."""

from __future__ import annotations

import pytest

from unlearnkit.errors import RunError
from unlearnkit.numbers import Number
from unlearnkit.report.numbers import Line, flat, lines, read_declared, slugs_of_several, value_text

DECLARED = {
    "shape": Number("shape", "Change of shape", "lower", unit="cm", count="n_shape"),
    "faceless": Number("faceless", "Pictures without a face", "lower", digits=0),
    "absent": Number("absent", "Not measured this time"),
}


def test_titles_directions_units_and_counts_are_those_that_were_declared() -> None:
    measured = {"faceless": 3.0, "n_shape": 12.0, "shape": 0.25}
    assert lines(measured, DECLARED) == [
        Line("shape", "Change of shape (cm)", "0.250", "lower", "12"),
        Line("faceless", "Pictures without a face", "3", "lower", ""),
    ]


def test_what_nobody_declared_keeps_its_own_name_and_has_no_direction() -> None:
    # A name like that of somebody else's number says nothing.
    measured = {"precision_at_age": 0.3, "n_people": 16.0, "shape": None}
    assert lines(measured, DECLARED) == [
        Line("shape", "Change of shape (cm)", "–", "lower", ""),
        Line("precision_at_age", "precision_at_age", "0.3", "", ""),
        Line("n_people", "n_people", "16", "", ""),
    ]
    assert [line.title for line in lines(measured, {})] == ["precision_at_age", "n_people", "shape"]


@pytest.mark.parametrize(("value", "digits", "text"), [
    (None, 3, "–"), (0.0, 3, "0.000"), (0.9731, 3, "0.973"), (2.1e-5, 3, "2.10e-05"), (1e5, 1, "1.00e+05"),
    (0.5, 0, "0"), (2.0, 0, "2"), (12.34, 1, "12.3"), (float("nan"), 3, "nan"),
])
def test_values_show_as_many_decimals_as_declared(value: float | None, digits: int, text: str) -> None:
    assert value_text(value, digits) == text


def test_metrics_are_read_flat_and_by_metric() -> None:
    assert flat({"a": 1, "b": {"c": 2.0, "d": "text"}, "e": None}) == {"a": 1, "c": 2.0, "e": None}


def test_only_several_people_have_numbers_of_their_own() -> None:
    assert slugs_of_several(["Ada"]) == {} == slugs_of_several([])
    assert slugs_of_several(["Ada B.", "ada b"]) == {"ada_b": "Ada B.", "ada_b_1": "ada b"}


def test_a_run_without_declarations_has_none_and_damaged_ones_are_named() -> None:
    assert read_declared(None, "numbers.json") == {}
    with pytest.raises(RunError, match=r"runs/a/numbers\.json is damaged: 'fid'"):
        read_declared({"fid": {"better": "lower"}}, "runs/a/numbers.json")
