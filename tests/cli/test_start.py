"""The command starts fast, helps, and keeps bad plugins at a distance."""

from __future__ import annotations

import resource
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from unlearnkit.cli import _COMMANDS

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


def test_help_is_fast() -> None:
    """Time of the processor, not of the clock: other work on this computer is not the command's fault."""
    import sys

    def used() -> float:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return children.ru_utime + children.ru_stime

    def once() -> float:
        before = used()
        program = "from unlearnkit.cli import main; main(['--help'])"
        subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
        return used() - before

    once()  # compiles .pyc files
    assert min(once() for _ in range(3)) < 0.5


@pytest.mark.parametrize("arguments", [["--help"], ["plugins"], ["run", "--help"], ["show", "method"]])
def test_imports_no_torch(arguments: list[str]) -> None:
    import sys

    program = (
        "import sys\nfrom unlearnkit.cli import main\n"
        f"try:\n    main({arguments!r})\nexcept SystemExit as stop:\n    assert stop.code == 0, stop.code\n"
        "assert 'torch' not in sys.modules, 'torch was imported'"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", _COMMANDS)
def test_every_command_has_help(cli: Cli, command: str) -> None:
    done = cli(command, "--help")
    assert done.returncode == 0 and "Usage: unlearnkit" in done.stdout and "--debug" in done.stdout


def test_no_command_shows_help(cli: Cli) -> None:
    done = cli()
    assert done.returncode == 0 and "forget a person" in done.stdout


def test_outside_plugin_is_listed_and_shown(cli: Cli, outside_path: Path) -> None:
    listed = cli("plugins", paths=(outside_path,))
    assert "outside  (unlearnkit-outside 1.2.3)" in listed.stdout and "outside-shift" in listed.stdout
    shown = cli("show", "target", "outside-shift", paths=(outside_path,))
    assert shown.returncode == 0, shown.stderr
    for word in ("distance", "latent units", "> 0", "how far to move", "up, down"):
        assert word in shown.stdout


def test_broken_plugin_is_reported_and_harmless(cli: Cli, outside_path: Path, broken_path: Path) -> None:
    both = (outside_path, broken_path)
    listed = cli("plugins", paths=both)
    assert listed.returncode == 0 and "broken  (unlearnkit-broken 0.0.1) [broken]" in listed.stdout
    assert "ImportError: this plugin is broken on purpose" in listed.stdout
    assert "outside-shift" in listed.stdout
    strict = cli("plugins", paths=both, UNLEARNKIT_STRICT_PLUGINS="1")
    assert strict.returncode == 2 and "unlearnkit-broken" in strict.stderr and strict.stderr.count("\n") == 1
    off = cli("plugins", paths=both, UNLEARNKIT_DISABLE_PLUGINS="broken")
    assert "[disabled]" in off.stdout and "on purpose" not in off.stdout


def test_a_disabled_plugin_is_missed_by_name(cli: Cli, outside_path: Path) -> None:
    done = cli("run", "--method", "outside-nudge", "--generator", "stylegan2", "--dry-run",
               paths=(outside_path,), UNLEARNKIT_DISABLE_PLUGINS="outside")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "no method 'outside-nudge'" in done.stderr and "Not loaded: outside" in done.stderr


def test_configured_with_set(cli: Cli, outside_path: Path) -> None:
    import tomllib

    done = cli(
        "run", "--method", "outside-nudge", "--generator", "outside-toy", "--latent-seed", "3",
        "--steps", "2", "--set", "target.direction=down", "--set", "metrics.names=[]", "--identity", "demo-identity",
        "--judge", "demo-judge", "--perceptual", "demo-trunk", "--dry-run", paths=(outside_path,),
    )
    assert done.returncode == 0, done.stderr
    settings = tomllib.loads(done.stdout)
    assert settings["target"] == {"name": "outside-shift", "distance": 2.5, "direction": "down"}
    assert settings["method"]["steps"] == 2 and settings["request"]["latent_seed"] == 3


def test_doctor(cli: Cli, broken_path: Path) -> None:
    done = cli("doctor", paths=(broken_path,))
    assert done.returncode == 0, done.stderr
    for word in ("python", "torch", "CUDA", "native kernels", "lpips-vgg", "MTCNN", "BROKEN", "folder"):
        assert word in done.stdout


def test_python_m_is_the_command(cli: Cli, tmp_path: Path) -> None:
    import sys

    def module(*arguments: str) -> tuple[int, str, str]:
        command = [sys.executable, "-m", "unlearnkit", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        return done.returncode, done.stdout, done.stderr

    code, out, err = module("run", "--help")
    assert (code, err) == (0, "") and out.startswith("Usage: unlearnkit run [OPTIONS]")
    wrong = cli("show", "nonsense")
    assert module("show", "nonsense") == (wrong.returncode, wrong.stdout, wrong.stderr) and wrong.returncode == 2
