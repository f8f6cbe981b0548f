"""Ctrl-C in each phase: exit code 130, one line that says what is kept and how to go on, and that this is true."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from unlearnkit_demo import PICTURES

SMALL = ("--set", "metrics.names=[\"preservation\"]", "--set", "request.random_bystanders=0", "--set",
         "request.bystanders=[]", "--set", "method.samples=50")
RUN = ("run", "--method", "closed-form", "--generator", "stylegan2", "--out", "run", *SMALL)
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200", "PYTHONUNBUFFERED": "1"}


def interrupted(folder: Path, arguments: tuple[str, ...], at: str) -> subprocess.CompletedProcess[str]:
    """Run the command and send SIGINT once it has printed ``at``."""
    command = [sys.executable, "-m", "unlearnkit", *arguments]
    with subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if at in line:
                process.send_signal(signal.SIGINT)
                break
        rest = process.stdout.read()
        code = process.wait(timeout=120)
    assert "Traceback" not in rest, rest
    return subprocess.CompletedProcess(command, code, "".join(lines) + rest, "")


def status(folder: Path) -> str:
    return str(json.loads((folder / "run" / "manifest.json").read_text())["status"])


def test_while_networks_load(tmp_path: Path) -> None:
    done = interrupted(tmp_path, (*RUN, "--latent-seed", "1"), "loading networks")
    assert done.returncode == 130 and not (tmp_path / "run").exists()
    assert done.stdout.splitlines()[-1] == "interrupted before the run had a folder; nothing was written"


@pytest.mark.parametrize(("at", "more"), [
    ("finding the latents", ("--image", str(PICTURES / "person_00_0.png"), "--set", "inverter.refine_steps=4000")),
    ("measuring", ("--latent-seed", "1", "--set", "metrics.samples=4000")),
])
def test_a_run_goes_on_where_it_was(tmp_path: Path, at: str, more: tuple[str, ...]) -> None:
    done = interrupted(tmp_path, (*RUN, *more), at)
    assert done.returncode == 130 and status(tmp_path) == "interrupted"
    last = done.stdout.splitlines()[-1]
    assert last.endswith(f"continue with: unlearnkit run --resume {tmp_path / 'run'}") or \
        last.endswith("continue with: unlearnkit run --resume run")
    again = interrupted(tmp_path, ("run", "--resume", "run"), at)
    assert again.returncode == 130 and status(tmp_path) == "interrupted", "it went on, to the same place"


def test_invert_and_sample_write_nothing(tmp_path: Path) -> None:
    invert = ("invert", str(PICTURES / "person_00_0.png"), "--generator", "stylegan2", "--out", "w.safetensors",
              "--set", "inverter.refine_steps=4000")
    sample = ("sample", "--generator", "stylegan2", "--count", "5000", "--out", "faces.png")
    for arguments, at in ((invert, "finding the latent"), (sample, "drawing")):
        done = interrupted(tmp_path, arguments, at)
        assert done.returncode == 130 and list(tmp_path.iterdir()) == []
        assert done.stdout.splitlines()[-1] == "interrupted; nothing was written, the same command begins again"


def test_an_audit_leaves_the_run_as_it_was(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "unlearnkit", *RUN, "--latent-seed", "1", "--set", "metrics.samples=4"]
    made = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    done = interrupted(tmp_path, ("audit", "run", "--attack", "reinversion-w"), "reinversion-w")
    assert done.returncode == 130
    assert done.stdout.splitlines()[-1] == "interrupted; nothing was written, the same command begins again"
    after = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert {path.name for path in after} - {path.name for path in before} <= {".lock"}
    assert all(after[path] == data for path, data in before.items() if path.name != ".lock")
