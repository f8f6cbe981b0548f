"""``unlearnkit show run``: what came out, as the metrics declare it."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

from unlearnkit.runs import Run

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


def made_up(folder: Path) -> Path:
    with Run.create(folder, {"method": {"name": "guide"}}, "guide") as run:
        run.write_json("metrics.json", {"n_freckles": 12.0, "freckles": 0.25, "bare": 3.0})
        run.write_json("numbers.json", {
            "freckles": {"title": "Freckles [per face]", "better": "higher", "count": "n_freckles"},
        })
    return folder


def test_numbers_have_titles_directions_and_counts(cli: Cli, tmp_path: Path) -> None:
    shown = cli("show", "run", made_up(tmp_path / "run"))
    assert shown.returncode == 0, shown.stderr
    assert re.search(r"freckles +0\.250 +higher +12 +Freckles \[per face\]", shown.stdout), shown.stdout
    assert re.search(r"^ bare +3 *$", shown.stdout, re.MULTILINE) and "n_freckles" not in shown.stdout


def test_a_run_from_before_declarations_and_a_damaged_one(cli: Cli, tmp_path: Path) -> None:
    folder = made_up(tmp_path / "run")
    (folder / "numbers.json").unlink()
    assert re.search(r"n_freckles +12", cli("show", "run", folder).stdout)
    (folder / "numbers.json").write_text(json.dumps({"freckles": 3}))
    damaged = cli("show", "run", folder)
    assert damaged.returncode == 2 and "numbers.json is damaged" in damaged.stderr, damaged
