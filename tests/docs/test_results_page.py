"""The page of results shows the committed results, and they cover every method that ships."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import spearmanr

from unlearnkit.plugins import registry
from unlearnkit.results import Result, compare, read_results
from unlearnkit.results.tables import markdown

ROOT = Path(__file__).parents[2]
LATER = {"lethe"}
"""Younger than the committed results; the page says so, and where its numbers are."""


@pytest.fixture(scope="module")
def results() -> list[Result]:
    return [item.result for item in read_results([ROOT / "benchmarks" / "results" / "full.json"])]


def test_tables_are_those_of_the_committed_results(results: list[Result]) -> None:
    page = (ROOT / "docs" / "results.md").read_text()
    assert markdown(compare(results)).strip() in page, (
        "docs/results.md: its tables are not what 'unlearnkit compare benchmarks/results/full.json --markdown' writes"
    )


def chosen(file: str, generator: str) -> dict[str, dict[str, Any]]:
    return json.loads((ROOT / "unlearnkit" / "bench" / file).read_text())["generators"][generator]


def test_the_worlds_are_held_against_each_other_by_the_committed_tuning() -> None:
    page = (ROOT / "docs" / "results.md").read_text()
    toy, photo = chosen("tuned.json", "stylegan2"), chosen("tuned_photoreal.json", "mobilestylegan")
    order = sorted(photo, key=lambda name: -photo[name]["score"])
    assert set(order) == set(toy)
    rows = [f"| {name} | {' | '.join(map(cells, (toy[name], photo[name])))} |" for name in order]
    assert "\n".join(rows) in page
    rank = spearmanr([toy[name]["score"] for name in order], [photo[name]["score"] for name in order]).statistic
    assert f"correlation over the thirteen methods is {rank:.2f}" in page


def cells(entry: dict[str, Any]) -> str:
    people = next(row["people"] for row in entry["tried"] if row["settings"] == entry["settings"])
    each = ["/".join(f"{who[name] or 0:.2f}" for name in ("erasure", "preservation")) for who in people]
    return f"{entry['score']:.2f} | {', '.join(each)}"


def test_every_method_that_ships_was_run_on_both_bundled_generators(results: list[Result]) -> None:
    shipped = {name for name in registry().names("method")
               if registry().get("method", name).distribution == "unlearnkit"} - LATER
    for generator in ("stylegan2", "eg3d"):
        assert {r.method for r in results if r.generator == generator} == shipped


def test_the_page_says_who_is_missing() -> None:
    page = (ROOT / "docs" / "results.md").read_text()
    assert all(f"`{name}` is not in these tables" in page for name in LATER)


def test_every_method_had_the_same_budget(results: list[Result]) -> None:
    for generator in ("stylegan2", "eg3d"):
        assert len({r.budget for r in results if r.generator == generator}) == 1


def test_the_card_of_lethe_shows_the_committed_frontier() -> None:
    rows = ROOT / "benchmarks" / "results" / "frontier.json"
    spec = importlib.util.spec_from_file_location("frontier", ROOT / "benchmarks" / "frontier.py")
    assert spec is not None and spec.loader is not None
    frontier = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(frontier)
    assert frontier.table(json.loads(rows.read_text())) in (ROOT / "docs" / "lethe.md").read_text()
