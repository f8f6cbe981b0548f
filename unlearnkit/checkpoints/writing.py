"""Writing changed weights back in the format that came in: a copy of the base with their bytes replaced."""

from __future__ import annotations

import difflib
import mmap
import os
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from unlearnkit.checkpoints.files import CHUNK, guarded, mapped, publish_new, sync, temporary_beside
from unlearnkit.checkpoints.reading import read_contents
from unlearnkit.checkpoints.records import Contents, Damaged, Storage, TensorRef, shorten
from unlearnkit.checkpoints.torchdata import check_total, flat_tensor, read_tensor, storage_bytes, window
from unlearnkit.errors import CheckpointError


def _check(base: Path, contents: Contents, changed: Mapping[str, Tensor]) -> None:
    for name, tensor in changed.items():
        ref = contents.tensors.get(name)
        if ref is None:
            near = difflib.get_close_matches(name, contents.tensors, 3)
            hint = f"; nearest: {', '.join(near)}" if near else ""
            raise CheckpointError(f"{base}: has no tensor {shorten(name)}{hint}")
        if tuple(tensor.shape) != ref.size or tensor.dtype is not ref.storage.dtype:
            raise CheckpointError(
                f"{base}: {name} is {tuple(tensor.shape)} of {tensor.dtype}; the file has {ref.size} of"
                f" {ref.storage.dtype}, and both must agree"
            )
        if ref.storage.start is None:
            raise CheckpointError(
                f"{base}: holds its weights as text (pickle protocol 2), which cannot be changed in place;"
                " save it once with a newer Python, or export the edit as safetensors"
            )


def _patch(
    target: BinaryIO, data: mmap.mmap, storage: Storage, items: list[tuple[TensorRef, Tensor]]
) -> None:
    """Write one storage with its changed tensors, through their strides, and its check sums."""
    raw = storage_bytes(data, storage)
    flat = flat_tensor(raw, storage.dtype)
    for ref, tensor in items:
        window(flat, ref).copy_(tensor.detach())
    assert storage.start is not None
    target.seek(storage.start)
    target.write(raw)
    for field in storage.crc_fields:
        target.seek(field)
        target.write(struct.pack("<I", zlib.crc32(raw)))


def _write(part: Path, data: mmap.mmap, contents: Contents, changed: Mapping[str, Tensor]) -> None:
    by_storage: dict[int, list[tuple[TensorRef, Tensor]]] = {}
    for name, tensor in changed.items():
        ref = contents.tensors[name]
        by_storage.setdefault(id(ref.storage), []).append((ref, tensor))
    with part.open("r+b") as target:
        for start in range(0, len(data), CHUNK):
            target.write(data[start : start + CHUNK])
        for items in by_storage.values():
            _patch(target, data, items[0][0].storage, items)


def _same(a: Tensor, b: Tensor) -> bool:
    # Compared as bytes: not-a-number equals itself, and 0 differs from -0.
    return torch.equal(a.contiguous().flatten().view(torch.uint8), b.contiguous().flatten().view(torch.uint8))


def _verify(part: Path, base: mmap.mmap, contents: Contents, changed: Mapping[str, Tensor]) -> None:
    """Read the new file as any other and compare every tensor with what it should be."""
    wrong = []
    with mapped(part) as data:
        written = read_contents(data).tensors
        for name, ref in contents.tensors.items():
            wanted = changed[name].detach().cpu() if name in changed else read_tensor(base, ref)
            if name not in written or not _same(read_tensor(data, written[name]), wanted):
                wrong.append(name)
    # Raised out here so that the error names the file that was asked for, not its temporary twin.
    if wrong:
        raise Damaged(
            f"could not be written: {shorten(wrong[0])} shares memory with another tensor that has other"
            " values; change both alike"
        )


def write_like(base: str | Path, changed: Mapping[str, Tensor], out: str | Path) -> None:
    """Write `base` to `out` with the data of the tensors in `changed` replaced; all other bytes stay.

    Names, shapes and dtypes must be those of `read_checkpoint(base).state` (any device and strides). Only the
    check sums of a zip archive change besides the data. The new file is read back and compared before it gets
    its name, so it appears whole or not at all. Raises CheckpointError if `out` exists (also as a link, also
    if it is `base`), if a tensor does not fit, or if the base cannot be read.
    """
    base, out = Path(base), Path(out)
    if os.path.lexists(out):
        raise CheckpointError(f"{out}: already exists and is never overwritten; choose another name")
    with mapped(base) as data:
        contents = read_contents(data)
        _check(base, contents, changed)
        check_total(contents.tensors.values(), len(data))
        for ref in contents.tensors.values():
            read_tensor(data, ref)  # a damaged base is found, and named, before anything is written
        with guarded(out), temporary_beside(out) as part:
            _write(part, data, contents, changed)
            sync(part)
            _verify(part, data, contents, changed)
            publish_new(part, out)
