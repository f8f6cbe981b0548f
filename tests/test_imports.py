"""Who may import whom: the contracts of import-linter in pyproject.toml, and that they would notice."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """The contracts, held against the packages in ``folder``."""
    paths = [folder, *sorted((folder / "plugins").iterdir())]
    code = f"import sys; sys.path[:0] = {[str(path) for path in paths]}\n" \
           "from importlinter.cli import lint_imports_command as main\nmain(['--no-cache', '--no-logo'])"
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=120)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The Python files of the tree."""
    for part in ("unlearnkit", "plugins"):
        kept = shutil.ignore_patterns("__pycache__", "*.safetensors", "*.png", "*.so")
        shutil.copytree(ROOT / part, tmp_path / part, ignore=kept)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_dependencies_point_inwards() -> None:
    done = lint_imports(ROOT)
    assert done.returncode == 0 and "0 broken" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize(("file", "line", "broken"), [
    ("engine/loop.py", "from unlearnkit.workflows import run", "Dependencies point inwards"),
    ("report/page.py", "import unlearnkit_guide", "The core knows no plugin"),
    ("checkpoints/records.py", "from unlearnkit.checkpoints import reading", "No two modules need each other"),
])
def test_an_arrow_the_wrong_way_is_noticed(copy: Path, file: str, line: str, broken: str) -> None:
    with (copy / "unlearnkit" / file).open("a", encoding="utf-8") as stream:
        stream.write(f"\n{line}\n")
    done = lint_imports(copy)
    assert done.returncode == 1 and f"{broken} BROKEN" in done.stdout, done.stdout + done.stderr
