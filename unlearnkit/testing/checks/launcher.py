"""What a launcher promises: every piece of work ends once, is told as it ended, and stops when it is not wanted."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from unlearnkit.interfaces import Launcher
from unlearnkit.testing.expect import expect
from unlearnkit.testing.subject import Subject
from unlearnkit.work import Ended, Work

_PATIENCE = 30.0


def check_every_work_ends_once(subject: Subject) -> None:
    """Work that succeeds and work that fails are yielded once each, with exit code and reason."""
    with _folder() as folder:
        once = f"open({str(folder / 'written')!r}, 'a').write('x')"
        lines = {"fine": once, "wrong": "raise SystemExit('no such face')"}
        ends = list(_launch(subject, [_python(folder, name, line) for name, line in lines.items()], folder))
        names = sorted(end.name for end in ends)
        expect(names == ["fine", "wrong"], "each piece of work to end once", names)
        found = {end.name: end for end in ends}
        expect(found["fine"].done and (folder / "written").read_text() == "x", "'fine' to be done, once", found["fine"])
        told = (found["wrong"].code, found["wrong"].reason)
        expect(told == (1, "no such face"), "the exit code 1 and the last line that was printed", told)


def check_no_work_is_no_mistake(subject: Subject) -> None:
    """A list without work ends at once."""
    with _folder() as folder:
        ends = list(_launch(subject, [], folder))
        expect(ends == [], "nothing from nothing", ends)


def check_closing_stops_what_runs(subject: Subject) -> None:
    """Whoever closes the iterator ends the processes that still run."""
    with _folder() as folder:
        beat = folder / "beat"
        forever = f"import time\nwhile True: open({str(beat)!r}, 'a').write('x'); time.sleep(0.05)"
        ends = _launch(subject, [_python(folder, "short", "pass"), _python(folder, "long", forever)], folder)
        next(ends)
        ends.close()  # type: ignore[attr-defined]
        last, since = -1, time.monotonic()
        while (size := beat.stat().st_size if beat.exists() else 0) != last:
            expect(time.monotonic() - since < _PATIENCE, "the work to stop when the iterator is closed", "it runs on")
            last = size
            time.sleep(0.5)


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="unlearnkit-launcher-", ignore_cleanup_errors=True) as name:
        yield Path(name)


def _python(folder: Path, name: str, line: str) -> Work:
    return Work(name, ("-c", line), folder / f"{name}.log", retries=0)


def _launch(subject: Subject, works: list[Work], folder: Path) -> Iterator[Ended]:
    launcher: Launcher = subject.component
    (folder / "launcher").mkdir(exist_ok=True)
    return launcher.launch(works, folder / "launcher")
