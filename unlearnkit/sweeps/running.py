"""All jobs of a sweep through a launcher, and what came of them."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
from filelock import FileLock, Timeout

from unlearnkit.errors import RunError
from unlearnkit.files import atomic
from unlearnkit.files.reading import read_file
from unlearnkit.sweeps.file import Sweep
from unlearnkit.sweeps.job import finished
from unlearnkit.sweeps.jobs import Job, jobs_of
from unlearnkit.work import Ended, Work

__all__ = ["Plan", "plan_sweep", "run_plan", "sweep_folder"]

_LOCK = ".lock"


@attrs.frozen
class Plan:
    """What a sweep does: all its ``jobs``, and those ``todo``; the others are finished already."""

    sweep: Sweep
    folder: Path
    jobs: tuple[Job, ...]
    todo: tuple[Job, ...]

    def sentence(self) -> str:
        """How many jobs there are, where they are done, and what is finished."""
        before = len(self.jobs) - len(self.todo)
        done = f"{before} finished before, " if before else ""
        left = f"{len(self.todo)} to do" if self.todo else "nothing to do"
        return f"{len(self.jobs)} job{'s' if len(self.jobs) != 1 else ''} ({self.sweep.launcher_name}): {done}{left}"


def plan_sweep(sweep: Sweep, folder: Path) -> Plan:
    """All jobs of a sweep, and which of them are left.

    :raises UnlearnkitError: for a mistake in any of them, before anything is done.
    """
    sweep.launcher.check()
    folder = folder.absolute()
    jobs = jobs_of(sweep, folder)
    return Plan(sweep, folder, tuple(jobs), tuple(job for job in jobs if not finished(job.run)))


def run_plan(plan: Plan, ended: Callable[[Ended], None] = lambda end: None) -> list[Ended]:
    """Do what is left; returns what failed. ``ended`` is called with each job's end, whatever it is.

    :raises RunError: if another process is at the same sweep.
    """
    if not plan.todo:
        return []
    with sweep_folder(plan.folder), _sigterm_as_interrupt():
        works = [_work(job, plan.sweep) for job in plan.todo]
        found = plan.sweep.launcher.launch(works, plan.folder / "launcher")
        failed = []
        with contextlib.closing(found):  # type: ignore[type-var]  # an iterator that stops what runs
            for end in found:
                if not end.done:
                    failed.append(end)
                ended(end)
    return failed


@contextlib.contextmanager
def sweep_folder(folder: Path) -> Iterator[None]:
    """Make a sweep's folder, private since runs show people, and keep a second start of the sweep out of it.

    :raises RunError: if another process is at it.
    """
    with atomic.plain_errors("make the folder", folder):
        folder.mkdir(0o700, parents=True, exist_ok=True)
        for name in ("jobs", "runs", "logs", "launcher"):
            (folder / name).mkdir(0o700, exist_ok=True)
    lock = FileLock(folder / _LOCK, mode=atomic.PRIVATE)
    with atomic.plain_errors("lock", folder / _LOCK):
        try:
            lock.acquire(blocking=False)
            (folder / _LOCK).write_text(f"pid {os.getpid()}")
        except Timeout:
            owner = read_file(folder / _LOCK).decode(errors="replace")[:20].strip()
            raise RunError(f"another process ({owner}) is at the sweep in {folder}; wait until it is done, or stop it"
                           ) from None
        except NotImplementedError:  # a file system without locks
            pass
    try:
        yield
    finally:
        lock.release()


def _work(job: Job, sweep: Sweep) -> Work:
    """The job's process; its settings are written before it can start."""
    launcher = sweep.launcher
    with atomic.plain_errors("write", job.settings_file):
        if not job.settings_file.exists():
            atomic.write_bytes(job.settings_file, job.config, atomic.PRIVATE)
    arguments = ("-m", "unlearnkit.sweeps.job", str(job.settings_file), str(job.run))
    return Work(job.name, arguments, job.log, {"OMP_NUM_THREADS": str(launcher.cpus)}, launcher.retries)


@contextlib.contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """A polite end of the process stops the jobs too, as Ctrl-C does."""
    def stop(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    try:
        old = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # handlers can only be set in the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, old)
