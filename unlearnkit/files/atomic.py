"""Atomic file writes, and operating-system errors as one-line messages. Imports no torch."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from unlearnkit.errors import RunError
from unlearnkit.files.reading import check_regular
from unlearnkit.files.scratch import scratch_folder

__all__ = ["PRIVATE", "plain_errors", "sha256_file", "sync_file", "sync_folder", "write_bytes", "write_new"]

PRIVATE = 0o600
"""Mode of a file in a run directory, since these show a person; what a user names with --out follows the umask."""

_ADVICE = {
    errno.ENOSPC: "no space is left on the disk; free some, or choose a folder on another disk",
    errno.EDQUOT: "your disk quota is used up; free some, or choose a folder on another disk",
    errno.EROFS: "the disk is read-only; choose another folder",
    errno.EACCES: "permission denied; choose a folder or file that you may use",
    errno.EPERM: "permission denied; choose a folder or file that you may use",
    errno.ENOTDIR: "a part of the path is a file, not a folder; choose another folder",
    errno.EEXIST: "a file of that name is in the way; move it away, or choose another folder",
    errno.EISDIR: "a folder of that name is in the way; move it away",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
    errno.ENOENT: "there is no such file or folder; check the path",
    errno.EMFILE: "too many files are open; close some programs and try again",
    errno.EIO: "the disk reports an error; check it, or choose a folder on another disk",
}


@contextlib.contextmanager
def plain_errors(doing: str, path: Path) -> Iterator[None]:
    """Turn any ``OSError`` into a one-line :class:`RunError`: operation, path, reason, remedy; and lack of memory."""
    try:
        yield
    except MemoryError as error:
        raise RunError(
            f"cannot {doing} {_short(path)}: it needs more memory than is free; close other programs and try again"
        ) from error
    except OSError as error:
        reason = _ADVICE.get(error.errno or 0) or error.strerror or str(error) or type(error).__name__
        raise RunError(f"cannot {doing} {_short(path)}: {reason}") from error


def write_bytes(path: Path, data: bytes, mode: int = 0o666) -> None:
    """Write ``data`` to ``path`` atomically: if killed at any moment, the complete old or new file is there.

    The bytes go to a hidden temporary file next to it, which is synced and then renamed. Missing folders are created.
    ``mode`` is that of the file, less the umask; folders get the same, and may be entered by those who may read.

    :raises OSError: leaving no partial file behind.
    """
    path.parent.mkdir(mode | (mode & 0o444) >> 2, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        try:
            _write_all(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path.parent)


def write_new(path: Path, data: bytes, mode: int = 0o666) -> None:
    """Write a file that a user named: whole or not at all, never over another; ``mode`` is its mode, less the umask.

    :raises FileExistsError: if the name is taken, also by a link that leads nowhere.
    :raises OSError: if it cannot be written.
    """
    if os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    with scratch_folder(path.parent) as folder:
        part = folder / path.name
        write_bytes(part, data, mode)
        try:
            os.link(part, path)
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links
            os.rename(part, path)
    sync_folder(path.parent)


def sync_file(path: Path) -> None:
    """Flush ``path`` to disk, so that it survives a power cut; a missing file is fine."""
    with contextlib.suppress(FileNotFoundError):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Flush renames and deletions in ``folder`` to disk, where the file system supports it."""
    with contextlib.suppress(OSError):
        sync_file(folder)


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with plain_errors("read", path):
        check_regular(path)
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest):]


def _short(path: Path) -> str:
    text = str(path)
    return text if len(text) <= 200 else f"{text[:90]}…{text[-90:]}"
