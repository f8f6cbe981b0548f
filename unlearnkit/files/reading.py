"""Reading files that may be anything: a pipe, a device, a sparse giant. Imports no torch."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

__all__ = ["HIGHEST_SETTINGS", "check_regular", "read_file"]

HIGHEST_SETTINGS = 64 << 20
"""Most bytes of a file of settings, numbers or log lines that is worth reading; a log of 100,000 steps has 20 MB."""


def check_regular(path: Path) -> int:
    """The size of a regular file in bytes; nothing is opened, so a pipe does not block and a device is left alone.

    :raises OSError: if it is missing or of another kind.
    """
    state = os.stat(path)
    if stat.S_ISDIR(state.st_mode):
        raise IsADirectoryError(errno.EISDIR, "is a folder, expected a file", str(path))
    if not stat.S_ISREG(state.st_mode):
        raise OSError(errno.ENOTSUP, "is a pipe, socket or device, expected a regular file", str(path))
    return state.st_size


def read_file(path: Path, most: int | None = HIGHEST_SETTINGS) -> bytes:
    """The bytes of a regular file of at most ``most`` bytes, checked before memory is taken.

    :raises OSError: if it is missing, of another kind, or larger.
    """
    check_regular(path)
    # O_NONBLOCK: what was a file a moment ago may be a pipe now.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    with open(descriptor, "rb") as file:
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode):
            raise OSError(errno.ENOTSUP, "is a pipe, socket or device, expected a regular file", str(path))
        if most is not None and state.st_size > most:
            raise OSError(errno.EFBIG, f"has {state.st_size:,} bytes, expected at most {most:,}", str(path))
        data = file.read() if most is None else file.read(most + 1)  # it may grow meanwhile
    if most is not None and len(data) > most:
        raise OSError(errno.EFBIG, f"has more than {most:,} bytes", str(path))
    return data
