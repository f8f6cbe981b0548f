"""Slurm, through submitit. Imports submitit only where it is used."""

from __future__ import annotations

import importlib.util
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs

from unlearnkit.errors import ConfigError, PluginError, one_line
from unlearnkit.interfaces import Launcher
from unlearnkit.launchers.tasks import Requeued
from unlearnkit.options import option
from unlearnkit.work import Ended, Work

__all__ = ["Slurm"]

_POLL = 0.5
_SAVING = 60
"""Seconds before the end of its time in which a job is told to save."""


@attrs.define(eq=False)
class Slurm(Launcher):
    """Jobs of Slurm. One that is preempted, or whose time is over, saves, is queued again and goes on."""

    partition: str | None = option(None, help="Slurm's partition; by default Slurm's own choice")
    account: str | None = option(None, help="Slurm's account; by default Slurm's own choice")
    minutes: int = option(60, ge=1, unit="minutes", help="time of each job, after which it is queued again")
    workers: int = option(100, ge=1, le=100000, help="jobs that are queued or running at once")
    executor: str = option("slurm", choices=("slurm", "local"),
                           help="slurm, or local: submitit's processes on this machine, to try things out")

    def check(self) -> None:
        """Check that submitit is installed, and Slurm where it is meant.

        :raises PluginError: if not.
        """
        if importlib.util.find_spec("submitit") is None:
            raise PluginError("launcher slurm needs submitit: pip install 'unlearnkit[slurm]'")
        if self.executor == "slurm" and shutil.which("srun") is None:
            raise PluginError("launcher slurm: there is no command srun here; start the sweep where jobs are "
                              "submitted, or try it out with launcher.executor = \"local\"")
        if self.gpus != int(self.gpus):
            raise ConfigError(f"launcher.gpus: got {self.gpus:g}, but Slurm shares no GPU; give a whole number")

    def launch(self, works: Sequence[Work], folder: Path) -> Iterator[Ended]:
        """Keep ``workers`` jobs in the queue as long as there are some; submitit's files lie in ``folder``."""
        executor = self._executor(folder)
        running: dict[Any, Work] = {}
        waiting = iter(works)
        try:
            while True:
                batch = [work for work in (next(waiting, None) for _ in range(self.workers - len(running))) if work]
                if batch:
                    running |= dict(zip(_submit(executor, batch), batch, strict=True))
                if not running:
                    return
                ready = [job for job in running if job.done()]
                for job in ready:
                    yield _ended(job, running.pop(job))
                if not ready:
                    time.sleep(_POLL)
        finally:
            for job in running:
                job.cancel()

    def _executor(self, folder: Path) -> Any:
        import submitit

        often = {f"{self.executor}_max_num_timeout": self.retries}
        executor = submitit.AutoExecutor(folder, cluster=self.executor, **often)
        given = {"slurm_partition": self.partition, "slurm_account": self.account, "mem_gb": self.memory}
        executor.update_parameters(
            name="unlearnkit", timeout_min=self.minutes,
            cpus_per_task=self.cpus, gpus_per_node=int(self.gpus), tasks_per_node=1, nodes=1,
            slurm_signal_delay_s=_SAVING, slurm_additional_parameters={"requeue": True},
            **{name: value for name, value in given.items() if value is not None},
        )
        return executor


def _submit(executor: Any, works: Sequence[Work]) -> list[Any]:
    """Submit together, which Slurm takes as one array of jobs."""
    with executor.batch():
        return [executor.submit(Requeued(work)) for work in works]


def _ended(job: Any, work: Work) -> Ended:
    try:
        found: Ended = job.result()
    except Exception as error:  # submitit's, or what a damaged result raises
        return Ended(work.name, None, f"Slurm's job {job.job_id} was lost: {one_line(error)[:300]} (see {work.log})")
    return found
