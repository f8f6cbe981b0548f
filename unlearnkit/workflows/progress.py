"""A progress bar with the estimated time left, and a line for each phase; plain lines if not on a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import TimeRemainingColumn as Remaining

from unlearnkit.report.numbers import seconds_text
from unlearnkit.ticks import Listener, listening

__all__ = ["ProgressLine"]

_EVERY = 10.0
"""Seconds between two plain lines of a phase."""


class ProgressLine:
    """``with ProgressLine(console) as line``: phases by ``line.task``, steps by ``line.advance``.

    On a terminal and in a notebook it is a live bar; in a file or pipe, one plain line for every tenth of the steps.
    ``check`` is asked at every tick, and may raise Interrupted.
    """

    def __init__(self, console: Console) -> None:
        self.console, self.live = console, console.is_terminal or console.is_jupyter
        self.bar = Progress(
            SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"), TimeElapsedColumn(), TextColumn("left"), Remaining(),
            console=console, disable=not self.live,
        )
        self._steps: TaskID | None = None
        self._first = 0
        self.check: Callable[[], None] = lambda: None

    def __enter__(self) -> ProgressLine:
        self.bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.bar.stop()

    @contextmanager
    def task(self, name: str) -> Iterator[None]:
        """A phase; ticks inside (:mod:`unlearnkit.ticks`) move its bar, and :attr:`check` is asked at each."""
        number = self.bar.add_task(name, total=1, note="")
        if not self.live:
            self.console.print(name, markup=False)
        with listening(self._listener(number, name)):
            yield
        self.bar.update(number, total=1, completed=1)

    def _listener(self, number: TaskID, name: str) -> Listener:
        """Moves a bar; where there is none, prints a line with the time left now and then."""
        began = told = time.monotonic()

        def heard(done: int, total: int) -> None:
            nonlocal told
            self.check()
            self.bar.update(number, total=total, completed=done)
            now = time.monotonic()
            if not self.live and 0 < done < total and now - told > _EVERY:
                left = (now - began) / done * (total - done)
                self.console.print(f"{name}: {done} of {total}, about {seconds_text(left)} left", markup=False)
                told = now

        return heard

    @contextmanager
    def stages(self, name: str, parts: Sequence[str]) -> Iterator[Callable[[str], None]]:
        """A phase of several parts; call what it yields with the name of each part before that starts."""
        number, begun = self.bar.add_task(name, total=len(parts), note=""), 0

        def starting(part: str) -> None:
            nonlocal begun
            self.bar.update(number, completed=begun, note=part)
            begun += 1
            if not self.live:
                self.console.print(f"{name}: {part} ({begun} of {len(parts)})", markup=False)

        def heard(done: int, total: int) -> None:
            self.check()
            self.bar.update(number, completed=begun - 1 + done / max(1, total))

        with listening(heard):
            yield starting
        self.bar.update(number, completed=len(parts), note="")

    def skip(self, steps: int) -> None:
        """Set the number of steps done before this process started."""
        self._first = steps

    def advance(self, done: int, total: int, terms: Mapping[str, float]) -> None:
        """Show ``done`` of ``total`` steps, with the loss terms of the last one."""
        note = f"loss {terms['total']:.3f}" if "total" in terms else ""
        if self._steps is None:
            self._steps = self.bar.add_task("unlearning", total=total - self._first, note=note)
        self.bar.update(self._steps, completed=done - self._first, note=note)
        if not self.live and (done == total or done % max(1, total // 10) == 0):
            self.console.print(f"unlearning: step {done} of {total}, {note}")

    def note(self, text: str) -> None:
        """Print a line above the bar."""
        self.bar.console.print(text)
