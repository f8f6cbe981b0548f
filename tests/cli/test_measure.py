"""``unlearnkit measure`` as a process: runs and checkpoints judged again, and nothing overwritten."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from unlearnkit_demo import PICTURES

Cli = Callable[..., "subprocess.CompletedProcess[str]"]

RUN = ("run", "--method", "closed-form", "--generator", "stylegan2", "--latent-seed", "3", "--set", "method.samples=50",
       "--set", "metrics.samples=4", "--set", "metrics.names=[\"identity\"]", "--set", "request.bystanders=[]",
       "--set", "request.random_bystanders=2")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One finished run for all tests here."""
    import sys

    folder = tmp_path_factory.mktemp("measure")
    command = [sys.executable, "-m", "unlearnkit", *RUN, "--out", str(folder / "run")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr
    last = done.stdout.splitlines()[-1]
    assert last.startswith(f"next: unlearnkit audit --quick {folder / 'run'}")
    return folder


def test_the_same_judge_gives_the_same_numbers(cli: Cli, made: Path) -> None:
    before = {path: path.read_bytes() for path in (made / "run").rglob("*") if path.is_file()}
    done = cli("measure", made / "run", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["metrics"] == json.loads((made / "run" / "metrics.json").read_text())
    assert json.loads((made / "run" / "measured.json").read_text())["verdict"] == found["verdict"]
    assert all(path.read_bytes() == data for path, data in before.items() if path.name != ".lock")
    again = cli("measure", made / "run", "--set", "metrics.names=[\"preservation\"]")
    assert again.returncode == 0 and (made / "run" / "measured-2.json").exists(), again.stderr
    assert again.stdout.splitlines()[-1].startswith("next: unlearnkit audit")


def test_more_bystanders(cli: Cli, made: Path, tmp_path: Path) -> None:
    picture = PICTURES / "person_09_0.png"
    out = tmp_path / "more.json"
    done = cli("measure", made / "run", "--bystander", picture, "--set", "inverter.refine_steps=1", "--out", out)
    assert done.returncode == 0, done.stderr
    assert json.loads(out.read_text())["metrics"]["n_bystanders"] == 3
    refused = cli("measure", made / "run", "--image", picture, "--set", "inverter.refine_steps=1")
    assert refused.returncode == 2 and "latent without a picture" in refused.stderr


def test_what_the_run_fixed_stays(cli: Cli, made: Path) -> None:
    done = cli("measure", made / "run", "--set", "request.latent_seed=5")
    assert done.returncode == 2 and "the run fixed this" in done.stderr
    swapped = made / "swapped"
    subprocess.run(["cp", "-r", made / "run", swapped], check=True)
    (swapped / "edit.safetensors").write_bytes((swapped / "latents.safetensors").read_bytes())
    assert "is not the file that this run wrote" in cli("measure", swapped).stderr


def test_a_checkpoint_beside_its_original(cli: Cli, made: Path, tmp_path: Path) -> None:
    base = json.loads((made / "run" / "manifest.json").read_text())["base"]["path"]
    edited = tmp_path / "edited.safetensors"
    applied = cli("apply", made / "run" / "edit.safetensors", "--base", base, "--out", edited)
    assert applied.returncode == 0 and applied.stdout.splitlines()[-1].startswith("next: unlearnkit sample"), applied
    options = ("--generator", "stylegan2", *RUN[5:7], *RUN[9:])
    done = cli("measure", edited, *options, "--json")
    assert done.returncode == 0, done.stderr
    run = json.loads((made / "run" / "metrics.json").read_text())
    found = json.loads(done.stdout)["metrics"]
    assert found["erased_after"] == pytest.approx(run["erased_after"], abs=1e-5)
    assert found["bystanders_change"] == pytest.approx(run["bystanders_change"], abs=1e-5)
    same = cli("measure", base, *options)
    assert same.returncode == 2 and "the same weights" in same.stderr


def test_a_person_is_a_folder(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "Jane, 2024"
    folder.mkdir()
    for number in (1, 0):
        (folder / f"{number}.png").write_bytes((PICTURES / f"person_07_{number}.png").read_bytes())
    (folder / "notes.txt").write_text("no picture")
    done = cli("run", "--method", "guide", "--generator", "stylegan2", "--person", f"Jane={folder}", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert f'"{folder}/0.png",' in done.stdout and done.stdout.index("/0.png") < done.stdout.index("/1.png")
