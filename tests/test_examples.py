"""The examples are plugins as others write them: installed from outside the tree, short, true to their README."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
ROOT = Path(__file__).parents[1]
EXAMPLES = sorted(path for path in (ROOT / "examples").iterdir() if path.is_dir())
MOST_LINES = {"unlearnkit-blur": 79, "unlearnkit-dcgan": 230}
TINY = """
import torch
from unlearnkit_dcgan.generator import Network
torch.manual_seed(0)
torch.save({"netG_state_dict": Network([6, 16, 8, 8, 3]).state_dict()}, "tiny.pt")
"""
BUNDLED = ("--identity", "demo-identity", "--judge", "demo-judge", "--perceptual", "demo-trunk", "--set",
           "request.mixed_domains=true")
SHORT = {
    "unlearnkit-blur": ("--set", 'metrics.names=["blur"]'),
    "unlearnkit-dcgan": ("--set", 'metrics.names=["identity"]', "--set", "generator.checkpoint=tiny.pt", *BUNDLED),
}
"""What keeps a test of minutes and of downloads from it."""


def process(*command: str | Path, cwd: Path, **env: str) -> str:
    """Run a command that must succeed; returns what it prints."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **env}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module", params=EXAMPLES, ids=lambda path: path.name)
def example(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A copy of an example outside the tree, and the folder into which pip has installed it."""
    folder = tmp_path_factory.mktemp("examples")
    source, site = folder / request.param.name, folder / "site"
    shutil.copytree(request.param, source, ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info"))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    process(*pip, "--no-build-isolation", "--no-index", "--target", site, source, cwd=folder)
    return source, site


def commands(source: Path) -> list[str]:
    """The commands that the README names."""
    lines = (source / "README.md").read_text().splitlines()
    return [line for line in lines if line.startswith("unlearnkit run ")]


def short(source: Path, site: Path, folder: Path) -> tuple[str, ...]:
    """Settings for a command of this example; makes the file that they name, in place of one that is downloaded."""
    if source.name == "unlearnkit-dcgan":
        process(sys.executable, "-c", TINY, cwd=folder, PYTHONPATH=str(site))
    return SHORT[source.name]


def test_it_is_short_and_says_how_short(example: tuple[Path, Path]) -> None:
    source, _ = example
    lines = sum(len(path.read_text().splitlines()) for path in source.rglob("*.py") if "build" not in path.parts)
    assert lines <= MOST_LINES[source.name]
    assert re.search(rf"\b{lines} lines of Python\b", (source / "README.md").read_text()), f"it has {lines} lines"


@pytest.mark.slow
def test_its_own_tests_pass(example: tuple[Path, Path]) -> None:
    source, site = example
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    assert " skipped" not in process(*tests, cwd=source, PYTHONPATH=str(site))


def test_the_linter_finds_nothing(example: tuple[Path, Path]) -> None:
    source, _ = example
    for rules in ([], ["--config", ROOT / "pyproject.toml"]):
        process("ruff", "check", "--no-cache", *rules, ".", cwd=source)


@pytest.mark.slow
def test_the_type_checker_finds_nothing(example: tuple[Path, Path], tmp_path: Path) -> None:
    source, _ = example
    process(sys.executable, "-m", "mypy", "--strict", "--follow-imports", "silent", "--cache-dir", tmp_path,
            *source.glob("unlearnkit_*/*.py"), "tests", cwd=source, MYPYPATH=str(ROOT))


def test_the_commands_of_its_readme_have_sound_settings(example: tuple[Path, Path], cli: Cli, tmp_path: Path) -> None:
    source, site = example
    assert commands(source)
    for line in commands(source):
        done = cli(*shlex.split(line)[1:], *short(source, site, tmp_path), "--dry-run", paths=(site,))
        assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_first_command_of_its_readme_runs(example: tuple[Path, Path], cli: Cli, tmp_path: Path) -> None:
    source, site = example
    quick = ("--steps", "3", "--out", "run", "--latent-seed", "1", "--set", "request.bystanders=[]", "--set",
             "request.random_bystanders=1", "--set", "metrics.samples=2")
    arguments = re.sub(r" --steps \d+| --latent-seed \d+| --set '?metrics.names=\S+ ?\S*", "", commands(source)[0])
    done = cli(*shlex.split(arguments)[1:], *quick, *short(source, site, tmp_path), paths=(site,))
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert found["erased_after"] < 1 if source.name == "unlearnkit-dcgan" else found["blur_detail_left"] < 1


@pytest.mark.slow
def test_a_generator_without_w_is_edited_written_and_attacked(
    example: tuple[Path, Path], cli: Cli, tmp_path: Path
) -> None:
    source, site = example
    if source.name != "unlearnkit-dcgan":
        pytest.skip("an example of something else")
    settings = [*short(source, site, tmp_path), "--latent-seed", "1", "--set", "metrics.samples=2", "--set",
                "request.random_bystanders=1"]

    def run(method: str, *more: str) -> subprocess.CompletedProcess[str]:
        return cli("run", "--generator", "dcgan", "--method", method, "--out", method, *settings, *more, paths=(site,))

    def succeeds(done: subprocess.CompletedProcess[str]) -> str:
        assert done.returncode == 0, done.stderr
        return done.stdout

    # What the plugin offers for targets fits other targets than UFO, or is dropped.
    succeeds(run("sugar", "--steps", "1", "--set", "target.epochs=1"))
    succeeds(run("average-target", "--steps", "1"))
    succeeds(run("legato", "--steps", "1", "--set", "method.hidden=4"))
    succeeds(cli("apply", "average-target/edit.safetensors", "--base", "tiny.pt", "--out", "new.pt", paths=(site,)))
    succeeds(cli("convert", "--generator", "dcgan", "new.pt", "new.safetensors", paths=(site,)))
    for file in ("new.pt", "new.safetensors"):
        succeeds(cli("sample", "--generator", "dcgan", "--checkpoint", file, "--out", f"{file}.png", paths=(site,)))
    assert (tmp_path / "new.pt.png").read_bytes() == (tmp_path / "new.safetensors.png").read_bytes()
    attacks = ("--attack", "read-difference", "--attack", "reinversion-bounded")
    assert "has no style layers" in succeeds(cli("audit", "--quick", "average-target", *attacks, paths=(site,)))
    for refused, words in ((run("closed-form"), "error: Dcgan has no style layers to edit; choose a method"),
                           (cli("convert", "--generator", "dcgan", "new.pt", "other.pt", paths=(site,)),
                            "Dcgan knows no names of rosinality; choose a name that ends in .safetensors")):
        assert refused.returncode == 2 and words in refused.stderr
