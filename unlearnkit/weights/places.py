"""Where weight files are looked for, and the check of their hash."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from unlearnkit.errors import CheckpointError, ConfigError
from unlearnkit.files.atomic import sha256_file
from unlearnkit.weights.record import WeightFile

__all__ = ["check_file", "find_file", "folders", "place", "present"]


def folders() -> tuple[Path, ...]:
    """Where torch.hub and facenet-pytorch keep downloaded weights (``$TORCH_HOME`` counts); the first is ours too."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = Path(os.path.expanduser(os.environ.get("TORCH_HOME") or os.path.join(cache, "torch")))
    return home / "hub" / "checkpoints", home / "checkpoints"


def place(file: WeightFile) -> Path:
    """Where ``unlearnkit fetch`` puts a file."""
    return folders()[0] / file.file_name


def present(file: WeightFile) -> Path | None:
    """The file in one of :func:`folders`, or None; its content is not checked."""
    return next((path for folder in folders() if (path := folder / file.file_name).is_file()), None)


def find_file(given: Path | None, file: WeightFile) -> Path:
    """The path that was given, or the registered file in the cache folder, whose hash is checked.

    :raises CheckpointError: if a path was given and is not a file, or the cached file is another one.
    :raises ConfigError: if none was given and the cache has none; says where it looked and what to do.
    """
    if given is not None:
        path = given.expanduser()
        if not path.is_file():
            what = "is a folder" if path.is_dir() else "does not exist"
            raise CheckpointError(f"{path}: {what}; give the path of {file.file_name}")
        return path
    found = present(file)
    if found is None:
        ways = [f"give the file with {file.setting}"] if file.setting else []
        ways += [file.instead] if file.instead else []
        looked = " and ".join(str(folder / file.file_name) for folder in folders())
        save = "" if file.fetchable else f" and save it as {place(file)}"
        raise ConfigError(f"no weights: looked for {looked}, and nothing is downloaded unasked; {file.how_to_get}{save}"
                          + "".join(f", or {way}" for way in ways))
    check_file(found, file)
    return found


def check_file(path: Path, file: WeightFile) -> None:
    """Check the SHA-256 of a file against what is known of it.

    :raises CheckpointError: if it differs.
    """
    if not file.sha256:
        return
    status = path.stat()
    found = _sha256(path, status.st_size, status.st_mtime_ns)
    if not found.startswith(file.sha256):
        shown = found[:max(8, len(file.sha256))]
        again = f"run 'unlearnkit fetch {file.name}'" if file.fetchable else f"get {file.file_name} from {file.page}"
        raise CheckpointError(f"{path}: is damaged or another file: its SHA-256 begins with {shown}, expected "
                              f"{file.sha256}; delete it and {again} again")


@lru_cache(maxsize=64)
def _sha256(path: Path, size: int, changed: int) -> str:
    """The hash of a file, computed once in a process as long as size and time of change are the same."""
    return sha256_file(path)
