"""``pytest benchmarks/`` tests the unlearnkit that is installed, says what it will do, and ends in a table."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import unlearnkit
from unlearnkit.results import read_results

ROOT = Path(__file__).parents[2]
TINY = ("--methods", "closed-form", "--scenarios", "random", "--identities", "1", "--steps", "1", "--samples", "4")


def pytest_process(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """``python -m pytest`` in a checkout, which puts the checkout on the path."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": ""}
    environment.pop("PYTEST_XDIST_WORKER", None)
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=400)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose own unlearnkit must not be imported."""
    ignored = shutil.ignore_patterns("__pycache__", "results")
    shutil.copytree(ROOT / "benchmarks", tmp_path / "benchmarks", ignore=ignored)
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'unlearnkit'\n")
    (tmp_path / "unlearnkit").mkdir()
    (tmp_path / "unlearnkit" / "__init__.py").write_text("raise RuntimeError('the checkout was imported')\n")
    return tmp_path


def test_a_checkout_does_not_shadow_what_is_installed(checkout: Path) -> None:
    done = pytest_process(checkout, "benchmarks/", "--collect-only", *TINY)
    assert done.returncode == 0 and "the checkout was imported" not in done.stdout, done.stdout + done.stderr
    assert f"unlearnkit: {Path(unlearnkit.__file__).parent}" in done.stdout
    assert "bench: 1 case: 1 method, 1 person (stylegan2 random); 1 case to do: about" in done.stdout
    assert "bench: results go to runs/bench/quick-" in done.stdout and not (checkout / "runs").exists()


def test_where_the_checkout_is_loaded_already_it_refuses(checkout: Path) -> None:
    (checkout / "unlearnkit" / "__init__.py").write_text("")
    done = pytest_process(checkout, "-p", "unlearnkit", "benchmarks/", "--collect-only")
    assert done.returncode != 0 and "not the unlearnkit that is installed" in done.stderr, done.stdout + done.stderr


def test_mistakes_are_one_line() -> None:
    done = pytest_process(ROOT, "benchmarks/", "--collect-only", "--scenarios", "nowhere")
    assert done.returncode == 4 and done.stderr.strip().startswith("ERROR: scenarios: got 'nowhere'"), done.stderr


@pytest.mark.slow
def test_one_case_as_a_process(tmp_path: Path) -> None:
    arguments = ("benchmarks/", *TINY, "--results", str(tmp_path / "results"),
                 "--benchmark-json", str(tmp_path / "time.json"))
    done = pytest_process(ROOT, *arguments)
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout + done.stderr
    assert "stylegan2, random" in done.stdout and "Times are from" in done.stdout
    assert f"results: {tmp_path}/results" in done.stdout and "next: unlearnkit compare" in done.stdout
    (found,) = read_results([tmp_path / "results"])
    made = found.result
    assert made.error is None and made.budget.steps == 1
    assert made.metrics["erased_before"] == pytest.approx(1) and len(made.embedding or ()) > 1
    assert made.peak_bytes is not None and made.peak_bytes > 2**26
    assert {role for role in made.pictures if found.picture(role) is not None} == {"before", "target", "after"}
    (timed,) = json.loads((tmp_path / "time.json").read_bytes())["benchmarks"]
    assert timed["extra_info"]["peak_bytes"] == made.peak_bytes and 0 <= timed["extra_info"]["erasure"] <= 1
    assert timed["extra_info"]["instructions"] == made.hardware.instructions
    assert timed["stats"]["rounds"] == 1 and timed["stats"]["mean"] == pytest.approx(made.seconds["unlearn"], abs=0.5)
    again = pytest_process(ROOT, *arguments)
    assert again.returncode == 0 and "1 done before, nothing to do" in again.stdout and "1 skipped" not in again.stderr
