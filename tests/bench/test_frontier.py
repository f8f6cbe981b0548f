"""``benchmarks/frontier.py``: one person against all others, case by case, and going on where it stopped."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "frontier.py"


@pytest.fixture
def frontier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, with three pictures of two people and short searches."""
    spec = importlib.util.spec_from_file_location("frontier", SCRIPT)
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "frontier", made)
    spec.loader.exec_module(made)
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for name in ("person_01_0", "person_01_1", "person_02_0"):
        shutil.copy(made.PICTURES / f"{name}.png", pictures)
    for name, value in {"PICTURES": pictures, "W_STEPS": 1, "DIFFERENCE_STEPS": 1, "RANDOM": 4}.items():
        monkeypatch.setattr(made, name, value)
    return made


def test_a_case_is_measured_and_not_done_again(
    frontier: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, out = tmp_path / "cases", tmp_path / "rows.json"
    given = [str(folder), "--methods", "closed-form", "--people", "01", "--out", str(out)]
    frontier.main(given)
    (row,) = json.loads(out.read_text())
    assert row["method"] == "closed-form" and row["person"] == "01"
    assert row["erased"] < 0.3 < row["bystanders"] <= 1 and -1 <= row["read"] <= 1
    assert "| stylegan2 closed-form | 1 |" in capsys.readouterr().out
    monkeypatch.setattr(frontier, "row_of", lambda *_: pytest.fail("done again"))
    frontier.main(given)


def test_settings_are_told_apart_and_means_have_intervals(frontier: ModuleType) -> None:
    def row(person: str, others: float, sets: list[str], w: int | None) -> dict[str, object]:
        same = dict.fromkeys(("erased", "bystanders", "random", "read", "difference_search"), 0.5)
        return {"generator": "stylegan2", "method": "guide", "person": person, "sets": sets, "others": others,
                "worst": others + 0.1, "w": w, "seconds": 60.0, **same}

    shown = frontier.table([row("01", 0.2, [], 7), row("02", 0.4, [], None), row("01", 0.9, ["a.b=1"], 3)])
    lines = shown.splitlines()
    assert len(lines) == 4
    assert "0.30 [-0.97, 1.57]" in lines[2] and "| 0.50 | 1 of 2 (7) |" in lines[2]
    assert lines[3].startswith("| stylegan2 guide a.b=1 | 1 |")


def test_people_whom_no_setting_was_found_on_are_the_default(frontier: ModuleType) -> None:
    assert not {"00", "07"} & set(frontier.UNSEEN.split(",")) and len(frontier.UNSEEN.split(",")) == 8
