"""The CUDA kernels go through nvcc without a warning, and the library exports the interface and nothing else."""

from __future__ import annotations

import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from unlearnkit import building

ROOT = Path(__file__).parents[2]
NVCC = building.compiler("cuda")
STRICT = ["-Werror", "all-warnings", "-Xcompiler", "-Wall,-Wextra"]


@pytest.mark.slow
@pytest.mark.skipif(NVCC is None or shutil.which("nm") is None, reason="needs nvcc and nm")
def test_nvcc_builds_the_interface(tmp_path):
    sources = sorted((ROOT / "extensions" / "cuda").glob("*.cu"))
    flags = [NVCC, "-O3", "-std=c++17", "-Xcompiler", "-fPIC,-fvisibility=hidden", "-cudart", "static", "-arch=sm_90",
             "-I", str(ROOT / "extensions" / "include")]

    def call(*arguments):
        done = subprocess.run([*flags, *map(str, arguments)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda path: call(*STRICT, "-c", path, "-o", tmp_path / f"{path.stem}.o"), sources))
    call("-shared", *sorted(tmp_path.glob("*.o")), "-o", tmp_path / "kernels.so")
    listing = subprocess.check_output(["nm", "-D", "--defined-only", tmp_path / "kernels.so"], text=True)
    exported = {line.split()[-1] for line in listing.splitlines()}
    header = (ROOT / "extensions" / "include" / "unlearnkit_ops.h").read_text()
    assert exported == set(re.findall(r"^UL_API .*?(ul_\w+)\(", header, re.M))
