"""What is no Python file is installed too, and every plugin in the tree is declared."""

from __future__ import annotations

import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = [ROOT / "unlearnkit", *sorted(ROOT.glob("plugins/*/unlearnkit_*"))]


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_every_file_of_a_package_is_installed(package: Path) -> None:
    data = PROJECT["tool"]["setuptools"]["package-data"]
    patterns = [*data["*"], *data.get(package.name, [])]
    for path in package.rglob("*"):
        name = path.relative_to(package).as_posix()
        if path.is_file() and path.suffix not in (".py", ".pyc", ".so"):
            assert any(fnmatch(name, pattern) for pattern in patterns), f"pyproject's package-data leaves out {name}"


def test_every_plugin_is_found_by_the_build_and_the_type_checker() -> None:
    for package in PACKAGES[1:]:
        folder = package.parent.relative_to(ROOT).as_posix()
        assert folder in PROJECT["tool"]["setuptools"]["packages"]["find"]["where"]
        assert folder in PROJECT["tool"]["mypy"]["mypy_path"]
