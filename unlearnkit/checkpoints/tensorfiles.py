"""safetensors files: a JSON header, then raw data; the header is checked here before anything is read."""

from __future__ import annotations

import json
import mmap
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from unlearnkit.checkpoints.files import guarded, mapped, sync, temporary_beside
from unlearnkit.checkpoints.records import Contents, Cut, Damaged, Hostile, Storage, TensorRef, shorten
from unlearnkit.checkpoints.torchdata import MAX_DIMENSIONS, check_total, read_tensor
from unlearnkit.errors import CheckpointError

DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8,
    "BOOL": torch.bool,
}
MAX_HEADER = 16 << 20
METADATA = "__metadata__"


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise Hostile("has two entries of one name in its header")
    return result


def header_size(data: mmap.mmap | bytes) -> int | None:
    """Bytes of the JSON header if this looks like a safetensors file, else None."""
    if len(data) < 10 or data[8:9] != b"{":
        return None
    return int.from_bytes(data[:8], "little")


def _header(data: mmap.mmap) -> tuple[dict[str, Any], int]:
    size = header_size(data)
    if size is None:
        raise Damaged("is no safetensors file; give a file that was written by safetensors or by unlearnkit")
    if size > MAX_HEADER or 8 + size > len(data):
        raise Cut(
            f"states a header of {size} bytes, but has {len(data)} in all (at most {MAX_HEADER} are accepted)"
        )
    try:
        header = json.loads(data[8 : 8 + size].decode("utf-8"), object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        raise Cut(f"has a header that is no JSON ({type(error).__name__})") from error
    if not isinstance(header, dict):
        raise Cut("has a header that is no JSON object")
    return header, 8 + size


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 48


def _tensor(name: str, value: object, start: int) -> tuple[TensorRef, int]:
    """A header entry as a tensor whose data must begin at byte `start` of the data, and where they end."""
    entry = value if isinstance(value, dict) else {}
    kind, shape, offsets = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    if not isinstance(kind, str) or kind not in DTYPES:
        raise Damaged(f"has tensor {shorten(name)} of an unknown type; known are {', '.join(DTYPES)}")
    if not isinstance(shape, list) or len(shape) > MAX_DIMENSIONS or not all(map(_is_count, shape)):
        raise Hostile(f"has tensor {shorten(name)} with an impossible shape")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(_is_count, offsets)):
        raise Hostile(f"has tensor {shorten(name)} with impossible positions")
    numel, stride = 1, []
    for extent in reversed(shape):
        stride.append(numel)
        numel *= max(extent, 1)
    numel = 0 if 0 in shape else numel
    if offsets[0] != start or offsets[1] != start + numel * DTYPES[kind].itemsize:
        raise Hostile(f"has tensor {shorten(name)} whose bytes do not fit its shape, or gaps or overlaps")
    storage = Storage(DTYPES[kind], numel, start)
    return TensorRef(storage, 0, tuple(shape), tuple(reversed(stride))), offsets[1]


def read_header(data: mmap.mmap) -> tuple[dict[str, TensorRef], dict[str, str]]:
    """All tensors (unread) and the metadata; Damaged unless the data are covered exactly once."""
    header, base = _header(data)
    metadata = header.pop(METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise Hostile("has metadata that are not texts")
    tensors: dict[str, TensorRef] = {}
    end = 0
    for name, value in sorted(header.items(), key=_offset):
        tensors[name], end = _tensor(name, value, end)
    if base + end != len(data):
        raise Cut(f"has {len(data) - base} bytes of data where its header states {end}")
    for ref in tensors.values():
        assert ref.storage.start is not None
        ref.storage.start += base
    return {name: tensors[name] for name in header}, metadata


def _offset(item: tuple[str, Any]) -> tuple[int, int]:
    offsets = item[1].get("data_offsets") if isinstance(item[1], dict) else None
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(_is_count, offsets)):
        return (0, 0)  # `_tensor` names what is wrong
    return offsets[0], offsets[1]


def read_safetensors(data: mmap.mmap) -> Contents:
    """A safetensors file as a checkpoint: `class_name` and `init_kwargs` (JSON) come from the metadata."""
    tensors, metadata = read_header(data)
    try:
        init_kwargs = json.loads(metadata.get("init_kwargs", "{}"))
    except (ValueError, RecursionError) as error:
        raise Damaged("has metadata whose 'init_kwargs' are no JSON; save it again") from error
    if not isinstance(init_kwargs, dict):
        raise Damaged("has metadata whose 'init_kwargs' are no JSON object; save it again")
    return Contents("safetensors", tensors, metadata.get("class_name"), init_kwargs, metadata=metadata)


def read_tensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors (CPU, contiguous, names as in the file) and the metadata of a safetensors file.

    Raises CheckpointError, naming the file, if it is missing, damaged or of another format.
    """
    with mapped(path) as data:
        refs, metadata = read_header(data)
        check_total(refs.values(), len(data))
        return {name: read_tensor(data, ref) for name, ref in refs.items()}, metadata


def write_tensors(
    path: str | Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str], *, mode: int | None = None
) -> None:
    """Write a safetensors file that appears whole or not at all, replacing an older one of that name.

    Tensors of any shape, on any device and with any strides; metadata are texts; `mode` is that of the file, by
    default as the umask says. Raises CheckpointError, naming the file, if a type cannot be stored or the file cannot
    be written.
    """
    path = Path(path)
    for name, tensor in tensors.items():
        if tensor.dtype not in DTYPES.values():
            raise CheckpointError(
                f"{path}: {name} is of type {tensor.dtype}; can be stored: {', '.join(DTYPES)}"
            )
    if METADATA in tensors or not all(isinstance(value, str) for value in metadata.values()):
        raise CheckpointError(f"{path}: metadata must be texts, and no tensor may be named {METADATA}")
    own = {name: _own_memory(tensor) for name, tensor in tensors.items()}
    with guarded(path), temporary_beside(path) as part:
        allowed = part.stat().st_mode & 0o777 if mode is None else mode
        _save(own, part, dict(metadata))
        os.chmod(part, allowed)  # safetensors replaces the file by one of its own with mode 0600
        _sort_header(part)
        sync(part)
        os.replace(part, path)


def _save(tensors: dict[str, Tensor], part: Path, metadata: dict[str, str]) -> None:
    try:
        save_file(tensors, part, metadata=metadata)
    except SafetensorError as error:  # a full disk comes as a text: "... (os error 28)"
        code = re.search(r"os error (\d+)", str(error))
        if code is None:
            raise
        raise OSError(int(code[1]), os.strerror(int(code[1]))) from error


def _sort_header(path: Path) -> None:
    """Equal contents, equal bytes: safetensors writes the metadata in another order each time."""
    with path.open("r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        texts = header.pop(METADATA, {})
        whole = {METADATA: dict(sorted(texts.items()))} | header if texts else header
        again = json.dumps(whole, separators=(",", ":"), ensure_ascii=False).encode().ljust(size)
        if len(again) == size:  # else it stays as it is: right, only not the same each time
            file.seek(8)
            file.write(again)


def _own_memory(tensor: Tensor) -> Tensor:
    # safetensors refuses tensors that share memory; a copy of each is the simple way out.
    return tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
