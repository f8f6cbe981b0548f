"""Work through a launcher: a folder that only one process launches from, and what came of each piece."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from unlearnkit.errors import RunError
from unlearnkit.files import atomic
from unlearnkit.files.reading import read_file
from unlearnkit.work import Ended, Work, handling

if TYPE_CHECKING:
    from unlearnkit.interfaces import Launcher

__all__ = ["launch_all", "launching_folder"]

_LOCK, _NOTES = ".lock", "launcher"


def launch_all(
    launcher: Launcher, works: Sequence[Work], folder: Path, ended: Callable[[Ended], None] = lambda end: None,
) -> list[Ended]:
    """Do all ``works``; returns what failed. ``ended`` is called with the end of each, whatever it is.

    ``folder``: one of :func:`launching_folder`; the launcher's own notes lie in ``folder/launcher``. Ctrl-C and a
    polite end of this process stop what runs.
    """
    failed = []
    with handling((signal.SIGTERM,), _interrupt):
        found = launcher.launch(works, folder / _NOTES)
        with contextlib.closing(found):  # type: ignore[type-var]  # an iterator that stops what runs
            for end in found:
                if not end.done:
                    failed.append(end)
                ended(end)
    return failed


@contextlib.contextmanager
def launching_folder(folder: Path, what: str, names: Sequence[str] = ()) -> Iterator[None]:
    """Make a folder, private since runs show people, with those of ``names`` in it; keep a second start out of it.

    ``what`` it is of, such as "sweep", for the message.

    :raises RunError: if another process is at it.
    """
    with atomic.plain_errors("make the folder", folder):
        folder.mkdir(0o700, parents=True, exist_ok=True)
        for name in (*names, _NOTES):
            (folder / name).mkdir(0o700, exist_ok=True)
    lock = FileLock(folder / _LOCK, mode=atomic.PRIVATE)
    with atomic.plain_errors("lock", folder / _LOCK):
        try:
            lock.acquire(blocking=False)
            (folder / _LOCK).write_text(f"pid {os.getpid()}")
        except Timeout:
            owner = read_file(folder / _LOCK).decode(errors="replace")[:20].strip()
            raise RunError(f"another process ({owner}) is at the {what} in {folder}; wait until it is done, or stop it"
                           ) from None
        except NotImplementedError:  # a file system without locks
            pass
    try:
        yield
    finally:
        lock.release()


def _interrupt(number: int, frame: Any) -> None:
    """A polite end of the process stops the jobs too, as Ctrl-C does."""
    raise KeyboardInterrupt
