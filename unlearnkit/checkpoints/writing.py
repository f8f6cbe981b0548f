"""Writing changed weights back in the format that came in: a copy of the base with their bytes replaced."""

from __future__ import annotations

import difflib
import mmap
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import attrs
import torch
from torch import Tensor

from unlearnkit.checkpoints.files import CHUNK, digest, guarded, map_file, mapped, new_file, unmap
from unlearnkit.checkpoints.reading import checkpoint_of, container_of, read_contents
from unlearnkit.checkpoints.records import (
    Checkpoint,
    Contents,
    Damaged,
    Hostile,
    Storage,
    TensorRef,
    TextPlace,
    shorten,
)
from unlearnkit.checkpoints.torchdata import flat_tensor, read_tensor, storage_bytes, window
from unlearnkit.errors import CheckpointError

__all__ = ["BaseFile", "open_base", "write_like"]


@attrs.define(eq=False)
class BaseFile:
    """The file that an edit was made for, opened once: its hash, its content and what is written come from one reading.

    * ``data``: all its bytes, mapped, for a format that only the generator's plugin can read
    * ``rounded_back``: of the numbers that :meth:`write` changed, the share that the file's precision turned into
      what they were before; 0 for a float32 file
    """

    path: Path
    data: mmap.mmap = attrs.field(repr=False)
    sha256: str
    rounded_back: float = 0.0
    _contents: Contents | None = attrs.field(init=False, default=None, repr=False)
    _checkpoint: Checkpoint | None = attrs.field(init=False, default=None, repr=False)

    @property
    def container(self) -> str | None:
        """What the file is by its first bytes: "pickle", "torch" or "safetensors"; None for all others."""
        return container_of(self.data)

    @property
    def checkpoint(self) -> Checkpoint:
        """What :func:`unlearnkit.checkpoints.read_checkpoint` gives, read when it is first asked for.

        :raises CheckpointError: if the file is damaged, or of a format that unlearnkit does not know.
        """
        if self._checkpoint is None:
            with guarded(self.path):
                self._contents = read_contents(self.data)
                self._checkpoint = checkpoint_of(self.path, self.data, self._contents, self.sha256)
        return self._checkpoint

    def cannot_hold(self, names: Iterable[str]) -> str | None:
        """Why tensors of these names cannot be written into this file: an unknown format, or no such names; or None."""
        try:
            state = self.checkpoint.state
        except CheckpointError as error:
            return str(error)
        return next((_no_tensor(self.path, name, state) for name in names if name not in state), None)

    def write(self, changed: Mapping[str, Tensor], out: Path) -> None:
        """Fill the file ``out`` with this one, the data of the tensors in ``changed`` replaced; all other bytes stay.

        Names and shapes are those of ``checkpoint.state`` (any device and strides), and so are dtypes, but that float32
        becomes the floating-point type of the file. Only the check sums of a zip archive change besides the data. What
        was written is read back and compared.

        :raises CheckpointError: if a tensor does not fit, or this file cannot be read.
        """
        state = self.checkpoint.state  # a damaged base is found, and named, before anything is written
        assert self._contents is not None
        fitted = _fitted(self.path, self._contents, changed)
        self.rounded_back = _rounded_back(state, changed, fitted)
        if self.rounded_back == 1.0:
            raise CheckpointError(
                f"{self.path}: holds its weights in a precision that is too coarse for these changes: all of them would"
                " be rounded back to what was there; convert the file with `unlearnkit convert --float32`, and start"
                " from that"
            )
        with guarded(self.path):
            _write(out, self.data, self._contents, fitted)
        if wrong := _unlike(out, state, fitted):
            raise CheckpointError(
                f"{self.path}: {shorten(wrong)} shares memory with another tensor that has other values; change both"
                " alike"
            )


@contextmanager
def open_base(path: str | Path) -> Iterator[BaseFile]:
    """Open a base and hash it; CheckpointError if it cannot be read or is empty."""
    data = map_file(path)
    try:
        yield BaseFile(Path(path), data, digest(data))
    finally:
        unmap(data)


def write_like(base: str | Path, changed: Mapping[str, Tensor], out: str | Path) -> None:
    """Write `base` to `out` with the data of the tensors in `changed` replaced, see :meth:`BaseFile.write`.

    The new file appears whole or not at all. Raises CheckpointError if `out` exists (also as a link, also if it is
    `base`), if a tensor does not fit, or if the base cannot be read.
    """
    with open_base(base) as opened, new_file(Path(out)) as part:
        opened.write(changed, part)


def _no_tensor(base: Path, name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), 3)
    hint = f"; nearest: {', '.join(near)}" if near else ""
    return f"{base}: has no tensor {shorten(name)}{hint}"


