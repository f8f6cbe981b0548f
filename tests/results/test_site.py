"""The leaderboard: every case has a page, links lead somewhere, nothing half done stays."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from handmade_results import png, result, two_methods

from unlearnkit.errors import RunError
from unlearnkit.results import compare, read_results, site, write_result
from unlearnkit.results.site import write_site


def written(folder: Path) -> Path:
    found = read_results([folder])
    write_site(folder / "site", found, compare([item.result for item in found]))
    return folder / "site"


def links(page: Path) -> set[Path]:
    return {(page.parent / address).resolve() for address in re.findall(r'href="([^"#]+)"', page.read_text())}


def test_every_case_has_a_page_and_every_link_leads_somewhere(tmp_path: Path) -> None:
    made = written(two_methods(tmp_path))
    cases = set(made.glob("cases/*.html"))
    assert {page.stem for page in cases} == {path.stem for path in tmp_path.glob("cases/*.json")} and len(cases) == 6
    assert links(made / "index.html") == {page.resolve() for page in cases} | {(made / "results.json").resolve()}
    for page in cases:
        assert links(page) == {(made / "index.html").resolve()}
        assert page.read_text().count("data:image/jpeg") == 3, "picture, before and after"
    assert len(json.loads((made / "results.json").read_text())["results"]) == 6


def test_a_case_shows_what_is_left_and_a_failure_why(tmp_path: Path) -> None:
    write_result(tmp_path, result("good", metrics={"erased_after": 0.125}), {"after": png()})
    write_result(tmp_path, result("bad", error="no <style> layers", metrics={}))
    made = written(tmp_path)
    index = (made / "index.html").read_text()
    assert re.search(r'href="cases/stylegan2.ind.good.ind_0.0.html">0.12<', index)
    assert re.search(r'href="cases/stylegan2.ind.bad.ind_0.0.html">failed<', index)
    assert "No numbers: no &lt;style&gt; layers" in (made / "cases/stylegan2.ind.bad.ind_0.0.html").read_text()
    good = (made / "cases/stylegan2.ind.good.ind_0.0.html").read_text()
    assert "0.125" in good and "a processor" in good and "relearning, at most 20 optimiser steps" in good


def test_a_folder_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    two_methods(tmp_path)
    (tmp_path / "site").mkdir()
    with pytest.raises(RunError, match="exists and is never overwritten; give another folder with --site"):
        written(tmp_path)
    assert not list((tmp_path / "site").iterdir())


def test_what_fails_half_way_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    two_methods(tmp_path)
    monkeypatch.setattr(site, "merge_results", lambda path, found: (_ for _ in ()).throw(KeyboardInterrupt))
    before = set(tmp_path.iterdir())
    with pytest.raises(KeyboardInterrupt):
        written(tmp_path)
    assert set(tmp_path.iterdir()) == before
