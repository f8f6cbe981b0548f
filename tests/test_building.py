"""Building the native kernels: into a folder of one's own, without a compiler, and by ``pip`` with one and without."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from unlearnkit import building
from unlearnkit.errors import BuildError

ROOT = Path(__file__).parents[1]
needs_compiler = pytest.mark.skipif(building.compiler("cpu") is None, reason="no C++ compiler")


@needs_compiler
def test_built_once_and_whole(tmp_path: Path) -> None:
    made = building.build("cpu", tmp_path)
    assert made.name == building.library_name("cpu") and made.stat().st_size > 50_000
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([".build.lock", made.name])  # nothing left over
    first = made.stat().st_mtime_ns
    assert building.build("cpu", tmp_path) == made and made.stat().st_mtime_ns == first


def test_without_a_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(BuildError, match=r"no compiler for the cpu kernels was found; install g\+\+"):
        building.build("cpu", tmp_path)
    monkeypatch.setenv("NVCC", "nowhere")
    with pytest.raises(BuildError, match="install nvcc, or set NVCC"):
        building.build("cuda", tmp_path)
    with pytest.raises(BuildError, match="got device 'tpu', expected one of cpu, cuda"):
        building.build("tpu", tmp_path)


@needs_compiler
def test_a_compiler_that_fails_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    liar = tmp_path / "liar"
    liar.write_text("#!/bin/sh\necho 'kernels.cpp: no space left' >&2\nexit 1\n")
    liar.chmod(0o755)
    monkeypatch.setenv("CXX", str(liar))
    words = r"liar ended with 1; unlearnkit works without .* Its output: kernels\.cpp: no space left"
    with pytest.raises(BuildError, match=words):
        building.build("cpu", tmp_path / "target")
    assert [path.name for path in (tmp_path / "target").iterdir()] == [".build.lock"]


def test_other_sources_have_another_name(tmp_path: Path) -> None:
    sources = building.source_folder()
    assert sources is not None
    for folder in ("include", "cpu"):
        (tmp_path / folder).mkdir()
        for path in (sources / folder).iterdir():
            (tmp_path / folder / path.name).write_bytes(path.read_bytes())
    assert building.library_name("cpu", tmp_path) == building.library_name("cpu", sources)
    (tmp_path / "cpu" / "api.cpp").write_text("// changed")
    assert building.library_name("cpu", tmp_path) != building.library_name("cpu", sources)


def test_the_command(tmp_path: Path) -> None:
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "CXX": "nowhere", "NVCC": "nowhere"}
    command = [sys.executable, "-c", "from unlearnkit.cli import main; main()", "build-ext"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("error: no compiler for the cpu kernels") and not done.stdout
    done = subprocess.run([*command, "--cuda"], env=environment, capture_output=True, text=True)
    assert done.returncode == 2 and "install nvcc" in done.stderr
    if building.compiler("cpu") is not None:
        del environment["CXX"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 0 and str(tmp_path / "unlearnkit" / building.library_name("cpu")) in done.stdout


# ---------------------------------------------------------------- pip

def wheel(tmp_path: Path, **environment: str) -> Path:
    """Built from a copy: pip leaves a folder ``build`` behind, and what is in it goes into the next wheel."""
    copy = tmp_path / "copy"
    left_out = shutil.ignore_patterns("build", "runs", "tests", "docs", "weights", "pictures", "results", "*.so", ".*")
    shutil.copytree(ROOT, copy, ignore=left_out)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(tmp_path), str(copy)]
    done = subprocess.run(command, env={**os.environ, "NVCC": "nowhere", **environment}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return next(tmp_path.glob("*.whl"))


def says(folder: Path, tmp_path: Path) -> str:
    """What an installation in a folder says of its native CPU kernels."""
    code = "from unlearnkit.ops import native; print(native.__file__); print(dict(native.status())['cpu'])"
    environment = {**os.environ, "PYTHONPATH": str(folder), "XDG_CACHE_HOME": str(tmp_path / "no-cache")}
    environment.pop("UNLEARNKIT_NATIVE", None)
    done = subprocess.run([sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith(str(folder)), done.stderr + done.stdout
    return done.stdout


@pytest.mark.slow
@needs_compiler
def test_a_wheel_with_kernels(tmp_path: Path) -> None:
    made = wheel(tmp_path)
    assert "-py3-none-" in made.name and not made.name.endswith("-any.whl")  # any Python, this platform
    with zipfile.ZipFile(made) as file:
        names = file.namelist()
        file.extractall(tmp_path / "installed")
    assert f"unlearnkit/ops/{building.library_name('cpu')}" in names
    assert "unlearnkit/ops/sources/include/unlearnkit_ops.h" in names and not any("lock" in name for name in names)
    assert "pure PyTorch" not in says(tmp_path / "installed", tmp_path)


@pytest.mark.slow
def test_a_wheel_without_a_compiler(tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel(tmp_path, CXX="nowhere")) as file:
        assert not any(name.endswith(".so") for name in file.namelist())
        file.extractall(tmp_path / "installed")
    assert "pure PyTorch is used (not built; run: unlearnkit build-ext)" in says(tmp_path / "installed", tmp_path)
