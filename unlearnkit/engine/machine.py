"""How a run uses the machine: the memory allocator, the number of threads, and the precision.

Memory: glibc returns each block above 32 MiB to the system when it is freed, and the next layer of a network pays for
fresh pages (one page fault every 4 KiB). With ``memory = "keep"`` the process keeps such blocks.

Threads: torch counts the processors of the machine. In a container limited to four of sixty-four, it starts sixty-four
threads; the quota of the control group gives the usable number.
"""

from __future__ import annotations

import ctypes
import math
import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearnkit.config.settings import RunSettings
from unlearnkit.engine.precision import effective_precision, float32_products
from unlearnkit.waiting import waiting

if TYPE_CHECKING:
    import torch

__all__ = ["applied", "cpu_quota", "keep_memory", "usable_threads"]

# Names and numbers of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -2, -4, -8
_MALLOPT = (
    (_M_MMAP_MAX, 0),             # allocate large blocks on the heap: a separate mapping is unmapped when freed
    (_M_TRIM_THRESHOLD, -1),      # never shrink the heap
    (_M_TOP_PAD, 256 * 2**20),    # grow it by 256 MiB, of which only used pages become resident
    (_M_ARENA_MAX, 1),            # autograd's thread shares the heap; secondary arenas cannot hold large blocks
)
_OTHER_ALLOCATORS = ("jemalloc", "tcmalloc", "mimalloc")
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


@contextmanager
def applied(settings: RunSettings, device: torch.device | None = None) -> Iterator[dict[str, Any]]:
    """Context manager that applies ``settings`` (``memory``, ``threads``, ``precision``); yields what was applied.

    ``device``: where a method trains, if it does; what a precision means depends on it.

    Threads and precision are restored at exit. The allocator stays as set, since glibc cannot report its previous
    parameters; for the same reason ``system`` cannot undo what an earlier run of this process has set.
    """
    import torch

    before = torch.get_num_threads()
    memory = keep_memory() if settings.memory == "keep" else "system"
    threads = usable_threads(settings.threads)
    if threads != before:
        torch.set_num_threads(threads)
    try:
        with float32_products(settings.precision):
            precision = settings.precision if device is None else effective_precision(settings.precision, device)
            yield {"threads": threads, "waiting": waiting(), "allocator": memory, "precision": precision}
    finally:
        if threads != before:
            torch.set_num_threads(before)


# ---------------------------------------------------------------- memory

def keep_memory() -> str:
    """Let glibc keep freed memory for the rest of this process; returns what was done, or why nothing was, in words.

    Does nothing without glibc, or where the user has configured the allocator: by a variable ``MALLOC_...`` or another
    allocator in ``LD_PRELOAD``.
    """
    reason = _reason_against(os.environ)
    if reason is not None:
        return f"system ({reason})"
    mallopt = ctypes.CDLL(None).mallopt
    mallopt.argtypes, mallopt.restype = (ctypes.c_int, ctypes.c_int), ctypes.c_int
    done = [mallopt(parameter, value) for parameter, value in _MALLOPT]
    return "keep" if all(done) else "keep, in part: mallopt refused a setting"


def _reason_against(environment: Mapping[str, str]) -> str | None:
    for name in environment:
        if name.startswith("MALLOC_"):
            return f"{name} is set"
    if "glibc.malloc" in environment.get("GLIBC_TUNABLES", ""):
        return "GLIBC_TUNABLES is set"
    for other in _OTHER_ALLOCATORS:
        if other in environment.get("LD_PRELOAD", ""):
            return f"{other} is preloaded"
    if not _has_glibc():
        return f"no glibc on {platform.system()}"
    return None


def _has_glibc() -> bool:
    """True if this process uses glibc; musl, macOS and Windows lack the function."""
    if platform.system() != "Linux":
        return False
    return hasattr(ctypes.CDLL(None), "gnu_get_libc_version")


# ---------------------------------------------------------------- threads

def usable_threads(requested: int | None = None) -> int:
    """Number of threads to compute with: ``requested``, else torch's default limited by the CPU quota.

    If OMP_NUM_THREADS or MKL_NUM_THREADS is set, torch already honours it. Its default is not raised: whether two
    threads per core help depends on the processor.
    """
    import torch

    if requested is not None:
        return requested
    default = torch.get_num_threads()
    if any(os.environ.get(name) for name in _THREAD_VARIABLES):
        return default
    limits = [default, _affinity(), cpu_quota()]
    return max(1, min(limit for limit in limits if limit is not None))


def _affinity() -> int | None:
    """Number of processors that this process may be scheduled on; None if the system does not report it."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None


def cpu_quota(groups: Path = Path("/proc/self/cgroup"), mount: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Processors that the control groups allow, rounded up; None without a limit, and on systems other than Linux.

    The smallest limit of the group and its ancestors applies: ``cpu.max`` (version 2) or ``cpu.cfs_quota_us``
    (version 1).
    """
    try:
        lines = groups.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    found: list[float] = []
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, name = rest.partition(":")
        if controllers == "":
            found += _limits(mount, name, _version_2)
        elif "cpu" in controllers.split(","):
            for folder in (controllers, "cpu"):
                found += _limits(mount / folder, name, _version_1)
    return math.ceil(min(found)) if found else None


def _limits(root: Path, name: str, read: Any) -> list[float]:
    """Limits of the group ``name`` (``/system.slice/mine``) and of each ancestor, up to the mount."""
    parts = [part for part in name.split("/") if part not in ("", "..")]
    folders = [root.joinpath(*parts[:length]) for length in range(len(parts), -1, -1)]
    found = []
    for folder in folders:
        try:
            limit = read(folder)
        except (OSError, ValueError):
            continue  # missing: inside a container the groups above the mount are not visible
        if limit is not None:
            found.append(limit)
    return found


def _version_2(folder: Path) -> float | None:
    quota, period = (folder / "cpu.max").read_text(encoding="utf-8").split()
    return None if quota == "max" else int(quota) / int(period)


def _version_1(folder: Path) -> float | None:
    quota, period = (
        int((folder / f"cpu.cfs_{what}_us").read_text(encoding="utf-8")) for what in ("quota", "period")
    )
    return quota / period if quota > 0 and period > 0 else None
