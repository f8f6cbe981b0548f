"""One job of a sweep in a process of its own: ``python -m unlearnkit.sweeps.job jobs/NAME.toml runs/NAME``.

It begins the run, or continues it from its last checkpoint, or recognises that it is finished: so it may be started
again at any time, also while another process is at it, for which it waits. Exit codes are those of the command line.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout
from rich.console import Console

from unlearnkit.errors import Interrupted, UnlearnkitError
from unlearnkit.files import atomic
from unlearnkit.runs import Run
from unlearnkit.work import INTERRUPTED

if TYPE_CHECKING:
    from unlearnkit.config import Settings

__all__ = ["do_job", "finished", "main"]


def finished(run: Path) -> bool:
    """True if a run directory is there whose run has ended well, report and all."""
    if not ((run / "manifest.json").is_file() and (run / "report.html").is_file()):
        return False
    return bool(Run.open(run).manifest["status"] == "finished")


def do_job(config: Path, run: Path, console: Console) -> None:
    """Do what is left of a job: all, some or nothing.

    :raises Interrupted: after a signal, once everything is saved. All other failures are UnlearnkitErrors too.
    """
    with _alone(config.with_suffix(".lock"), console):
        if finished(run):
            console.print("finished already")
            return
        from unlearnkit.workflows.run import continue_run, start_run

        if (run / "manifest.json").exists():
            continue_run(run, console)
            return
        shutil.rmtree(run, ignore_errors=True)  # killed before it had a manifest: nothing has been computed yet
        start_run(_settings(config), run, console)


def _settings(config: Path) -> Settings:
    from unlearnkit.config import read_toml, resolve
    from unlearnkit.plugins import registry

    return resolve(read_toml(config), registry())


@contextlib.contextmanager
def _alone(path: Path, console: Console) -> Iterator[None]:
    """Hold the job's lock; whoever else is at it, such as a process that was given up for lost, is waited for."""
    lock = FileLock(path, mode=atomic.PRIVATE)
    try:
        try:
            lock.acquire(blocking=False)
        except Timeout:
            console.print("another process is at it; waiting for that")
            lock.acquire()
    except NotImplementedError:  # a file system without locks: work without one, as runs do
        pass
    try:
        yield
    finally:
        lock.release()


def main(arguments: Sequence[str]) -> int:
    """Do the job of two paths, settings and run directory; returns the exit code."""
    config, run = map(Path, arguments)
    try:
        do_job(config, run, Console(highlight=False, soft_wrap=True))
    except (Interrupted, KeyboardInterrupt) as stop:
        print(str(stop) or "interrupted", flush=True)
        return INTERRUPTED
    except (UnlearnkitError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", flush=True)
        return 2
    except Exception:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
