"""Settings of the machine: memory only where glibc is and nobody said otherwise; threads by the quota."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from unlearnkit.config.settings import RunSettings
from unlearnkit.engine import machine
from unlearnkit.waiting import waiting

glibc = pytest.mark.skipif(not machine._has_glibc(), reason="no glibc here")
FAULTS = """
import resource, sys
import torch
from unlearnkit.engine import machine
print(machine.keep_memory() if sys.argv[1] == "keep" else "system")
x = torch.ones(10 * 2**20)  # 40 MiB: above glibc's largest threshold
for _ in range(5):  # until the heap has grown
    y = x + 1
    del y
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    y = x + 1
    del y
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(way: str, **more: str) -> tuple[str, int]:
    """What keep_memory said in a new process, and the page faults of ten tensors of 40 MiB."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("MALLOC_", "GLIBC_", "LD_PRE"))}
    done = subprocess.run([sys.executable, "-c", FAULTS, way], env={**clean, **more}, capture_output=True, text=True,
                          check=True, timeout=120)
    said, count = done.stdout.splitlines()
    return said, int(count)


@glibc
def test_memory_that_is_kept_costs_no_page_faults() -> None:
    said, kept = faults("keep")
    assert said == "keep"
    assert kept < 100 < 1000 < faults("system")[1]  # ten times 10 240 pages of 4 KiB, fewer if they are huge


@glibc
def test_a_variable_of_the_user_wins() -> None:
    said, _ = faults("keep", MALLOC_ARENA_MAX="2")
    assert said == "system (MALLOC_ARENA_MAX is set)"


@pytest.mark.parametrize(("environment", "reason"), [
    ({"MALLOC_TOP_PAD_": "1"}, "MALLOC_TOP_PAD_ is set"),
    ({"GLIBC_TUNABLES": "glibc.malloc.arena_max=1"}, "GLIBC_TUNABLES is set"),
    ({"LD_PRELOAD": "/usr/lib/libjemalloc.so.2"}, "jemalloc is preloaded"),
    ({"LD_PRELOAD": "/usr/lib/libtcmalloc_minimal.so.4"}, "tcmalloc is preloaded"),
])
def test_reasons_to_leave_memory_alone(environment: dict[str, str], reason: str) -> None:
    assert machine._reason_against(environment) == reason


def test_no_mallopt_without_glibc(monkeypatch) -> None:
    monkeypatch.setattr(machine, "_has_glibc", lambda: False)
    monkeypatch.setattr(machine.ctypes, "CDLL", lambda name: pytest.fail("something was loaded"))
    assert machine._reason_against({}) is not None
    monkeypatch.setattr(machine.os, "environ", {})
    assert machine.keep_memory().startswith("system (no glibc on ")


@pytest.mark.parametrize(("system", "found"), [("Darwin", False), ("Windows", False)])
def test_other_systems_have_no_glibc(monkeypatch, system: str, found: bool) -> None:
    monkeypatch.setattr(machine.platform, "system", lambda: system)
    assert machine._has_glibc() is found


# ---------------------------------------------------------------- threads

def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def quota(folder: Path, groups: str) -> int | None:
    write(folder / "cgroup", groups)
    return machine.cpu_quota(folder / "cgroup", folder / "mount")


def test_quota_of_version_2_is_the_smallest_on_the_way_up(tmp_path: Path) -> None:
    mount = tmp_path / "mount"
    write(mount / "cpu.max", "max 100000\n")
    assert quota(tmp_path, "0::/a/b\n") is None
    write(mount / "a/cpu.max", "250000 100000\n")
    write(mount / "a/b/cpu.max", "800000 100000\n")
    assert quota(tmp_path, "0::/a/b\n") == 3  # 2.5, rounded up


def test_quota_inside_a_container_whose_group_is_the_mount(tmp_path: Path) -> None:
    write(tmp_path / "mount/cpu.max", "50000 100000\n")
    assert quota(tmp_path, "0::/\n") == quota(tmp_path, "0::/../outside\n") == 1


@pytest.mark.parametrize(("controllers", "folder"), [("cpu", "cpu"), ("cpu,cpuacct", "cpu,cpuacct"),
                                                     ("cpu,cpuacct", "cpu")])
def test_quota_of_version_1(tmp_path: Path, controllers: str, folder: str) -> None:
    for what, number in (("quota", 400000), ("period", 100000)):
        write(tmp_path / f"mount/{folder}/docker/x/cpu.cfs_{what}_us", f"{number}\n")
        write(tmp_path / f"mount/{folder}/cpu.cfs_{what}_us", "-1\n" if what == "quota" else "100000\n")
    assert quota(tmp_path, f"4:memory:/docker/x\n3:{controllers}:/docker/x\n") == 4


def test_no_quota(tmp_path: Path) -> None:
    assert machine.cpu_quota(tmp_path / "nothing") is None
    write(tmp_path / "mount/cpu.max", "nonsense\n")
    assert quota(tmp_path, "0::/\n") is None


@pytest.fixture
def eight(monkeypatch):
    """A machine on which torch chose eight threads, and no variable says anything."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    monkeypatch.setattr(machine, "_affinity", lambda: 6)
    monkeypatch.setattr(machine, "cpu_quota", lambda: None)
    for name in machine._THREAD_VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_threads(eight, monkeypatch) -> None:
    assert machine.usable_threads() == 6
    monkeypatch.setattr(machine, "cpu_quota", lambda: 2)
    assert machine.usable_threads() == 2
    assert machine.usable_threads(5) == 5
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    assert machine.usable_threads() == 8


def test_never_more_threads_than_torch_chose(eight, monkeypatch) -> None:
    monkeypatch.setattr(machine, "_affinity", lambda: 64)
    assert machine.usable_threads() == 8


def test_applied_and_put_back() -> None:
    before = torch.get_num_threads()
    with machine.applied(RunSettings(memory="system", threads=before + 1)) as used:
        assert torch.get_num_threads() == before + 1
        assert used == {"threads": before + 1, "waiting": waiting(), "allocator": "system", "precision": None}
    assert torch.get_num_threads() == before
    with pytest.raises(ZeroDivisionError), machine.applied(RunSettings(memory="system", threads=before + 1)):
        raise ZeroDivisionError
    assert torch.get_num_threads() == before
