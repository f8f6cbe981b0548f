"""A bench through a launcher: for every person a process that does all methods of theirs, as ``--part`` does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from unlearnkit.bench.plan import Plan
from unlearnkit.launchers.starting import launch_all, launching_folder
from unlearnkit.work import Ended, Work

if TYPE_CHECKING:
    from unlearnkit.interfaces import Launcher

__all__ = ["launch_plan", "people_left"]

_LOGS = "logs"


def people_left(plan: Plan) -> list[tuple[str, str]]:
    """People who have cases left, each with the part (``I/N``) of the bench that is theirs."""
    people = list(dict.fromkeys(task.person for task in plan.tasks))
    left = {task.person for task in plan.todo}
    return [(name, f"{place}/{len(people)}") for place, name in enumerate(people, 1) if name in left]


def launch_plan(
    plan: Plan, launcher: Launcher, arguments: Sequence[str], folder: Path,
    ended: Callable[[Ended], None] = lambda end: None,
) -> list[Ended]:
    """Do what is left by ``python -m unlearnkit ARGUMENTS --part I/N``; returns what failed.

    A process that is lost starts again with the case that it was at: results are written one by one.

    :raises RunError: if another process launches into the same folder.
    """
    folder = folder.absolute()
    with launching_folder(folder, "bench", (_LOGS,)):
        works = [
            Work(name, ("-m", "unlearnkit", *arguments, "--part", part), folder / _LOGS / f"{name}.log",
                 {"OMP_NUM_THREADS": str(launcher.cpus)}, launcher.retries)
            for name, part in people_left(plan)
        ]
        return launch_all(launcher, works, folder, ended)
