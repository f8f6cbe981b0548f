"""The emulation finds the mistakes that it is there for: cuda_on_host.h."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BROKEN = """
#include "cuda_on_host.h"

template <bool WAITS>
__global__ void neighbours(int* out, int salt) {  // each thread reads what another one wrote
  __shared__ int values[64];
  values[threadIdx.x] = salt + int(threadIdx.x);
  if (WAITS) __syncthreads();
  out[threadIdx.x] = values[63 - threadIdx.x];
}

__global__ void leaves_early(int* out, int) {
  if (threadIdx.x == 5) return;
  __syncthreads();
  out[threadIdx.x] = 1;
}

__global__ void writes_behind(int*, int) {
  UL_DYNAMIC_SHARED(memory);
  if (threadIdx.x == 0) memory[16] = 1;
}

__global__ void different_operations(int* out, int) {
  out[threadIdx.x] = threadIdx.x < 16 ? __shfl_sync(0xffffffffu, 1, 31) : __shfl_xor_sync(0xffffffffu, 1, 31);
}

__global__ void sums(int* out, int) {
  int value = int(threadIdx.x);
  for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(0xffffffffu, value, step);
  const int before = __shfl_up_sync(0xffffffffu, int(threadIdx.x), 1);
  out[threadIdx.x] = 1000 * value + before;
}

extern "C" int run(int which, int salt, int* out) {
  void (*kernels[])(int*, int) = {neighbours<true>, neighbours<false>, leaves_early, writes_behind,
                                  different_operations, sums};
  UL_LAUNCH(kernels[which], 1, 64, 16, nullptr, out, salt);
  return cudaGetLastError();
}
"""
FAILED = 719  # cudaErrorLaunchFailure


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    if sys.platform != "linux" or shutil.which("g++") is None:
        pytest.skip("needs Linux and g++")
    work = tmp_path_factory.mktemp("emulation")
    (work / "broken.cpp").write_text(BROKEN)
    flags = ["-std=c++17", "-O1", "-fPIC", "-shared", "-U_FORTIFY_SOURCE", "-I", str(Path(__file__).parent)]
    subprocess.run(["g++", *flags, str(work / "broken.cpp"), "-o", str(work / "broken.so")], check=True)
    library = ctypes.CDLL(str(work / "broken.so"))

    def call(which, salt=0):
        out = (ctypes.c_int * 64)()
        return library.run(which, salt, out), list(out)

    return call


def test_a_barrier_makes_both_orders_agree(run, monkeypatch):
    for order in ("rising", "falling"):
        monkeypatch.setenv("UL_HOST_ORDER", order)
        assert run(0, 100) == (0, [163 - i for i in range(64)])


def test_a_missing_barrier_shows(run, monkeypatch):
    monkeypatch.setenv("UL_HOST_ORDER", "rising")
    rising = run(1, 100)
    monkeypatch.setenv("UL_HOST_ORDER", "falling")
    assert run(1, 200)[1] != [value + 100 for value in rising[1]]


@pytest.mark.parametrize("which", [2, 3, 4])
def test_other_mistakes_are_launch_failures(run, which):
    assert run(which)[0] == FAILED


def test_warps_exchange_what_they_should(run):
    error, out = run(5)
    assert error == 0
    assert out[:32] == [1000 * 496 + max(i - 1, 0) for i in range(32)]
    assert out[32:] == [1000 * 1520 + max(i - 1, 32) for i in range(32, 64)]
