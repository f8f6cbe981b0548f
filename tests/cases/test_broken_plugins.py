"""Installed plugins that misbehave, with the command as a process: nobody else is harmed."""

from __future__ import annotations

import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
PANIC = "class Panic(BaseException):\n    pass\n\nraise Panic('call failed')\n"  # as extensions in other languages do
SKIP = "import pytest\npytest.importorskip('no_such_package')\n"
TWIN = ("from unlearnkit.plugins import hookimpl\n@hookimpl\ndef unlearnkit_register_methods(register):\n"
        "    register('ewc', 'twin:Thing', 'another')\n    register('mine', 'twin:Thing', 'my own')\n")


def plugin(folder: Path, name: str, code: str) -> Path:
    """An installed distribution with one entry point, without pip."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[unlearnkit]\n{name} = {name}\n")
    (folder / f"{name}.py").write_text(code)
    return folder


@pytest.mark.parametrize("words", ["plugins", "doctor", "show method"])
@pytest.mark.parametrize("code", [PANIC, SKIP], ids=["panic", "importorskip"])
def test_a_plugin_that_raises_no_exception_is_kept_aside(tmp_path: Path, cli: Cli, code: str, words: str) -> None:
    done = cli(*words.split(), paths=(plugin(tmp_path / "site", "hurt", code),))
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr[-300:]
    assert words != "plugins" or "hurt  (hurt 1.0) [broken]" in done.stdout


def test_a_plugin_that_prints_does_not_spoil_the_settings(tmp_path: Path, cli: Cli) -> None:
    loud = plugin(tmp_path / "site", "loud", "print('*** licensed to you ***')\n")
    done = cli("run", "--method", "guide", "--generator", "stylegan2", "--dry-run", paths=(loud,))
    assert tomllib.loads(done.stdout)["method"]["name"] == "guide"
    done = cli("show", "method", paths=(loud,))
    assert "licensed" in done.stderr and "licensed" not in done.stdout


def test_a_bundled_name_that_is_claimed_again_stays_what_it_is(tmp_path: Path, cli: Cli) -> None:
    twin = plugin(tmp_path / "site", "twin", TWIN)
    done = cli("show", "method", paths=(twin,))
    assert done.returncode == 0 and "guide" in done.stdout and "my own" in done.stdout, done.stderr
    done = cli("show", "method", "ewc", paths=(twin,))
    assert done.returncode == 0 and "baselines" in done.stdout, done.stderr
    done = cli("plugins", paths=(twin,))
    assert "method 'ewc' of plugin 'twin' (twin 1.0) is not used" in done.stdout
