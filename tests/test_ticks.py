"""Ticks: heard by the innermost listener, free without one, and a place to stop."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from unlearnkit.errors import Interrupted
from unlearnkit.ticks import listening, tick
from unlearnkit.workflows import progress
from unlearnkit.workflows.progress import ProgressLine


def test_the_innermost_listener_hears() -> None:
    outer: list[tuple[int, int]] = []
    inner: list[tuple[int, int]] = []
    tick(1, 2)
    with listening(lambda done, total: outer.append((done, total))):
        tick(1, 3)
        with listening(lambda done, total: inner.append((done, total))):
            tick(2, 3)
        tick(3, 3)
    assert (outer, inner) == ([(1, 3), (3, 3)], [(2, 3)])


def test_plain_lines_say_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    out = io.StringIO()
    with ProgressLine(Console(file=out, width=100)) as line, line.task("finding the latents"):
        for step in range(100):
            tick(step, 100)
            now[0] += 0.5
    lines = out.getvalue().splitlines()
    assert lines[0] == "finding the latents" and lines[1] == "finding the latents: 21 of 100, about 39.5 s left"
    assert len(lines) == 5


def test_a_tick_can_stop_the_work() -> None:
    def stop() -> None:
        raise Interrupted("stopped")

    with ProgressLine(Console(file=io.StringIO())) as line:
        line.check = stop
        with pytest.raises(Interrupted), line.task("work"):
            tick(1, 2)
        with pytest.raises(Interrupted), line.stages("measuring", ["a"]) as starting:
            starting("a")
            tick(1, 2)