def _fitted(base: Path, contents: Contents, changed: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The changed tensors on the CPU, in the types of the file."""
    fitted = {}
    for name, tensor in changed.items():
        ref = contents.tensors.get(name)
        if ref is None:
            raise CheckpointError(_no_tensor(base, name, contents.tensors))
        dtype = ref.storage.dtype
        same = tensor.dtype is dtype or (tensor.dtype is torch.float32 and dtype.is_floating_point)
        if tuple(tensor.shape) != ref.size or not same:
            raise CheckpointError(
                f"{base}: {name} is {tuple(tensor.shape)} of {tensor.dtype}; the file has {ref.size} of {dtype},"
                " and both must agree"
            )
        fitted[name] = tensor.detach().cpu().to(dtype)
        if tensor.dtype is not dtype and bool((fitted[name].isinf() & ~tensor.detach().cpu().isinf()).any()):
            raise CheckpointError(
                f"{base}: holds {name} as {dtype}, and the changed numbers are too large for that; convert the file"
                " with `unlearnkit convert --float32` and start from that"
            )
    return fitted


def _rounded_back(state: Mapping[str, Tensor], changed: Mapping[str, Tensor], fitted: Mapping[str, Tensor]) -> float:
    """The share of the changed numbers that are as before in the type of the file."""
    differ = lost = 0
    for name, tensor in changed.items():
        if tensor.dtype is not state[name].dtype:
            moved = tensor.detach().cpu() != state[name].to(tensor.dtype)
            differ, lost = differ + int(moved.sum()), lost + int((moved & (fitted[name] == state[name])).sum())
        else:
            differ += int((fitted[name] != state[name]).sum())
    return lost / differ if differ else 0.0


def _patch(
    target: BinaryIO, data: mmap.mmap, storage: Storage, items: list[tuple[TensorRef, Tensor]]
) -> None:
    """Write one storage with its changed tensors, through their strides, and its check sums."""
    raw = storage_bytes(data, storage)
    flat = flat_tensor(raw, storage.dtype)
    for ref, tensor in items:
        window(flat, ref).copy_(tensor)
    assert storage.start is not None
    target.seek(storage.start)
    target.write(raw)
    for field in storage.crc_fields:
        target.seek(field)
        target.write(struct.pack("<I", zlib.crc32(raw)))


def _write(out: Path, data: mmap.mmap, contents: Contents, changed: Mapping[str, Tensor]) -> None:
    by_storage: dict[int, list[tuple[TensorRef, Tensor]]] = {}
    for name, tensor in changed.items():
        ref = contents.tensors[name]
        by_storage.setdefault(id(ref.storage), []).append((ref, tensor))
    with out.open("wb") as target:
        if any(items[0][0].storage.start is None for items in by_storage.values()):
            _write_texts(target, data, list(by_storage.values()))
            return
        _copy(target, data, 0, len(data))
        for items in by_storage.values():
            _patch(target, data, items[0][0].storage, items)


def _copy(target: BinaryIO, data: mmap.mmap, start: int, stop: int) -> None:
    for position in range(start, stop, CHUNK):
        target.write(data[position : min(position + CHUNK, stop)])


def _write_texts(target: BinaryIO, data: mmap.mmap, storages: list[list[tuple[TensorRef, Tensor]]]) -> None:
    """Write a pickle of protocol 2, whose weights are texts: other weights, another length of the text.

    Nothing in such a pickle counts bytes but the text's own length.
    """
    places: list[tuple[TextPlace, list[tuple[TensorRef, Tensor]]]] = []
    for items in storages:
        place = items[0][0].storage.text
        if place is None or data[:2] != b"\x80\x02" or data[place.start - 5 : place.start - 4] != b"X":
            raise Damaged("holds its weights as texts in a way that Python's own pickle does not write them; save it "
                          "once more with `pickle.dump`, or use the edit as it is: unlearnkit sample --edit")
        places.append((place, items))
    position = 0
    for place, items in sorted(places, key=lambda entry: entry[0].start):
        if place.start - 4 < position:
            raise Hostile("has two storages in the same text")
        raw = storage_bytes(data, items[0][0].storage)
        flat = flat_tensor(raw, items[0][0].storage.dtype)
        for ref, tensor in items:
            window(flat, ref).copy_(tensor)
        text = (place.head + raw).decode("latin-1").encode("utf-8")
        _copy(target, data, position, place.start - 4)
        target.write(struct.pack("<I", len(text)) + text)
        position = place.start + place.length
    _copy(target, data, position, len(data))


def _same(a: Tensor, b: Tensor) -> bool:
    # Compared as bytes: not-a-number equals itself, and 0 differs from -0.
    return torch.equal(a.contiguous().flatten().view(torch.uint8), b.contiguous().flatten().view(torch.uint8))


def _unlike(out: Path, state: Mapping[str, Tensor], changed: Mapping[str, Tensor]) -> str | None:
    """Read the new file as any other; the first tensor in it that is not what it should be, or None."""
    with mapped(out) as data:
        written = read_contents(data).tensors
        for name, tensor in state.items():
            if name not in written or not _same(read_tensor(data, written[name]), changed.get(name, tensor)):
                return name
    return None
