"""``unlearnkit new`` writes a plugin that installs, passes its own tests and runs; it overwrites nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


def test_what_it_writes_installs_and_passes_its_tests(cli: Cli, tmp_path: Path) -> None:
    done = cli("new", "left-ear")
    assert done.returncode == 0, done.stderr
    folder, site = tmp_path / "left-ear", tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    pip += ["--no-build-isolation", "--no-index", "--target", str(site), str(folder)]
    subprocess.run(pip, check=True, timeout=300, capture_output=True)

    environment = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    tested = subprocess.run(tests, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert tested.returncode == 0, tested.stdout
    assert " skipped" not in tested.stdout and "failed" not in tested.stdout

    listed = cli("plugins", paths=(site,))
    assert "left-ear  (unlearnkit-left-ear 0.1.0)" in listed.stdout and "left-ear-stranger" in listed.stdout
    # The command that it proposes, as far as its settings.
    (proposed,) = (line for line in done.stdout.splitlines() if "unlearnkit run" in line)
    import shlex

    dry = cli(*shlex.split(proposed)[1:], "--dry-run", paths=(site,))
    assert dry.returncode == 0, dry.stderr
    settings = tomllib.loads(dry.stdout)
    assert settings["target"]["name"] == "left-ear-stranger" and settings["loss"]["left-ear-look"]["colour"] == 1.0


def test_it_overwrites_nothing(cli: Cli, tmp_path: Path) -> None:
    kept = tmp_path / "mine" / "pyproject.toml"
    kept.parent.mkdir()
    kept.write_text("mine")
    done = cli("new", "mine")
    assert done.returncode == 2 and "is there already" in done.stderr and done.stderr.count("\n") == 1
    assert kept.read_text() == "mine" and list(kept.parent.iterdir()) == [kept]
    assert cli("new", "mine", "--out", "else/where").returncode == 0
    assert (tmp_path / "else" / "where" / "unlearnkit_mine" / "losses.py").is_file()


@pytest.mark.parametrize(("name", "words"), [
    ("Left Ear", "small letters"), ("../up", "small letters"), ("a--b", "small letters"),
    ("guide", "plugin 'guide'"),
])
def test_names_that_no_plugin_may_have(cli: Cli, tmp_path: Path, name: str, words: str) -> None:
    done = cli("new", name)
    assert done.returncode == 2 and words in done.stderr and not list(tmp_path.iterdir())


def test_it_imports_no_torch(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom unlearnkit.cli import main\n"
        "try:\n    main(['new', 'light'])\nexcept SystemExit as stop:\n    assert stop.code == 0, stop.code\n"
        "assert 'torch' not in sys.modules, 'torch was imported'"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
