"""The run directory: settings, manifest, log, checkpoint, pictures. Importing this imports no torch.

    config.toml      all settings, resolved         log.jsonl    one line per step: every loss term
    manifest.json    environment, inputs, status    checkpoint/  exact resume, removed when the run is finished
    metrics.json     metrics before and after       images/      pictures, listed in images/index.json
    numbers.json     declarations of the metrics: title, direction, unit
    report.html      the report                     edit.safetensors
    inputs.key       what hashes of inputs are made with, so that they say nothing to others

The folder is private (mode 0700, its files 0600), since it shows a person. Every file is written atomically, a run
never overwrites another, and two processes never write the same run: the first write takes an operating-system lock,
which is released when the process ends, however it ends.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import os
import re
import shutil
import time
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Self

from filelock import FileLock, Timeout

from unlearnkit.errors import RunError
from unlearnkit.files import atomic
from unlearnkit.files.keyed import new_key, picture_hash
from unlearnkit.files.plain import json_bytes, parse_json, toml_bytes
from unlearnkit.files.reading import read_file
from unlearnkit.files.scratch import sweep
from unlearnkit.runs import checkpoint as resume
from unlearnkit.runs import log as runlog
from unlearnkit.runs import manifest as manifest_file
from unlearnkit.runs.key import KEY, read_key

if TYPE_CHECKING:
    from torch import Tensor

    from unlearnkit.config import RequestSettings, Settings, Uses

__all__ = ["Run"]

_LOCK = ".lock"


class Run:
    """One run directory, from :meth:`create` or :meth:`open`; ``close`` (or ``with``) releases the lock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._began = time.monotonic()
        # Not thread-local: any thread may close the run and release the lock. It never outlives the process.
        self._lock = FileLock(path / _LOCK, mode=atomic.PRIVATE, thread_local=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    # ------------------------------------------------------------ create, open, lock

    @classmethod
    def create(cls, out: Path | None, settings: Mapping[str, Any], name: str) -> Self:
        """Create a new run directory: ``out``, or ``runs/<name>-<time>`` if that is None.

        ``out`` must be empty or not exist: a run never overwrites another. Writes ``config.toml`` (omitting None) and
        ``manifest.json``; on failure nothing is left behind.
        """
        path, made = _default_folder(name) if out is None else _given_folder(Path(out))
        run = cls(path)
        try:
            run.lock()
            if set(os.listdir(path)) - {_LOCK}:
                raise RunError(f"{path} was just filled by another process; choose another folder with --out")
            # Serialise both before writing either: a failure in between would leave half a run.
            config, manifest = toml_bytes(settings), manifest_file.new(name, settings)
            run.write_bytes("config.toml", config)
            run.write_json("manifest.json", manifest)
        except BaseException:
            run.close()
            if made:
                shutil.rmtree(path, ignore_errors=True)
            raise
        return run

    @classmethod
    def open(cls, path: Path | str, *, resume: bool = False) -> Self:
        """Open an existing run; ``resume`` takes the lock at once, otherwise the first write does."""
        run = cls(Path(path))
        with atomic.plain_errors("open", run.path):
            os.listdir(run.path)
        if not (run.path / "manifest.json").exists():
            raise RunError(f"{path} is no run directory (no manifest.json); give one that a run made")
        _ = run.manifest, run.config
        if resume:
            run.lock()
            run.clean()
        return run

    def lock(self) -> None:
        """Take the write lock.

        :raises RunError: if another process holds it.
        """
        if self._lock.is_locked:
            return
        with atomic.plain_errors("lock", self.path / _LOCK):
            if not self.path.is_dir():
                raise FileNotFoundError(errno.ENOENT, "no such folder")
            try:
                self._lock.acquire(blocking=False)
                (self.path / _LOCK).write_text(f"pid {os.getpid()}")  # for the message of another process
            except Timeout:
                owner = read_file(self.path / _LOCK).decode(errors="replace")[:20].strip()
                raise RunError(
                    f"{self.path} is being written by another process{f' ({owner})' if owner else ''}; wait until it "
                    "is done, stop it, or choose another folder with --out"
                ) from None
            except NotImplementedError:  # a file system without locks (some network disks): work without one
                pass

    def clean(self) -> None:
        """Remove unfinished files that a killed process left; call it with the lock held."""
        for folder in (self.path, self.path / "images", self.path / "checkpoint"):
            sweep(folder)
            with contextlib.suppress(OSError):
                for left in folder.glob(".*.tmp"):
                    left.unlink()

    def close(self) -> None:
        """Release the lock; further writes take it again."""
        self._lock.release()

    # ------------------------------------------------------------ files

    def write_bytes(self, relative: str, data: bytes) -> Path:
        """Write a file of this run atomically; ``relative`` is its path inside the run."""
        path = self._inside(relative)
        self.lock()
        with atomic.plain_errors("write", path):
            atomic.write_bytes(path, data, atomic.PRIVATE)
        return path

    def write_text(self, relative: str, text: str) -> Path:
        """Write a text file (UTF-8) atomically."""
        return self.write_bytes(relative, text.encode())

    def write_json(self, relative: str, value: Any) -> Path:
        """Write strict JSON atomically; numbers that are not finite become null."""
        return self.write_bytes(relative, json_bytes(value))

    def read_json(self, relative: str) -> Any:
        """Read a JSON file of this run; None if it does not exist."""
        path = self._inside(relative)
        with atomic.plain_errors("read", path):
            try:
                data = read_file(path)
            except FileNotFoundError:
                return None
        try:
            return parse_json(data)
        except ValueError as error:
            raise RunError(f"{path} is damaged: {error}; start a new run, or restore it") from error

    def _inside(self, relative: str) -> Path:
        parts = PurePosixPath(relative).parts
        if not parts or ".." in parts or parts[0].startswith("/") or "\0" in relative:
            raise RunError(f"{relative!r} is no path inside a run directory; use one such as 'images/0.png'")
        return self.path / relative

    # ------------------------------------------------------------ settings, manifest

    @property
    def config(self) -> dict[str, Any]:
        """All settings of the run as the table in ``config.toml``; use :attr:`settings` in code."""
        path = self.path / "config.toml"
        with atomic.plain_errors("read", path):
            data = read_file(path)
        try:
            return tomllib.loads(data.decode())
        except (ValueError, RecursionError) as error:
            raise RunError(f"{path} is damaged: {error}; start a new run, or restore it") from error

    @property
    def settings(self) -> Settings:
        """All settings of the run; imports its components, and so torch.

        :raises UnlearnkitError: if a component is no longer installed, or its options have changed.
        """
        from unlearnkit.config import RUN

        return self.settings_for(RUN)

    def settings_for(self, uses: Uses) -> Settings:
        """The part of the settings that another command uses; components that only the run needs may be missing.

        :raises UnlearnkitError: as :attr:`settings`.
        """
        from unlearnkit.config import resolve
        from unlearnkit.plugins import registry

        return resolve(uses.only(self.config), registry(), uses)

    @property
    def request(self) -> RequestSettings:
        """Whom the run erases, and who must be preserved."""
        from unlearnkit.config import RequestSettings
        from unlearnkit.options import build

        table = self.config.get("request")
        return build(RequestSettings, table if isinstance(table, Mapping) else {}, "request")

    @property
    def chosen(self) -> dict[str, str]:
        """The names of the chosen components, by section."""
        from unlearnkit.config import SECTIONS

        tables = {section: self.config.get(section) for section in SECTIONS}
        return {section: str(table["name"]) for section, table in tables.items()
                if isinstance(table, Mapping) and "name" in table}

    @property
    def manifest(self) -> dict[str, Any]:
        """Environment, inputs and status of the run (see :data:`unlearnkit.runs.manifest.STATUSES`)."""
        value = self.read_json("manifest.json")
        problem = manifest_file.problem(value)
        if problem:
            raise RunError(f"{self.path / 'manifest.json'} {problem}; start a new run, or restore it")
        return dict(value)

    def update_manifest(self, **facts: Any) -> None:
        """Set entries of the manifest; tables (``inputs``, ``timings``) are merged with the existing ones."""
        manifest = self.manifest
        for key, value in facts.items():
            old = manifest.get(key)
            if isinstance(old, dict) and isinstance(value, Mapping):
                value = {**old, **value}
            manifest[key] = value
        problem = manifest_file.problem(manifest)
        if problem:
            raise RunError(f"the new manifest {problem}")
        self.write_json("manifest.json", manifest)

    def record_inputs(self, paths: Iterable[Path]) -> None:
        """Record a hash of every input file, made with the run's key: it tells nobody else which picture it was."""
        paths = list(paths)
        key = (self.key or self.set_key(new_key())) if paths else None
        self.update_manifest(inputs={str(path): picture_hash(Path(path), key) for path in paths}, inputs_keyed=True)

    @property
    def key(self) -> bytes | None:
        """What the hashes of inputs were made with; None for a run that has no key (yet).

        :raises RunError: if its file is damaged.
        """
        return read_key(self.path)

    def set_key(self, key: bytes) -> bytes:
        """Keep a key in the run; returned unchanged."""
        self.write_text(KEY, key.hex() + "\n")
        return key

    def record_hash(self, name: str) -> None:
        """Note the SHA-256 of one of :data:`unlearnkit.runs.manifest.HASHED`, for :meth:`checked`."""
        self.update_manifest(**{manifest_file.HASHED[name]: atomic.sha256_file(self.path / name)})

    def checked(self, name: str) -> Path:
        """The path of one of :data:`unlearnkit.runs.manifest.HASHED`, which must be the file that this run wrote.

        :raises RunError: if it is missing or another file; an older run noted no hash: only if missing.
        """
        path, noted = self.path / name, self.manifest.get(manifest_file.HASHED[name])
        found = atomic.sha256_file(path)
        if noted and found != noted:
            raise RunError(f"{path} (SHA-256 {found[:16]}...) is not the file that this run wrote "
                           f"({str(noted)[:16]}...); put that file back, or start a new run")
        return path

    def finish(self, status: str, **facts: Any) -> None:
        """Record status, total time (over all resumes) and peak memory."""
        before = self.manifest
        memory = manifest_file.peak_memory()
        for key, value in before["memory"].items():
            memory[key] = max(memory.get(key, 0), value)
        seconds = before["seconds"] + time.monotonic() - self._began
        self._began = time.monotonic()
        ended = {"status": status, "finished": manifest_file.now(), "seconds": round(seconds, 3)}
        self.update_manifest(**ended, memory=memory, **facts)

    # ------------------------------------------------------------ log

    def log(self, step: int, terms: Mapping[str, float]) -> None:
        """Append one line to ``log.jsonl`` atomically: the 0-based step and its terms."""
        self.lock()
        runlog.append(self._log, step, terms)

    def read_log(self) -> list[dict[str, float]]:
        """Every complete line, ``{"step": 0, "total": …}``; an incomplete last line, left by a kill, is skipped."""
        return runlog.read(self._log)

    def truncate_log(self, steps: int) -> None:
        """Keep exactly the first ``steps`` steps; later ones are redone after a resume."""
        self.write_bytes("log.jsonl", runlog.beginning(self._log, steps))

    @property
    def _log(self) -> Path:
        return self.path / "log.jsonl"

    # ------------------------------------------------------------ checkpoint

    def save_checkpoint(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Replace the checkpoint: tensors by name, and the rest (step, …) as JSON-serialisable ``state``.

        If killed at any moment, the old or the new checkpoint remains, complete.
        """
        with atomic.plain_errors("write", self._log):
            atomic.sync_file(self._log)  # the log must never be behind the checkpoint
        resume.save(self, tensors, state)

    def load_checkpoint(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """``(tensors, state)`` of the last complete checkpoint (on the CPU), or None if there is none."""
        return resume.load(self)

    def clear_checkpoint(self) -> None:
        """Remove the checkpoint; a finished run needs none."""
        resume.clear(self)


def _default_folder(name: str) -> tuple[Path, bool]:
    """Create ``runs/<name>-<time>``, with a numeric suffix if that is taken."""
    stem = f"{re.sub(r'[^A-Za-z0-9._-]+', '-', name)}-{datetime.datetime.now():%Y%m%d-%H%M%S}"
    number = 1
    while True:
        path = Path("runs") / (stem if number == 1 else f"{stem}-{number}")
        with atomic.plain_errors("make the folder", path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                path.mkdir(0o700)
                return path, True
        number += 1


def _given_folder(path: Path) -> tuple[Path, bool]:
    """Create the folder, or accept it if empty; also returns whether it was created."""
    with atomic.plain_errors("make the folder", path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir(0o700)
            return path, True
        except FileExistsError:
            if set(os.listdir(path)) - {_LOCK}:
                raise RunError(
                    f"{path} is not empty, and a run never overwrites another; give a new folder with --out, "
                    f"or continue that run with --resume {path}"
                ) from None
            with contextlib.suppress(OSError):  # a folder of somebody else: its files are private all the same
                path.chmod(0o700)
            return path, False
