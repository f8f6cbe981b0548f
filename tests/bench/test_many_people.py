"""``benchmarks/many_people.py``: requests one after another and together, and going on where it stopped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "many_people.py"


def run(folder: Path, *arguments: str) -> str:
    command = [sys.executable, str(SCRIPT), str(folder), "--methods", "closed-form", "--samples", "4", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500,
                          env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_requests_go_on_where_they_stopped(tmp_path: Path) -> None:
    first = run(tmp_path, "--milestones", "1,2", "--together", "")
    assert "| closed-form | one after another | 2 | 0 of 2 |" in first
    run(tmp_path, "--milestones", "1,2,4", "--together", "2", "--out", str(tmp_path / "out.json"))
    rows = json.loads((tmp_path / "out.json").read_text())
    assert [(row["way"], row["people"]) for row in rows] == [
        ("one_by_one", 1), ("one_by_one", 2), ("one_by_one", 4), ("together", 2)
    ]
    folder = tmp_path / "closed-form-30-steps-4-samples"
    edits = sorted(path.name for path in folder.glob("*.safetensors"))
    assert edits == [f"one_by_one_000{n}.safetensors" for n in (1, 2, 4)] + ["together_0002.safetensors"]
    assert rows[0] == json.loads((folder / "rows.json").read_text())[0]
    assert 0 < rows[0]["seconds"] < rows[2]["seconds"]  # the sum, over both starts
    # Erased people stay erased while others follow, and each takes something from everybody else.
    assert all(row["erased"]["most"] < 0.47 and row["recognised"] == 0 for row in rows)
    assert rows[0]["bystanders"]["mean"] > rows[2]["bystanders"]["mean"]
