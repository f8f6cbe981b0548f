"""``benchmarks/audits.py``: who undoes which method, from the audits of a bench."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_table_counts_people_and_their_median_effort(tmp_path: Path) -> None:
    script, results = ROOT / "benchmarks" / "audits.py", ROOT / "benchmarks" / "results" / "full.json"
    done = subprocess.run([sys.executable, script, results, "--out", tmp_path / "audits.json"], capture_output=True,
                          text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "audits.json").read_text())["stylegan2"]["guide"]["relearning"]
    assert found["people"] == 3 and 0 <= found["undone"] <= 3 and found["unit"] == "optimiser steps"
    row = next(line for line in done.stdout.splitlines() if line.startswith("| relearning "))
    assert f"{found['undone']} of 3 ({found['effort']})" in row
