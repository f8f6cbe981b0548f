"""Processes on this machine. Imports torch only to count GPUs."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import attrs
import psutil

from unlearnkit.engine.machine import cpu_quota
from unlearnkit.errors import ConfigError
from unlearnkit.interfaces import Launcher
from unlearnkit.options import option
from unlearnkit.work import Ended, Work

__all__ = ["Local", "usable_cores"]


def usable_cores() -> int:
    """Cores that this process may use, by its affinity and its container's quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, cpu_quota() or cores)


@attrs.define(eq=False)
class Local(Launcher):
    """As many processes at once as there are cores, memory and GPUs for, unless ``workers`` says how many."""

    workers: int | None = option(None, ge=1, le=4096, help="jobs at once; by default what cores, memory and GPUs allow")

    def check(self) -> None:
        """Check that this machine can hold one job.

        :raises ConfigError: naming what it lacks.
        """
        total = psutil.virtual_memory().total / 1e9
        if self.memory is not None and self.memory > total:
            raise ConfigError(f"launcher.memory: got {self.memory:g}, but this machine has {total:.1f} GB")
        if self.gpus and not self._shares():
            raise ConfigError(f"launcher.gpus: got {self.gpus:g}, but this machine has {len(_visible_gpus())}")

    def launch(self, works: Sequence[Work], folder: Path) -> Iterator[Ended]:
        """Start them in order, each as soon as there is room."""
        stop, shares = threading.Event(), self._shares()
        free: queue.Queue[str] = queue.Queue()
        for share in shares:
            free.put(share)

        def run(work: Work) -> Ended:
            if not shares:
                return work.run(stop)
            share = free.get()
            try:
                return work.run(stop, {"CUDA_VISIBLE_DEVICES": share})
            finally:
                free.put(share)

        with ThreadPoolExecutor(self.at_once()) as pool:
            pending = [pool.submit(run, work) for work in works]
            try:
                for future in as_completed(pending):
                    yield future.result()
            finally:
                stop.set()
                pool.shutdown(wait=True, cancel_futures=True)

    def at_once(self) -> int:
        """How many jobs run at once."""
        limits = [self.workers or max(1, usable_cores() // self.cpus)]
        if self.memory is not None:
            limits.append(int(psutil.virtual_memory().total / 1e9 / self.memory))
        if shares := self._shares():
            limits.append(len(shares))
        return max(1, min(limits))

    def _shares(self) -> list[str]:
        """What ``CUDA_VISIBLE_DEVICES`` is for each job that has its place on the GPUs."""
        visible = _visible_gpus() if self.gpus else []
        if self.gpus <= 0:
            return []
        if self.gpus < 1:
            return [gpu for _ in range(int(1 / self.gpus)) for gpu in visible]
        each = int(self.gpus)
        return [",".join(visible[start : start + each]) for start in range(0, len(visible) - each + 1, each)]


def _visible_gpus() -> list[str]:
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [name for name in given.split(",") if name.strip()]
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]
