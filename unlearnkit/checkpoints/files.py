"""Opening files that may be anything, and writing files that appear whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import mmap
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from unlearnkit.checkpoints.records import Damaged
from unlearnkit.errors import CheckpointError
from unlearnkit.files.scratch import scratch_folder

CHUNK = 1 << 20

OPEN_FAILURES = {
    errno.ENOENT: "does not exist; check the spelling of the path",
    errno.ELOOP: "is a loop of symbolic links; give the path of a real file",
    errno.EACCES: "may not be read by this user; change its permissions",
    errno.ENOTDIR: "lies below something that is no folder; check the path",
    errno.ENAMETOOLONG: "is too long for a path",
    errno.ENOSPC: "cannot be written: no space is left on the disk; free some, or choose another folder",
    errno.EDQUOT: "cannot be written: your disk quota is used up; free some, or choose another folder",
}


@contextmanager
def guarded(path: str | Path) -> Iterator[None]:
    """Turn whatever goes wrong inside into one CheckpointError that names the file.

    The broad clause is deliberate: the content is chosen by strangers, and a reader that meets something
    nobody thought of must still end in the one error that callers know.
    """
    try:
        yield
    except CheckpointError:
        raise
    except Damaged as error:
        raise CheckpointError(f"{path}: {error}") from error
    except OSError as error:
        reason = OPEN_FAILURES.get(error.errno or 0, f"cannot be read or written: {error.strerror or error}")
        raise CheckpointError(f"{path}: {reason}") from error
    except MemoryError as error:
        raise CheckpointError(f"{path}: needs more memory than is free; close other programs and try again") from error
    except Exception as error:
        kind = type(error).__name__
        raise CheckpointError(f"{path}: is damaged ({kind}: {error}); download or save it again") from error


def _open_regular(path: str | Path) -> int:
    # Looked at before and after opening: opening a device can have effects, and a pipe would block.
    mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        raise Damaged("is a folder; give the path of a weight file inside it")
    if not stat.S_ISREG(mode):
        raise Damaged("is a pipe, socket or device; give the path of a regular file")
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Damaged("changed while it was opened; try again")
    return descriptor


def map_file(path: str | Path) -> mmap.mmap:
    """The bytes of a regular, non-empty file, read-only and not held in memory; raises as `guarded` does."""
    with guarded(path):
        descriptor = _open_regular(path)
        try:
            if os.fstat(descriptor).st_size == 0:
                raise Damaged("is empty; download or save it again")
            return mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
        finally:
            os.close(descriptor)


def unmap(data: mmap.mmap) -> None:
    """Let go of mapped bytes."""
    with suppress(BufferError):  # a traceback still holds a view: the mapping goes with it
        data.close()


@contextmanager
def mapped(path: str | Path) -> Iterator[mmap.mmap]:
    """The bytes of a file as `map_file` gives them; whatever goes wrong inside is said of this file."""
    with guarded(path):
        data = map_file(path)
        try:
            yield data
        finally:
            unmap(data)


def digest(data: mmap.mmap) -> str:
    """SHA-256 of mapped bytes as hexadecimal digits, a megabyte at a time."""
    state = hashlib.sha256()
    for start in range(0, len(data), CHUNK):
        state.update(data[start : start + CHUNK])
    return state.hexdigest()


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a whole file as 64 hexadecimal digits; CheckpointError if it cannot be read or is empty."""
    with mapped(path) as data:
        return digest(data)


@contextmanager
def temporary_beside(out: Path) -> Iterator[Path]:
    """Path of a new empty file that is called like `out`, in a hidden folder beside it that is removed at the end.

    A folder, because some writers make a name of their own from the one they get (numpy adds `.npz`), and what they
    leave must go too. The file has the permissions that an ordinary new file gets, not mkstemp's 0600.
    """
    if not out.parent.is_dir():
        raise Damaged("cannot be written, because its folder does not exist; make the folder first")
    with scratch_folder(out.parent) as folder:
        part = folder / out.name
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        yield part


def check_free(out: Path) -> None:
    """Damaged if a name is taken, also by a link that leads nowhere."""
    if os.path.lexists(out):
        raise Damaged("already exists and is never overwritten; choose another name")


@contextmanager
def new_file(out: Path) -> Iterator[Path]:
    """Path of an empty file to be filled inside; at the end it gets the name `out`, which must be free.

    So `out` appears whole or not at all. Raises CheckpointError if the name is taken or the disk is full; an
    exception from inside that is not about a file is passed on.
    """
    try:
        check_free(out)
        with temporary_beside(out) as part:
            yield part
            sync(part)
            publish_new(part, out)
    except (Damaged, OSError, MemoryError) as error:
        with guarded(out):
            raise error


def sync(path: Path) -> None:
    """Have the bytes of a finished file reach the disk before its name does."""
    with path.open("rb") as handle:
        os.fsync(handle.fileno())


def publish_new(finished: Path, out: Path) -> None:
    """Give a finished file its name in one step; Damaged if the name is taken."""
    try:
        os.link(finished, out)
    except FileExistsError:
        raise Damaged("already exists and is never overwritten; choose another name") from None
    except OSError:  # a file system without hard links
        check_free(out)
        os.rename(finished, out)
