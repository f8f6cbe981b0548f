"""The answer of a comparison: who wins what, and what nobody can tell."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from handmade_results import result, two_methods
from rich.console import Console

from unlearnkit.results import compare, read_results
from unlearnkit.results.answer import answer
from unlearnkit.results.tables import print_summary


def kept(method: str, people: int, erased: float, preserved: float) -> list:
    return [result(method, f"ind_{i}", metrics={
        "erased_after": erased + i * i / 100, "bystanders_change": preserved, "preserved_identity": preserved - i / 90,
    }) for i in range(people)]


def test_a_clear_winner(tmp_path: Path) -> None:
    (group,) = compare([found.result for found in read_results([two_methods(tmp_path / "r")])])
    assert answer(group) == [
        "Best balance, by the lower of the scores erasure and preservation: good, 0.86.",
        "good erases best: 0.89 [0.87, 0.91] over 3 people; all others are significantly worse.",
        "bad keeps others best: 0.86 [0.84, 0.88] over 3 people; no difference to good can be told.",
        "In front in both: good.",
    ]


def test_nobody_leads_in_both() -> None:
    (group,) = compare([*kept("eraser", 4, 0.0, 0.2), *kept("keeper", 4, 0.8, 0.95)])
    found = answer(group)
    assert "eraser erases best" in found[1] and "keeper keeps others best" in found[2]
    assert found[3] == "No method leads in both: every one pays for one with the other."


def test_two_people_prove_nothing() -> None:
    (group,) = compare([*kept("a", 2, 0.0, 0.9), *kept("b", 2, 0.5, 0.9)])
    assert "with fewer than 3 people nothing is tested" in answer(group)[1]


def test_the_generator_with_most_cases_comes_first() -> None:
    many = kept("a", 3, 0.1, 0.9)
    few = [result("a", "ind_0", generator="eg3d")]
    assert [group.generator for group in compare([*few, *many])] == ["stylegan2", "eg3d"]


@pytest.mark.parametrize("width", [60, 100, 200])
def test_one_screen(width: int) -> None:
    groups = compare([each for i in range(13) for each in kept(f"method-{i}", 3, i / 20, 0.9 - i / 30)])
    console = Console(width=width, record=True, file=io.StringIO())
    print_summary(groups, console)
    lines = console.export_text().splitlines()
    table = lines[: next(i for i, line in enumerate(lines) if line.startswith("Best balance"))]
    assert max(map(len, table)) <= min(width, 100)
    assert len(lines) <= 24 or width < 100
