"""The page of results shows the committed results, and they cover every method that ships."""

from __future__ import annotations

from pathlib import Path

import pytest

from unlearnkit.plugins import registry
from unlearnkit.results import Result, compare, read_results
from unlearnkit.results.tables import markdown

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def results() -> list[Result]:
    return [item.result for item in read_results([ROOT / "benchmarks" / "results" / "full.json"])]


def test_tables_are_those_of_the_committed_results(results: list[Result]) -> None:
    page = (ROOT / "docs" / "results.md").read_text()
    assert markdown(compare(results)).strip() in page, (
        "docs/results.md: its tables are not what 'unlearnkit compare benchmarks/results/full.json --markdown' writes"
    )


def test_every_method_that_ships_was_run_on_both_bundled_generators(results: list[Result]) -> None:
    shipped = {name for name in registry().names("method")
               if registry().get("method", name).distribution == "unlearnkit"}
    for generator in ("stylegan2", "eg3d"):
        assert {r.method for r in results if r.generator == generator} == shipped


def test_every_method_had_the_same_budget(results: list[Result]) -> None:
    for generator in ("stylegan2", "eg3d"):
        assert len({r.budget for r in results if r.generator == generator}) == 1
