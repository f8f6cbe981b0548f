"""What Ray and submitit start on other machines. Imports no torch: whoever only waits for a process needs none."""

from __future__ import annotations

import threading
import time
from typing import Any

from unlearnkit.work import Ended, Work

__all__ = ["Requeued", "do"]


def do(work: Work) -> Ended:
    """Do work in the process that calls this, and wait for it."""
    return work.run()


class Requeued:
    """Work as a job that may be told to make way: ``checkpoint`` is submitit's protocol for that."""

    def __init__(self, work: Work) -> None:
        self.work = work

    def __call__(self) -> Ended:
        """Do it in a thread: submitit calls ``checkpoint`` in a signal handler of the main thread, which may then wait
        for the process to save without waiting for itself."""
        found: list[Ended] = []
        self.stop = threading.Event()
        self.thread = threading.Thread(target=lambda: found.append(self.work.run(self.stop)))
        self.thread.start()
        try:
            self._wait()
        finally:
            self.stop.set()
            self._wait()
        return found[0]

    def checkpoint(self) -> Any:
        """Let the process save, and queue the same work again."""
        import submitit

        self.stop.set()
        self._wait()
        return submitit.helpers.DelayedSubmission(Requeued(self.work))

    def _wait(self) -> None:
        while self.thread.is_alive():
            time.sleep(0.05)
