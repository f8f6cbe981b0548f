"""A whole step of GUIDE at FFHQ's size fits into a laptop: the engine renders pair by pair."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_a_step_at_full_size_within_16_gb(tmp_path: Path) -> None:
    script = Path(__file__).with_name("full_size.py")
    command = [sys.executable, str(script), str(tmp_path), "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=550)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["moved"] == ["backbone.synthesis"]
    assert found["peak_bytes"] < 16e9
