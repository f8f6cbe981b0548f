"""`--align` and `--face` become settings; the bundled world's pictures stay as they are."""

from __future__ import annotations

import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

Cli = Callable[..., subprocess.CompletedProcess[str]]
RUN = ("run", "--method", "guide", "--generator", "stylegan2", "--dry-run")


@pytest.mark.parametrize(("arguments", "expected"), [
    ((), {"align": False}),
    (("--align", "no", "--face", "largest"), {"align": False, "face": "largest"}),
])
def test_options_become_settings(cli: Cli, arguments: tuple[str, ...], expected: dict[str, Any]) -> None:
    done = cli(*RUN, *arguments)
    assert done.returncode == 0, done.stderr
    request = tomllib.loads(done.stdout)["request"]
    assert {key: request.get(key) for key in ("align", "face") if key in request} == expected


@pytest.mark.parametrize(("arguments", "words"), [
    (("--align", "maybe"), "maybe"), (("--face", "0"), "largest or a number from 1"), (("--face", "me"), "'me'"),
])
def test_mistakes_are_one_line(cli: Cli, arguments: tuple[str, ...], words: str) -> None:
    done = cli(*RUN, *arguments)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1) and words in done.stderr


def test_a_picture_without_a_face(cli: Cli, tmp_path: Path) -> None:
    """A square one is left as it is under `auto`; any other must show a face."""
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(tmp_path / "square.png")
    Image.fromarray(np.zeros((64, 96, 3), np.uint8)).save(tmp_path / "wide.png")
    assert cli(*RUN, "--align", "auto", "--image", "square.png").returncode == 0
    for align, name in (("auto", "wide.png"), ("yes", "square.png")):
        done = cli(*RUN, "--align", align, "--image", name)
        assert done.returncode == 2 and f"{name}: shows no face" in done.stderr, done.stderr
