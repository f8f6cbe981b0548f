"""Folders, case files and merged files; the same case twice; budgets that differ."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest
from handmade_results import BUDGET, png, result, two_methods

from unlearnkit.errors import RunError
from unlearnkit.results import merge_results, read_results, write_result
from unlearnkit.results.files import check_budgets, leave_out_less_tuned


def test_merged_and_single_files_hold_what_the_folder_does(tmp_path: Path) -> None:
    folder = two_methods(tmp_path / "results")
    found = read_results([folder])
    assert len(found) == 6
    merged = folder / "all.json"
    merge_results(merged, found)
    by_id = {item.result.id: item.result for item in found}
    assert {item.result.id: item.result for item in read_results([merged])} == by_id
    (single,) = read_results([found[0].file])
    assert single.result == found[0].result
    for item in (*found, *read_results([merged]), single):
        picture = item.picture("after")
        assert picture is not None and picture.read_bytes() == png()
    assert found[0].picture("target") is None


def test_the_same_case_twice_counts_once_and_two_versions_are_refused(tmp_path: Path) -> None:
    first, second = two_methods(tmp_path / "a"), two_methods(tmp_path / "b")
    assert len(read_results([first, second])) == 6
    write_result(second, result("good", "ind_1", metrics={"erased_after": 0.5}))
    with pytest.raises(RunError, match=r"b/cases/stylegan2\.ind\.good\.ind_1\.0\.json and .*a/cases/.* both hold"):
        read_results([first, second])


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="holds no results"):
        read_results([tmp_path])


def test_different_budgets_are_refused_by_file_but_not_between_generators(tmp_path: Path) -> None:
    folder = two_methods(tmp_path / "results")
    write_result(folder, result("good", generator="eg3d", budget=attrs.evolve(BUDGET, steps=30)))
    check_budgets(read_results([folder]))
    write_result(folder, result("outside", budget=attrs.evolve(BUDGET, tuning_trials=0)))
    with pytest.raises(RunError) as caught:
        check_budgets(read_results([folder]))
    for words in ("outside: 20 steps, 0 tuning trials", "20 steps, 4 tuning trials", "outside.ind_0.0.json",
                  "--mix-budgets"):
        assert words in str(caught.value)
    kept, left_out = leave_out_less_tuned(read_results([folder]))
    check_budgets(kept)
    assert {item.result.method for item in kept} == {"good", "bad"}
    assert len(left_out) == 1 and left_out[0].startswith("left out: outside on stylegan2, which had 20 steps, 0 tuning")
    assert "the others had 4 trials" in left_out[0]
