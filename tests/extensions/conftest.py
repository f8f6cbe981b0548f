"""Builds the CUDA kernels for the CPU (cuda_on_host.h) and calls them as unlearnkit.ops does.

Where there is a GPU and nvcc, the same tests run there too.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from unlearnkit import building
from unlearnkit.ops.native import DTYPES, STRUCTURES

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "extensions" / "cuda").glob("*.cu"))
FLAGS = ["-std=c++17", "-O1", "-fPIC", "-fvisibility=hidden", "-U_FORTIFY_SOURCE",
         "-fsanitize=alignment,bounds", "-fsanitize-undefined-trap-on-error",
         "-DUL_CUDA_ON_HOST", "-I", str(ROOT / "extensions" / "include"), "-I", str(Path(__file__).parent)]
CANARY = 512  # bytes behind every output and the workspace


class Kernels:
    """The library; ``run`` calls a function twice, its threads in rising and in falling order."""

    def __init__(self, path: Path, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.device = device  # of the tensors: cpu or cuda
        self.functions = ctypes.CDLL(str(path))
        self.functions.ul_last_error.restype = self.functions.ul_variant.restype = ctypes.c_char_p
        self.functions.ul_device.restype = ctypes.c_char_p
        for name in STRUCTURES:
            getattr(self.functions, f"ul_{name}_workspace").restype = ctypes.c_int64
        self._monkeypatch = monkeypatch

    def run(self, name: str, outputs: dict[str, tuple[int, ...]], backward: bool = False,
            **fields: Tensor | float | None) -> list[Tensor]:
        """The outputs of these shapes, written whole and nowhere else.

        :raises RuntimeError: with the library's words if it fails.
        """
        results = []
        for order in ("rising", "falling"):
            self._monkeypatch.setenv("UL_HOST_ORDER", order)
            results.append(self._run(name, outputs, backward, fields))
        for rising, falling in zip(*results, strict=True):  # sums of several threads may differ by rounding
            scale = float(rising.abs().nan_to_num().max()) if rising.numel() else 0.0
            assert_close(rising, falling, rtol=0, atol=scale * 100 * torch.finfo(rising.dtype).eps, equal_nan=True)
        return results[0]

    def _run(self, name: str, outputs: dict[str, tuple[int, ...]], backward: bool,
             fields: dict[str, Tensor | float | None]) -> list[Tensor]:
        dtype = next(value.dtype for value in fields.values() if isinstance(value, Tensor))
        arguments = STRUCTURES[name]()
        arguments.size, arguments.dtype = ctypes.sizeof(arguments), DTYPES[dtype]
        made = {key: _with_canary(shape, dtype, self.device) for key, shape in outputs.items()}
        given = {key: value.to(self.device) if isinstance(value, Tensor) else value for key, value in fields.items()}
        for key, value in {**given, **{key: tensor for key, (tensor, _) in made.items()}}.items():
            setattr(arguments, key, value.data_ptr() if isinstance(value, Tensor) else value)
        size = getattr(self.functions, f"ul_{name}_workspace")(ctypes.byref(arguments), int(backward))
        space, space_canary = _with_canary((size,), torch.uint8, self.device)
        arguments.workspace, arguments.workspace_size = space.data_ptr(), size
        if self.device == "cuda":
            arguments.stream = torch.cuda.current_stream().cuda_stream
        if getattr(self.functions, f"ul_{name}_backward" if backward else f"ul_{name}")(ctypes.byref(arguments)):
            raise RuntimeError(self.functions.ul_last_error().decode())
        for canary in [space_canary, *(canary for _, canary in made.values())]:
            assert bool((canary == 0xA5).all()), f"{name}: written behind an output or the workspace"
        return [tensor.to("cpu", copy=True) for tensor, _ in made.values()]


def _with_canary(shape: tuple[int, ...], dtype: torch.dtype, device: str) -> tuple[Tensor, Tensor]:
    """A tensor full of 0xA5, and the bytes behind it."""
    size = torch.Size(shape).numel() * dtype.itemsize
    whole = torch.full((size + CANARY,), 0xA5, dtype=torch.uint8, device=device)
    return whole[:size].view(dtype).view(shape), whole[size:]


@pytest.fixture(scope="session")
def cuda_on_host(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if sys.platform != "linux" or shutil.which("g++") is None:
        pytest.skip("needs Linux and g++")
    work = tmp_path_factory.mktemp("cuda_on_host")
    objects = [work / f"{source.stem}.o" for source in SOURCES]

    def compile_one(source: Path, into: Path) -> None:
        subprocess.run(["g++", *FLAGS, "-x", "c++", "-c", str(source), "-o", str(into)], check=True)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(compile_one, SOURCES, objects))
    subprocess.run(["g++", "-shared", *map(str, objects), "-o", str(work / "kernels.so")], check=True)
    return work / "kernels.so"


@pytest.fixture(scope="session")
def cuda_on_gpu(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if building.compiler("cuda") is None:
        pytest.skip("needs nvcc")
    return building.build("cuda", tmp_path_factory.mktemp("cuda_on_gpu"), arch="native")


MACHINES = ["host", *([pytest.param("gpu", marks=pytest.mark.gpu)] if torch.cuda.is_available() else [])]


@pytest.fixture(params=MACHINES)
def kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Kernels:
    path = request.getfixturevalue(f"cuda_on_{request.param}")
    return Kernels(path, "cpu" if request.param == "host" else "cuda", monkeypatch)


Draw = Callable[..., Tensor]


@pytest.fixture
def draw() -> Draw:
    """Normal numbers of a shape, the same in every run."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)

    return normal
