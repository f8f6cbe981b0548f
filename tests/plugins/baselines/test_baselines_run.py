"""Baselines from the command line, on the bundled world: a start, not a result."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from unlearnkit.config import resolve
from unlearnkit.plugins import registry

METHODS = (
    "average-target", "ewc", "gradient-ascent", "gradient-ascent-only", "gradient-surgery", "legato",
    "projection-hinge", "random-target", "saliency", "sugar",
)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["ewc", "saliency"])
def test_two_steps_of_a_run(method: str, tmp_path: Path) -> None:
    arguments = [
        "run", "--method", method, "--generator", "stylegan2", "--latent-seed", "3", "--steps", "2", "--out", "run",
        "--set", "metrics.samples=8", "--set", "metric.neighbours.directions=1", "--set", "request.bystanders=[]",
    ]
    done = subprocess.run(
        [sys.executable, "-c", "from unlearnkit.cli import main; main()", *arguments], cwd=tmp_path, text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, timeout=300,
    )
    assert done.returncode == 0, done.stderr
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert len(log) == 2 and log[1]["total"] != log[0]["total"]
    assert {"edit.safetensors", "metrics.json", "report.html"} <= {p.name for p in (tmp_path / "run").iterdir()}


@pytest.mark.parametrize("method", METHODS)
def test_no_method_is_tuned_alone(method: str) -> None:
    """Every baseline takes as many and as large steps as GUIDE, and shares its weights where it shares a loss."""
    def settings(name: str) -> dict:
        return resolve({"method.name": name, "generator.name": "stylegan2"}, registry()).table()

    mine, guide = settings(method), settings("guide")
    for key in ("steps", "learning_rate"):
        assert mine["method"][key] == guide["method"][key] != 1000
    for name in mine["loss"].keys() & guide["loss"].keys():
        assert mine["loss"][name] == guide["loss"][name]
