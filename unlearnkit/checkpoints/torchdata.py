"""From a file's storages to tensors: every size is compared with the bytes there before memory is taken."""

from __future__ import annotations

import mmap
import zlib
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from unlearnkit.checkpoints.records import Damaged, Hostile, Storage, TensorRef, shorten
from unlearnkit.checkpoints.standins import RawTensor

STORAGE_DTYPES = {
    "FloatStorage": torch.float32, "HalfStorage": torch.float16, "BFloat16Storage": torch.bfloat16,
    "DoubleStorage": torch.float64, "LongStorage": torch.int64, "IntStorage": torch.int32,
    "ShortStorage": torch.int16, "CharStorage": torch.int8, "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
MAX_DIMENSIONS = 32
MAX_TENSORS = 20_000
MAX_OVERLAP = 4
"""All tensors together may be at most this many times as large as the file they share."""


def storage_dtype(kind: str) -> torch.dtype:
    """The element type of a storage class by its name, for example "FloatStorage"."""
    if kind not in STORAGE_DTYPES:
        raise Damaged(f"has a storage of type {shorten(kind)}; known are {', '.join(STORAGE_DTYPES)}")
    return STORAGE_DTYPES[kind]


def _whole_numbers(value: object) -> tuple[int, ...]:
    if not isinstance(value, tuple) or len(value) > MAX_DIMENSIONS:
        raise Hostile("has a tensor whose shape or strides are no tuple of at most 32 numbers")
    for number in value:
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < 1 << 48:
            raise Hostile("has a tensor with an impossible number in its shape or strides")
    return value


def make_ref(raw: RawTensor, resolve: Callable[[object], Storage]) -> TensorRef:
    """Check a tensor's window against its storage; `resolve` finds the storage."""
    size, stride = _whole_numbers(raw.size), _whole_numbers(raw.stride)
    (offset,) = _whole_numbers((raw.offset,))
    if len(size) != len(stride):
        raise Hostile(f"has a tensor with {len(size)} sizes and {len(stride)} strides")
    storage = resolve(raw.storage)
    numel, last = 1, offset
    for extent, step in zip(size, stride, strict=True):
        numel *= extent
        last += (extent - 1) * step
    # A stride of 0 could make a tensor of a storage of one element that is larger than any memory.
    if numel and (last >= storage.numel or numel > storage.numel):
        raise Hostile(
            f"has a tensor of shape {size} that reaches beyond its storage of {storage.numel} elements"
        )
    return TensorRef(storage, offset if numel else 0, size, stride)


def storage_bytes(data: mmap.mmap, storage: Storage) -> bytearray:
    """A writable copy of a storage's bytes; Damaged if they do not match the file's own check sum."""
    if storage.start is None:
        raw = bytearray(storage.data or b"")
    else:
        raw = bytearray(memoryview(data)[storage.start : storage.start + storage.nbytes])
    if len(raw) != storage.nbytes:
        raise Hostile(f"has {len(raw)} bytes where a storage of {storage.nbytes} is stated")
    if storage.crc is not None and zlib.crc32(raw) != storage.crc:
        raise Damaged("has weights that do not match their check sum; download or save it again")
    return raw


def flat_tensor(raw: bytearray, dtype: torch.dtype) -> Tensor:
    """A 1-D tensor on top of `raw` (no copy)."""
    if not raw:
        return torch.empty(0, dtype=dtype)
    if dtype is torch.bool and max(raw) > 1:  # other bytes are neither true nor false to torch's kernels
        raise Hostile("has a boolean tensor with values other than 0 and 1")
    return torch.frombuffer(raw, dtype=dtype)


def window(flat: Tensor, ref: TensorRef) -> Tensor:
    """The tensor that `ref` describes, as a view on its storage's flat tensor."""
    return torch.as_strided(flat, ref.size, ref.stride, ref.offset)


def check_total(refs: Iterable[TensorRef], file_size: int) -> None:
    """Refuse more tensors, or larger ones through shared storages, than a file of this size can mean."""
    count = total = 0
    for ref in refs:
        numel = 1
        for extent in ref.size:
            numel *= extent
        count, total = count + 1, total + numel * ref.storage.dtype.itemsize
    if count > MAX_TENSORS or total > MAX_OVERLAP * file_size:
        raise Hostile(f"states {count} tensors of {total} bytes together, but has only {file_size} bytes")


def read_tensor(data: mmap.mmap, ref: TensorRef) -> Tensor:
    """The CPU tensor that `ref` describes; tensors of one storage share its memory."""
    if ref.storage.flat is None:
        ref.storage.flat = flat_tensor(storage_bytes(data, ref.storage), ref.storage.dtype)
    return window(ref.storage.flat, ref)
