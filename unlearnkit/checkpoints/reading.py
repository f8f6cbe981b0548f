"""Which format a file has, told by its content alone, and the one function that reads them all."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Mapping
from pathlib import Path

import attrs

from unlearnkit.checkpoints.containers import read_root, unwrap_names
from unlearnkit.checkpoints.files import digest, mapped
from unlearnkit.checkpoints.instructions import read_pickle
from unlearnkit.checkpoints.legacy import MAGIC, open_nested, read_stream
from unlearnkit.checkpoints.pickles import Budget, PickleReader
from unlearnkit.checkpoints.records import Checkpoint, Contents, Damaged, Hostile, Storage
from unlearnkit.checkpoints.standins import NestedStorage, StorageKey, WeightStandins
from unlearnkit.checkpoints.tensorfiles import header_size, read_safetensors
from unlearnkit.checkpoints.torchdata import check_total, read_tensor
from unlearnkit.checkpoints.zipped import read_archive

WANTED = "expected an NVIDIA .pkl, a rosinality/pSp/e4e .pt or a .safetensors file"
FOREIGN_SIGNATURES = {
    b"\x89PNG": "is a PNG picture",
    b"\xff\xd8\xff": "is a JPEG picture",
    b"\x1f\x8b": "is a gzip archive; unpack it first",
    b"BZh": "is a bzip2 archive; unpack it first",
    b"\xfd7zXZ": "is an xz archive; unpack it first",
    b"7z\xbc\xaf": "is a 7z archive; unpack it first",
    b"\x89HDF": "is an HDF5 file (Keras)",
    b"GGUF": "is a GGUF file",
    b"\x08\x07\x12": "looks like an ONNX file",
    b"\x08\x08\x12": "looks like an ONNX file",
    b"version https://git-lfs": "is a git-lfs pointer, not the file itself; run `git lfs pull`",
}


def _foreign_format(start: bytes) -> str:
    for signature, name in FOREIGN_SIGNATURES.items():
        if start.startswith(signature):
            return name
    text = start.lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html", b"<?xml")):
        return "is a web page, so the download failed (a quota or a confirmation page); fetch it by hand"
    if start.isascii() and b"\0" not in start:
        return "is a text"
    return "is of no known format"


def container_of(data: mmap.mmap | bytes) -> str | None:
    """The container of a file, told by its first bytes: "safetensors", "torch" or "pickle"; None for all others."""
    start = data[:512]
    if start.startswith(b"PK\x03\x04"):
        return "torch"
    if header_size(data) is not None:
        return "safetensors"
    if start[:1] == b"\x80" and start[1:2] in (b"\2", b"\3", b"\4", b"\5"):
        return "torch" if MAGIC.to_bytes(10, "little") in start[:32] else "pickle"
    return None


def read_contents(data: mmap.mmap) -> Contents:
    """The format of a mapped file and what it holds, before any tensor data; Damaged if there is none."""
    container = container_of(data)
    if container is None:
        raise Damaged(f"{_foreign_format(data[:512])}; {WANTED}")
    if container == "safetensors":
        contents = read_safetensors(data)
        return attrs.evolve(contents, tensors=unwrap_names(contents.tensors)[0])
    budget = Budget()
    if data[:2] == b"PK":
        root, storages = read_archive(data, budget)
        return read_root(root, _by_key(storages), budget, "module")
    return _read_pickles(data, budget)


def _read_pickles(data: mmap.mmap, budget: Budget) -> Contents:
    reader = PickleReader(data, 0, len(data), WeightStandins(), budget)
    root = read_pickle(reader)
    if isinstance(root, int) and root == MAGIC:
        return _read_stream(data, budget)
    if reader.position != len(data):
        raise Hostile(f"has {len(data) - reader.position} bytes after its end")
    return read_root(root, _nested(data, budget), budget, "nvidia-pickle")


def _read_stream(data: mmap.mmap, budget: Budget) -> Contents:
    root, storages = read_stream(data, 0, len(data), WeightStandins, budget)
    return read_root(root, _by_key(storages), budget, "module")


def _by_key(storages: Mapping[str, Storage]) -> Callable[[object], Storage]:
    """How a tensor of a torch file finds its storage."""

    def resolve(key: object) -> Storage:
        if not isinstance(key, StorageKey):
            raise Hostile("has a tensor without a storage")
        return storages[key.key]

    return resolve


def _nested(data: mmap.mmap, budget: Budget) -> Callable[[object], Storage]:
    """How a tensor of an NVIDIA pickle finds its storage, which is opened when it is first needed."""
    opened: dict[int, Storage] = {}

    def resolve(nested: object) -> Storage:
        if not isinstance(nested, NestedStorage):
            raise Hostile("has a tensor without a storage")
        if id(nested) not in opened:
            opened[id(nested)] = open_nested(data, nested, budget)
        return opened[id(nested)]

    return resolve


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read the generator of a weight file of any known format, told by its content, never by its name.

    Nothing that the file says is imported or executed, and no memory is taken for sizes that the file does
    not fill. Raises CheckpointError, naming the file and what to do, for everything that is no such file.
    """
    with mapped(path) as data:
        return checkpoint_of(Path(path), data, read_contents(data), digest(data))


def checkpoint_of(path: Path, data: mmap.mmap, contents: Contents, sha256: str) -> Checkpoint:
    """Read every tensor of a mapped file; Damaged if there is none, or their sizes are not those of the file."""
    check_total(contents.tensors.values(), len(data))
    if not contents.tensors:
        raise Damaged("holds no tensors; give the file of a trained generator")
    return Checkpoint(
        path=path,
        format=contents.format,
        class_name=contents.class_name,
        init_kwargs=contents.init_kwargs,
        attributes=contents.attributes,
        state={name: read_tensor(data, ref) for name, ref in contents.tensors.items()},
        metadata=contents.metadata,
        sha256=sha256,
    )
