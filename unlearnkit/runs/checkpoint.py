"""Crash-safe checkpoints of a run: if killed at any moment, a complete checkpoint remains.

``checkpoint/state.json`` is authoritative: it names its tensor file and that file's SHA-256. New tensors go to the
other of two file names, so the old pair stays intact until ``state.json`` is replaced atomically; then the old tensors
are removed.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from unlearnkit.errors import RunError
from unlearnkit.files import atomic
from unlearnkit.files.plain import json_bytes
from unlearnkit.files.reading import read_file

if TYPE_CHECKING:
    from torch import Tensor

    from unlearnkit.runs import Run

__all__ = ["clear", "load", "save"]

_STATE = "checkpoint/state.json"
_SLOTS = ("tensors-a.safetensors", "tensors-b.safetensors")
_FORMAT = 1


def save(run: Run, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    """Replace the checkpoint of ``run`` by ``tensors`` and their JSON-serialisable ``state``."""
    from safetensors.torch import save as to_bytes

    record = json_bytes(state)  # before anything is written, since it may fail
    # Copies: safetensors refuses tensors that share memory.
    plain = {name: _own_copy(tensor) for name, tensor in tensors.items()}
    data = to_bytes(plain)
    old = _current_slot(run)
    slot = _SLOTS[1] if old == _SLOTS[0] else _SLOTS[0]
    run.write_bytes(f"checkpoint/{slot}", data)
    run.write_json(_STATE, {
        "format": _FORMAT,
        "tensors": slot,
        "tensors_sha256": hashlib.sha256(data).hexdigest(),
        "state_sha256": hashlib.sha256(record).hexdigest(),
        "state": state,
    })
    if old is not None:
        with contextlib.suppress(OSError):  # only frees space; the next save but one overwrites it
            (run.path / "checkpoint" / old).unlink()


def load(run: Run) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The last complete checkpoint of ``run``, or None; :class:`RunError` if it is damaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load as from_bytes

    record = run.read_json(_STATE)
    if record is None:
        return None
    _check_state(run, record)
    path = run.path / "checkpoint" / record["tensors"]
    with atomic.plain_errors("read", path):
        data = read_file(path, None)
    if hashlib.sha256(data).hexdigest() != record.get("tensors_sha256"):
        raise RunError(f"{path} is damaged: not the file that state.json belongs to; start a new run")
    try:
        return from_bytes(data), dict(record["state"])
    except SafetensorError as error:
        raise RunError(f"{path} is damaged ({error}); start a new run") from error


def clear(run: Run) -> None:
    """Remove the checkpoint, ``state.json`` first, so that an interruption leaves no partial one."""
    folder = run.path / "checkpoint"
    run.lock()
    with atomic.plain_errors("remove", folder):
        if not folder.exists():
            return
        (folder / "state.json").unlink(missing_ok=True)
        atomic.sync_folder(folder)
        for name in (*_SLOTS, *(f".{name}.tmp" for name in (*_SLOTS, "state.json"))):
            (folder / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # not empty: it holds files of others
            folder.rmdir()


def _own_copy(tensor: Tensor) -> Tensor:
    import torch

    return tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)


def _current_slot(run: Run) -> str | None:
    try:
        record = run.read_json(_STATE)
    except RunError:  # a damaged checkpoint may be replaced
        return None
    slot = record.get("tensors") if isinstance(record, dict) else None
    return slot if slot in _SLOTS else None


def _check_state(run: Run, record: Any) -> None:
    path = run.path / _STATE
    if not isinstance(record, dict) or record.get("format") != _FORMAT:
        raise RunError(f"{path} is damaged, or of another version of unlearnkit; start a new run")
    state = record.get("state")
    whole = isinstance(state, dict) and record.get("tensors") in _SLOTS
    if not whole or hashlib.sha256(json_bytes(state)).hexdigest() != record.get("state_sha256"):
        raise RunError(f"{path} is damaged: its content does not match its checksum; start a new run")
