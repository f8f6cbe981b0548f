"""The record that callers get, and the few inert records that pass between the readers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
from torch import Tensor, dtype


class Damaged(Exception):
    """The content cannot be used; `files.guarded` turns this into a CheckpointError that names the file."""


class Hostile(Damaged):
    """The content contradicts itself: no program writes such a file."""

    def __str__(self) -> str:
        return f"{super().__str__()}; it is damaged or hostile, so fetch it again from where it was published"


class Cut(Damaged):
    """The content ends before its end."""

    def __str__(self) -> str:
        return f"{super().__str__()}; it is cut off or damaged, so download or save it again"


@attrs.frozen(eq=False)
class Checkpoint:
    """Everything a weight file says about one generator, as plain values and CPU tensors.

    `state` has the names that the file's own module has; its tensors are detached copies with the dtype,
    shape and strides of the file (tensors that share a storage in the file share it here), independent of the
    file afterwards.
    """

    path: Path
    format: str
    """"nvidia-pickle", "module" (a whole network in a file of torch.save), "rosinality", "psp", "state-dict" (other
    tensors in such a file) or "safetensors"."""
    class_name: str | None
    """NVIDIA: class of the chosen network ("TriPlaneGenerator"); safetensors: from the metadata."""
    init_kwargs: dict[str, Any]
    """NVIDIA: constructor arguments of the network; safetensors: from the metadata; else empty."""
    attributes: dict[str, Any]
    """NVIDIA: plain attributes of the network (z_dim, neural_rendering_resolution, ...); else empty."""
    state: dict[str, Tensor] = attrs.field(repr=False)
    metadata: dict[str, str]
    sha256: str
    """Of the whole file, as 64 hexadecimal digits."""


@attrs.frozen(eq=False)
class TextPlace:
    """Where protocol 2 wrote a storage's bytes as a text: the UTF-8 of their Latin-1."""

    start: int
    length: int
    head: bytes = attrs.field(repr=False)
    """What stands before the storage's bytes in the text."""


@attrs.define(eq=False)
class Storage:
    """Flat memory that one or several tensors look into, and where its bytes lie in the file."""

    dtype: dtype
    numel: int
    start: int | None
    """Position of the first byte in the file; None where the file does not hold the bytes as they are."""
    data: bytes | None = None
    """The bytes themselves where `start` is None."""
    text: TextPlace | None = None
    """Where the file holds them as a text, if its place is known."""
    crc: int | None = None
    """Check sum that the file states for these bytes (zip archives)."""
    crc_fields: tuple[int, ...] = ()
    """Positions of the 4-byte check sums to be changed with the data."""
    flat: Tensor | None = None

    @property
    def nbytes(self) -> int:
        """Size of the storage in bytes."""
        return self.numel * self.dtype.itemsize


@attrs.define(eq=False)
class TensorRef:
    """A tensor that has not been read: a storage and the window on it (all in elements)."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


@attrs.define(eq=False)
class Contents:
    """What a format's reader finds in a file before any tensor data is read."""

    format: str
    tensors: dict[str, TensorRef]
    class_name: str | None = None
    init_kwargs: dict[str, Any] = attrs.field(factory=dict)
    attributes: dict[str, Any] = attrs.field(factory=dict)
    metadata: dict[str, str] = attrs.field(factory=dict)


def shorten(text: str, limit: int = 80) -> str:
    """Text from a file, made fit to stand in one line of an error message."""
    return repr(text if len(text) <= limit else text[:limit] + "...")
