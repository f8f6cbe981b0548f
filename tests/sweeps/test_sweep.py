"""A sweep as a process: it is done, nothing is done twice, what was interrupted goes on, failures have names."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

Cli = Callable[..., "subprocess.CompletedProcess[str]"]

SWEEP = """
methods = ["outside-nudge"]
generators = ["outside-toy"]
seeds = [0, 1]

[common]
identity = { name = "demo-identity" }
judge = { name = "demo-judge" }
perceptual = { name = "demo-trunk" }
metrics = { names = ["preservation"], samples = 2 }
request = { latent_seed = 1, random_bystanders = 1, mixed_domains = true }

[launcher]
workers = 1
"""
OUT = Path("runs/sweeps/sweep")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, outside_path: Path) -> tuple[Path, str]:
    """A folder in which the sweep was done, and what it said."""
    folder = tmp_path_factory.mktemp("sweep")
    (folder / "sweep.toml").write_text(SWEEP)
    return folder, start(folder, outside_path).stdout


def start(folder: Path, plugin: Path, *options: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(plugin), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    command = [sys.executable, "-m", "unlearnkit", "sweep", "sweep.toml", *options]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


def runs(folder: Path) -> list[Path]:
    return sorted((folder / OUT / "runs").iterdir())


def again(done: tuple[Path, str], tmp_path: Path) -> Path:
    """A copy of what was done, in the same place as seen from inside."""
    return Path(shutil.copytree(done[0], tmp_path / "copy"))


@pytest.mark.slow
def test_every_job_is_a_run_and_the_comparison_ends_it(done: tuple[Path, str]) -> None:
    folder, said = done
    assert len(runs(folder)) == 2 and all((run / "report.html").is_file() for run in runs(folder))
    assert "2 jobs (local): 2 to do" in said and "1/2 outside-nudge.outside-toy.person.0." in said
    assert "left" in said and "outside-toy, runs, means over" in said
    assert f"next: unlearnkit compare {folder / OUT} --html" in said
    assert (folder / OUT).stat().st_mode & 0o777 == 0o700


@pytest.mark.slow
def test_a_second_start_repeats_nothing(done: tuple[Path, str], outside_path: Path) -> None:
    folder, _ = done
    before = {path: path.stat().st_mtime_ns for path in (folder / OUT).rglob("*")}
    second = start(folder, outside_path)
    assert second.returncode == 0 and "2 finished before, nothing to do" in second.stdout
    assert {path: path.stat().st_mtime_ns for path in (folder / OUT).rglob("*")} == before
    listed = start(folder, outside_path, "--dry-run")
    assert listed.stdout.count("finished outside-nudge") == 2


@pytest.mark.slow
def test_what_was_killed_at_its_beginning_is_done_and_a_failure_has_its_name(
    done: tuple[Path, str], outside_path: Path, tmp_path: Path
) -> None:
    folder = again(done, tmp_path)
    first, second = runs(folder)
    edit = (first / "edit.safetensors").read_bytes()
    for name in ("manifest.json", "report.html", "edit.safetensors"):
        (first / name).unlink()
    (second / "report.html").unlink()
    (second / "manifest.json").write_text("[]")
    ended = start(folder, outside_path)
    assert ended.returncode == 2 and (first / "edit.safetensors").read_bytes() == edit
    assert "1 of 2 jobs failed, the others are finished" in ended.stderr and f"{second.name}: " in ended.stderr
    assert "Traceback" not in ended.stderr and "outside-toy, runs, means over" in ended.stdout, "the rest is compared"


@pytest.mark.slow
def test_a_second_start_at_once_is_kept_apart(done: tuple[Path, str], outside_path: Path, tmp_path: Path) -> None:
    folder = again(done, tmp_path)
    (runs(folder)[0] / "report.html").unlink()
    with FileLock(folder / OUT / ".lock"):
        (folder / OUT / ".lock").write_text("pid 12")
        ended = start(folder, outside_path)
    assert ended.returncode == 2 and "another process (pid 12) is at the sweep" in ended.stderr


@pytest.mark.slow
def test_an_interrupted_sweep_goes_on(outside_path: Path, tmp_path: Path, done: tuple[Path, str]) -> None:
    (tmp_path / "sweep.toml").write_text(SWEEP)
    environment = os.environ | {"PYTHONPATH": str(outside_path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "unlearnkit", "sweep", "sweep.toml"]
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True)
    while not list((tmp_path / OUT).glob("logs/*")) and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and "the same command goes on" in said and "Traceback" not in said
    assert start(tmp_path, outside_path).returncode == 0
    for mine, theirs in zip(runs(tmp_path), runs(done[0]), strict=True):
        assert json.loads((mine / "manifest.json").read_bytes())["status"] == "finished"
        assert (mine / "edit.safetensors").read_bytes() == (theirs / "edit.safetensors").read_bytes()
