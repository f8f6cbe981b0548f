"""Hidden folders for unfinished files, and the removal of those that killed processes left. Imports no torch."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

__all__ = ["scratch_folder", "sweep"]

_NAME = re.compile(r"\.[0-9a-f]{16}\.part")


@contextlib.contextmanager
def scratch_folder(beside: Path) -> Iterator[Path]:
    """A new hidden folder (mode 0700) in the folder ``beside``, removed at the end.

    It is locked while it is in use, so that :func:`sweep`, which runs first, removes only what killed processes left.

    :raises OSError: if it cannot be made.
    """
    sweep(beside)
    folder, lock = _locked_folder(beside)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def sweep(folder: Path) -> None:
    """Remove scratch folders in ``folder`` whose process is gone; what cannot be removed stays."""
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            if _NAME.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                lock = _lock(Path(entry.path))
                if lock is not None:
                    shutil.rmtree(entry.path, ignore_errors=True)
                    os.close(lock)


def _locked_folder(beside: Path) -> tuple[Path, int | None]:
    while True:
        folder = beside / f".{secrets.token_hex(8)}.part"
        folder.mkdir(0o700)
        lock = _lock(folder)
        if folder.is_dir():  # else another process swept it away before it was locked
            return folder, lock
        if lock is not None:
            os.close(lock)


def _lock(folder: Path) -> int | None:
    """A descriptor that holds the folder's lock until it is closed; None if another holds it, or there are no locks."""
    if sys.platform == "win32":
        return None
    import fcntl

    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
