"""A plugin author's mypy sees real types: checked from outside the tree, against what an install leaves behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PARTS = ("unlearnkit", "plugins", "extensions", "pyproject.toml", "setup.py", "README.md", "LICENSE", "NOTICE")

PLUGIN = '''
import attrs
import unlearnkit
from torch import Tensor
from unlearnkit.config import option
from unlearnkit.engine import PairLoop
from unlearnkit.interfaces import Generator, Loss, Measures, Pairs, Rendering, Step


@attrs.define(eq=False)
class LeftEar(Loss):
    """A loss as an outside author writes it."""

    weight: float = option(1.0, ge=0, help="weight of the left ear")

    def pairs(self, step: Step) -> Pairs:
        reveal_type(step.erased)
        return step.pairs(step.erased, step.targets, constant=True)

    def terms(self, edited: Rendering, frozen: Rendering, measures: Measures) -> dict[str, Tensor]:
        return {"ear": measures.perceptual_distance(edited, frozen)}

    def weights(self) -> dict[str, float]:
        return {"ear": self.weight}


def look(generator: Generator) -> None:
    reveal_type(LeftEar().weight)
    reveal_type(LeftEar.pairs)
    reveal_type(generator.render(generator.w_avg[None]).image)
    reveal_type(PairLoop(steps=3).steps)
    reveal_type(unlearnkit.unlearn(method="guide").numbers)
'''

WRONG = '''
import attrs
from torch import Tensor
from unlearnkit.interfaces import Generator, Step, TargetSelector
from unlearnkit_left_ear import LeftEar


@attrs.define(eq=False)
class Wrong(TargetSelector):
    def select(self, erased: Tensor, generator: Generator, rng: int) -> Tensor:
        return erased


def misuse(step: Step) -> None:
    LeftEar(weight="heavy")
    step.erased_latents
'''


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``pip install`` copies: Python files and package data, without compiling the kernels."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    heavy = shutil.ignore_patterns("__pycache__", "*.safetensors", "*.png", "*.so")
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, source / part, ignore=heavy)
        else:
            shutil.copy(ROOT / part, source / part)
    command = [sys.executable, "setup.py", "--quiet", "build_py", "--build-lib", str(target)]
    subprocess.run(command, cwd=source, check=True, timeout=120, capture_output=True)
    return target


@pytest.fixture(scope="module")
def output(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What mypy says of a plugin, strictly, with nothing known of the tree."""
    folder = tmp_path_factory.mktemp("outside")
    for name, text in (("unlearnkit_left_ear", PLUGIN), ("wrong", WRONG)):
        (folder / f"{name}.py").write_text(text)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", os.devnull, "--cache-dir", str(folder / "c")]
    environment = {**os.environ, "PYTHONPATH": str(installed), "MYPYPATH": ""}
    done = subprocess.run([*command, "unlearnkit_left_ear.py", "wrong.py"], cwd=folder, env=environment,
                          capture_output=True, text=True, timeout=540)
    return done.stdout + done.stderr


def test_every_package_is_marked_as_typed(installed: Path) -> None:
    packages = [path for path in installed.iterdir() if (path / "__init__.py").is_file()]
    assert len(packages) >= 7
    assert [path.name for path in packages if not (path / "py.typed").is_file()] == []


@pytest.mark.slow
def test_types_reach_the_author(output: str) -> None:
    assert 'Revealed type is "float"' in output.replace("builtins.", ""), output
    assert output.count("torch._tensor.Tensor\"") >= 2, output
    assert "step: unlearnkit.interfaces.records.Step) -> unlearnkit.interfaces.records.Pairs" in output, output
    assert 'Revealed type is "dict[str, float | None]"' in output.replace("builtins.", ""), output
    assert 'Revealed type is "int"' in output.replace("builtins.", ""), output
    assert "unlearnkit_left_ear.py" not in "".join(line for line in output.splitlines() if ": error:" in line), output


@pytest.mark.slow
def test_mistakes_are_found(output: str) -> None:
    wrong = [line for line in output.splitlines() if line.startswith("wrong.py") and ": error:" in line]
    assert len(wrong) == 3, output
    for code in ("[override]", "[arg-type]", "[attr-defined]"):
        assert any(code in line for line in wrong), output
