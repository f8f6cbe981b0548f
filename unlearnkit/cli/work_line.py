"""A line that shows how far a launcher is: live on a terminal, one plain line a job elsewhere."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from unlearnkit.report.numbers import seconds_text
from unlearnkit.work import Ended

__all__ = ["WorkLine"]


class WorkLine:
    """``with WorkLine(total, console) as line: launch_all(..., line.ended)``."""

    def __init__(self, total: int, console: Console) -> None:
        self._console, self._total, self._done, self._failed = console, total, 0, 0
        self._live, self._began = console.is_terminal, time.monotonic()
        self._bar = Progress(
            TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            TextColumn("{task.fields[left]}", markup=False), console=console, disable=not self._live,
        )
        self._row = self._bar.add_task("jobs", total=total, left="")

    def __enter__(self) -> WorkLine:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def ended(self, end: Ended) -> None:
        """A job has ended. The estimate is by the clock, so that jobs at the same time count as what they are."""
        self._done += 1
        self._failed += not end.done
        left = (time.monotonic() - self._began) / self._done * (self._total - self._done)
        rest = f"about {seconds_text(left)} left" if left else ""
        failed = f", {self._failed} failed" if self._failed else ""
        self._bar.update(self._row, completed=self._done, description=f"jobs{failed}", left=rest)
        again = f" in {end.starts} starts" if end.starts > 1 else ""
        outcome = f"finished{again}, {seconds_text(end.seconds)}" if end.done else f"failed: {end.reason}"
        self._console.print(f"{self._done}/{self._total} {end.name}: {outcome}"
                            f"{f'; {rest}' if rest and not self._live else ''}", soft_wrap=True, markup=False)
