"""The stream that `torch.save` wrote before zip archives: five pickles, then the raw data of every storage.

NVIDIA pickles hold one such stream per storage; old `.pt` files are one such stream.
"""

from __future__ import annotations

import mmap

from unlearnkit.checkpoints.instructions import read_pickle
from unlearnkit.checkpoints.pickles import Blob, Budget, PickleReader, Standins
from unlearnkit.checkpoints.records import Cut, Damaged, Hostile, Storage, TextPlace
from unlearnkit.checkpoints.standins import NestedStorage, StorageKey, StorageStandins, WeightStandins
from unlearnkit.checkpoints.torchdata import storage_dtype

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001


def _next(
    data: mmap.mmap | bytes, position: int, stop: int, standins: Standins, budget: Budget
) -> tuple[object, int]:
    reader = PickleReader(data, position, stop, standins, budget)
    return read_pickle(reader), reader.position


def _skip_header(data: mmap.mmap | bytes, start: int, stop: int, budget: Budget) -> int:
    magic, position = _next(data, start, stop, Standins(), budget)
    if not isinstance(magic, int) or magic != MAGIC:
        raise Hostile("has a storage that is no torch.save stream")
    version, position = _next(data, position, stop, Standins(), budget)
    system, position = _next(data, position, stop, Standins(), budget)
    if not isinstance(version, int) or version != PROTOCOL:
        raise Damaged(
            f"was saved with an unknown version of torch.save, not {PROTOCOL}; save it with a newer torch"
        )
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise Damaged("was saved on a big-endian machine; load and save it there with a newer torch")
    return position


def _place(
    data: mmap.mmap | bytes, position: int, stop: int, names: object, keys: dict[str, StorageKey]
) -> dict[str, Storage]:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise Hostile("has no list of its storages")
    if len(names) != len(keys) or set(names) != set(keys):
        raise Hostile("lists other storages than its tensors use")
    storages: dict[str, Storage] = {}
    for name in names:
        dtype, numel = storage_dtype(keys[name].kind), keys[name].numel
        if stop - position < 8 or int.from_bytes(data[position : position + 8], "little") != numel:
            raise Cut("states two sizes for a storage, or ends in the middle")
        storages[name] = Storage(dtype, numel, position + 8)
        position += 8 + numel * dtype.itemsize
        if position > stop:
            raise Cut("ends in the middle of a storage")
    if position != stop:
        raise Hostile(f"has {stop - position} bytes after its last storage")
    return storages


def read_stream(
    data: mmap.mmap | bytes, start: int, stop: int, standins: type[WeightStandins], budget: Budget
) -> tuple[object, dict[str, Storage]]:
    """The root object of a stream at `data[start:stop]`, and its storages by key, placed within `data`."""
    position = _skip_header(data, start, stop, budget)
    keys: dict[str, StorageKey] = {}
    root, position = _next(data, position, stop, standins(keys), budget)
    names, position = _next(data, position, stop, Standins(), budget)
    return root, _place(data, position, stop, names, keys)


def open_nested(data: mmap.mmap, nested: NestedStorage, budget: Budget) -> Storage:
    """The storage inside a bytes literal of an NVIDIA pickle, with its position in the outer file."""
    blob: Blob = nested.blob
    if blob.users > 1:
        raise Hostile("uses the same bytes for two storages, which torch never does")
    if blob.kind == "bytes":
        root, storages = read_stream(data, blob.start, blob.start + blob.length, StorageStandins, budget)
        return _only(root, storages)
    decoded = blob.read(data)  # protocol 2 wrote the bytes as text: they are nowhere in the file as they are
    storage = _only(*read_stream(decoded, 0, len(decoded), StorageStandins, budget))
    assert storage.start is not None
    storage.data, storage.start = decoded[storage.start :], None
    if blob.text is None:
        storage.text = TextPlace(blob.start, blob.length, decoded[: len(decoded) - len(storage.data)])
    return storage


def _only(root: object, storages: dict[str, Storage]) -> Storage:
    if not isinstance(root, StorageKey) or len(storages) != 1:
        raise Hostile("has a storage stream that holds something else")
    return storages[root.key]
