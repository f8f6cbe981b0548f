"""Shell completion as the shells ask for it: a process with the words in its environment."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

import unlearnkit.cli
from unlearnkit.cli.common import ComponentName
from unlearnkit.plugins.registration import KINDS

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def complete(cli: Cli, outside_path: Path) -> Callable[..., list[str]]:
    """What bash offers for the last of some words."""

    def ask(*words: str, **env: str) -> list[str]:
        words = ("unlearnkit", *words)
        asked = {"_UNLEARNKIT_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(words), **env}
        done = cli(paths=(outside_path,), COMP_CWORD=str(len(words) - 1), **asked)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        return [line.partition(",")[2] for line in done.stdout.split()]

    return ask


@pytest.mark.parametrize(("words", "expected"), [
    (("sh",), "show"),
    (("run", "--method", "outside-n"), "outside-nudge"),
    (("run", "--generator", "outside-t"), "outside-toy"),
    (("run", "--target", "outside-s"), "outside-shift"),
    (("run", "--identity", "demo-id"), "demo-identity"),
    (("run", "--judge", "demo-j"), "demo-judge"),
    (("run", "--perceptual", "demo-t"), "demo-trunk"),
    (("run", "--inverter", "e4"), "e4e"),
    (("run", "--generator=outside-t",), "outside-toy"),
    (("run", "--device", "cu"), "cuda"),
    (("sample", "--generator", "outside-t"), "outside-toy"),
    (("invert", "me.png", "--inverter", "e4"), "e4e"),
    (("audit", "runs/mine", "--attack", "ran"), "random-search"),
    (("show", "targ"), "target"),
    (("show", "loss", "outside-p"), "outside-pixels"),
    (("completion", "f"), "fish"),
], ids=lambda value: " ".join(value) if isinstance(value, tuple) else value)
def test_the_only_name_that_begins_so(
    complete: Callable[..., list[str]], words: tuple[str, ...], expected: str
) -> None:
    assert complete(*words) == [expected]


def test_names_are_of_the_kind_that_is_asked_for(complete: Callable[..., list[str]]) -> None:
    names = complete("run", "--generator", "")
    assert {"outside-toy", "stylegan2"} <= set(names) and "outside-nudge" not in names
    assert complete("show", "nonsense", "") == []


def test_every_option_that_names_a_component_completes() -> None:
    context = click.Context(unlearnkit.cli.cli)
    for name in unlearnkit.cli._COMMANDS:
        command = unlearnkit.cli.cli.get_command(context, name)
        assert command is not None
        for option in command.params:
            if option.opts[0].removeprefix("--") in (*KINDS, "judge"):
                assert isinstance(option.type, ComponentName), f"{name} {option.opts[0]} does not complete"


def test_nothing_but_names_reaches_the_shell(cli: Cli, noisy_path: Path) -> None:
    words = "unlearnkit audit runs --attack no"
    asked = {"_UNLEARNKIT_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": "4"}
    assert cli(paths=(noisy_path,), **asked).stdout == "plain,noisy\n"


def test_a_broken_plugin_does_not_disturb_the_shell(cli: Cli, broken_path: Path) -> None:
    asked = {"_UNLEARNKIT_COMPLETE": "bash_complete", "COMP_WORDS": "unlearnkit show method gui", "COMP_CWORD": "3"}
    assert "plain,guide\n" in cli(paths=(broken_path,), **asked).stdout
    done = cli(paths=(broken_path,), UNLEARNKIT_STRICT_PLUGINS="1", **asked)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")


def test_completion_imports_no_torch(outside_path: Path) -> None:
    program = (
        "import sys\nfrom unlearnkit.cli import main\n"
        "try:\n    main([])\nexcept SystemExit as stop:\n    assert stop.code == 0, stop.code\n"
        "assert 'torch' not in sys.modules, 'torch was imported'"
    )
    asked = {"_UNLEARNKIT_COMPLETE": "zsh_complete", "COMP_WORDS": "unlearnkit run --method ", "COMP_CWORD": "3"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=asked)
    assert done.returncode == 0, done.stderr
    assert "guide\nGUIDE as described in its paper" in done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_asks_the_command(cli: Cli, shell: str) -> None:
    done = cli("completion", shell)
    assert done.returncode == 0, done.stderr
    assert f"_UNLEARNKIT_COMPLETE={shell}_complete" in done.stdout


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_bash_itself_completes(cli: Cli, tmp_path: Path) -> None:
    script = cli("completion", "bash").stdout
    command = tmp_path / "unlearnkit"
    command.write_text(f"#!/bin/sh\nexec {sys.executable} -m unlearnkit \"$@\"\n")
    command.chmod(0o755)
    question = "COMP_WORDS=(unlearnkit show method gui); COMP_CWORD=3; _unlearnkit_completion ./unlearnkit\n"
    done = subprocess.run(
        ["bash", "--norc", "-c", f"{script}\n{question}echo \"${{COMPREPLY[@]}}\""],
        capture_output=True, text=True, cwd=tmp_path, timeout=60,
    )
    assert done.stdout == "guide guide-released\n", done.stderr
