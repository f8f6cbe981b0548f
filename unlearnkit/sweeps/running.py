"""All jobs of a sweep through a launcher, and what came of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attrs

from unlearnkit.files import atomic
from unlearnkit.launchers.starting import launch_all, launching_folder
from unlearnkit.sweeps.file import Sweep
from unlearnkit.sweeps.job import finished
from unlearnkit.sweeps.jobs import Job, jobs_of
from unlearnkit.work import Ended, Work

__all__ = ["Plan", "plan_sweep", "run_plan"]

_FOLDERS = ("jobs", "runs", "logs")


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
    with launching_folder(plan.folder, "sweep", _FOLDERS):
        works = [_work(job, plan.sweep) for job in plan.todo]
        return launch_all(plan.sweep.launcher, works, plan.folder, ended)


def _work(job: Job, sweep: Sweep) -> Work:
    """The job's process; its settings are written before it can start."""
    launcher = sweep.launcher
    with atomic.plain_errors("write", job.settings_file):
        if not job.settings_file.exists():
            atomic.write_bytes(job.settings_file, job.config, atomic.PRIVATE)
    arguments = ("-m", "unlearnkit.sweeps.job", str(job.settings_file), str(job.run))
    return Work(job.name, arguments, job.log, {"OMP_NUM_THREADS": str(launcher.cpus)}, launcher.retries)
