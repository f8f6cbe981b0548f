"""A line that shows how far a bench is: live on a terminal, one plain line a case elsewhere."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from unlearnkit.bench.estimate import about
from unlearnkit.bench.plan import Plan, Task
from unlearnkit.results import Result
from unlearnkit.results.columns import erasure, preservation

__all__ = ["BenchLine"]


class BenchLine:
    """``with BenchLine(plan, console) as line: run_plan(plan, line.started, line.ended)``."""

    def __init__(self, plan: Plan, console: Console) -> None:
        self._console, self._live, self._total, self._done = console, console.is_terminal, len(plan.todo), 0
        self._bar = Progress(
            SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(),
            TimeElapsedColumn(), TextColumn("{task.fields[left]} left"), console=console, disable=not self._live,
        )
        self._began = time.monotonic()
        self._row = self._bar.add_task("", total=self._total, left=about(plan.seconds()))

    def __enter__(self) -> BenchLine:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def started(self, task: Task) -> None:
        """A case begins."""
        self._done, self._began = self._done + 1, time.monotonic()
        self._bar.update(self._row, description=task.title, completed=self._done - 1)

    def ended(self, task: Task, result: Result, left: float) -> None:
        """A case is done, and the rest takes ``left`` seconds."""
        self._bar.update(self._row, completed=self._done, left=about(left) if left else "nothing")
        taken = time.monotonic() - self._began
        rest = f"; {about(left)} left" if left and not self._live else ""
        self._console.print(f"{self._done}/{self._total} {task.title}: {_outcome(result)}, {taken:.0f} s{rest}",
                            soft_wrap=True, markup=False)


def _outcome(result: Result) -> str:
    if result.error is not None:
        return f"failed: {result.error}"
    scores = {"erasure": erasure(result), "preservation": preservation(result)}
    return ", ".join(f"{name} {value:.2f}" for name, value in scores.items() if value is not None) or "done"
