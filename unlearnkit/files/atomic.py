"""Atomic file writes, and operating-system errors as one-line messages. Imports no torch."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from unlearnkit.errors import RunError

__all__ = ["plain_errors", "sha256_file", "sync_file", "sync_folder", "write_bytes"]

_ADVICE = {
    errno.ENOSPC: "no space is left on the disk; free some, or choose a folder on another disk with --out",
    errno.EDQUOT: "your disk quota is used up; free some, or choose a folder on another disk with --out",
    errno.EROFS: "the disk is read-only; choose another folder with --out",
    errno.EACCES: "permission denied; choose a folder that you may write to with --out",
    errno.EPERM: "permission denied; choose a folder that you may write to with --out",
    errno.ENOTDIR: "a part of the path is a file, not a folder; choose another folder with --out",
    errno.EEXIST: "a file of that name is in the way; move it away, or choose another folder with --out",
    errno.EISDIR: "a folder of that name is in the way; move it away",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one with --out",
    errno.ENOENT: "there is no such file or folder; check the path",
    errno.EMFILE: "too many files are open; close some programs and try again",
    errno.EIO: "the disk reports an error; check it, or choose a folder on another disk with --out",
}


@contextlib.contextmanager
def plain_errors(doing: str, path: Path) -> Iterator[None]:
    """Turn any ``OSError`` into a one-line :class:`RunError`: operation, path, reason, remedy."""
    try:
        yield
    except OSError as error:
        reason = _ADVICE.get(error.errno or 0) or error.strerror or str(error) or type(error).__name__
        raise RunError(f"cannot {doing} {_short(path)}: {reason}") from error


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` atomically: if killed at any moment, the complete old or new file is there.

    The bytes go to a hidden temporary file next to it, which is synced and then renamed. Missing folders are created.

    :raises OSError: leaving no partial file behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
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
    with plain_errors("read", path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest):]


def _short(path: Path) -> str:
    text = str(path)
    return text if len(text) <= 200 else f"{text[:90]}…{text[-90:]}"
