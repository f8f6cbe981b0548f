"""Work that a launcher does somewhere: one process, started again where it was lost. Imports no torch.

Whoever computes far away needs only this module: a process of its own keeps memory, threads and end of one job from
those of another, and a job that goes on where it stopped (as runs do) needs nothing else than to be started again.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from unlearnkit.files.atomic import PRIVATE

__all__ = ["INTERRUPTED", "Ended", "Work", "handling"]

INTERRUPTED = 130
"""Exit code of a process that was asked to stop and has saved what it needs to go on."""
_TAIL = 1 << 14
_POLL = 0.1


@contextmanager
def handling(numbers: tuple[int, ...], handler: Callable[[int, Any], None]) -> Iterator[None]:
    """Context manager in which ``handler`` gets these signals; outside the main thread it changes nothing."""
    try:
        old = {number: signal.signal(number, handler) for number in numbers}
    except ValueError:  # handlers can only be set in the main thread
        yield
        return
    try:
        yield
    finally:
        for number, before in old.items():
            signal.signal(number, before)


@attrs.frozen
class Ended:
    """What came of a piece of work.

    * ``code``: exit code of its last process, negative for a signal, None where the machine was lost or had no room
    * ``reason``: why it failed, in one line; empty if it did not
    * ``seconds``: of all its processes together; ``starts``: how many there were
    """

    name: str
    code: int | None
    reason: str = ""
    seconds: float = 0.0
    starts: int = 1

    @property
    def done(self) -> bool:
        """True if it succeeded."""
        return self.code == 0


@attrs.frozen
class Work:
    """``python ARGUMENTS`` with a log file; ``retries``: how often it is started again after a signal ended it."""

    name: str
    arguments: tuple[str, ...]
    log: Path
    environment: Mapping[str, str] = attrs.field(factory=dict)
    retries: int = 2

    def run(self, stop: threading.Event | None = None, environment: Mapping[str, str] | None = None) -> Ended:
        """Do it here and wait for it. Once ``stop`` is set, its process is asked to save and end, and none follows.

        An exception meanwhile, such as KeyboardInterrupt, does the same before it goes on. ``environment``: further
        variables, such as the GPUs that it may use.
        """
        began, stopped = time.monotonic(), stop or threading.Event()
        try:
            for start in range(1, self.retries + 2):  # noqa: B007 - the last one is told
                said = self.log.stat().st_size if self.log.exists() else 0
                code = self._process({**self.environment, **(environment or {})}, stopped)
                if not _lost(code) or stopped.is_set():
                    break
            reason = "" if code == 0 else self._reason(code, start, said)
        except OSError as error:  # a folder that this machine does not see, a full disk
            return Ended(self.name, None, f"cannot be started: {error.strerror or error}: {error.filename or self.log}")
        return Ended(self.name, code, reason, round(time.monotonic() - began, 3), start)

    def _process(self, environment: Mapping[str, str], stop: threading.Event) -> int:
        # -P: no module is taken from the working folder. A session of its own: Ctrl-C reaches it once, through us.
        command = [sys.executable, "-P", *self.arguments]
        with open(os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, PRIVATE), "ab") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                       env={**os.environ, **environment}, start_new_session=True)
        try:
            while process.poll() is None and not stop.is_set():
                time.sleep(_POLL)
        finally:
            if process.poll() is None:
                process.terminate()
            code = process.wait()
        return code

    def _reason(self, code: int, starts: int, said: int) -> str:
        times = f", started {starts} times" if starts > 1 else ""
        if code < 0:
            name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
            hint = "; the system does that where memory runs out" if name == "SIGKILL" else ""
            return f"ended by {name}{times}{hint} (see {self.log})"
        return f"{_last_words(self.log, said) or f'exit code {code}'}{times}"


def _lost(code: int) -> bool:
    """True for a process that somebody ended, and that starts again where it was."""
    return code < 0 or code == INTERRUPTED


def _last_words(log: Path, start: int) -> str:
    """The last line of a log that says something, from byte ``start`` on, without the command's ``error:``."""
    with log.open("rb") as file:
        file.seek(max(start, log.stat().st_size - _TAIL))
        lines = file.read().decode(errors="replace").splitlines()
    return next((line.strip().removeprefix("error: ") for line in reversed(lines) if line.strip()), "")
