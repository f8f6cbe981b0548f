"""The zip archive that `torch.save` writes: uncompressed entries that are found through its directory.

Python's `zipfile` is not used because it builds an object for every entry that a directory claims, and
because writing changed weights back in place needs the positions of the check sums.
"""

from __future__ import annotations

import mmap
import struct
import zlib

import attrs

from unlearnkit.checkpoints.instructions import read_pickle
from unlearnkit.checkpoints.pickles import Budget, PickleReader
from unlearnkit.checkpoints.records import Cut, Damaged, Hostile, Storage, shorten
from unlearnkit.checkpoints.standins import StorageKey, WeightStandins
from unlearnkit.checkpoints.torchdata import storage_dtype

MAX_ENTRIES = 40_000
END, END64_LOCATOR, END64, CENTRAL, LOCAL, DESCRIPTOR = (
    b"PK\x05\x06", b"PK\x06\x07", b"PK\x06\x06", b"PK\x01\x02", b"PK\x03\x04", b"PK\x07\x08",
)
UNKNOWN16, UNKNOWN32 = 0xFFFF, 0xFFFFFFFF
HAS_DESCRIPTOR, ENCRYPTED = 8, 1


@attrs.frozen
class Entry:
    """One stored file of the archive; all positions count from the start of the archive."""

    name: str
    start: int
    size: int
    crc: int
    crc_fields: tuple[int, ...]


def _unpack(layout: str, data: mmap.mmap, position: int, signature: bytes = b"") -> tuple[int, ...]:
    size = struct.calcsize(layout)
    if position < 0 or position + len(signature) + size > len(data):
        raise Cut("is a zip archive that ends in the middle")
    if data[position : position + len(signature)] != signature:
        raise Cut("is a zip archive with a damaged directory")
    start = position + len(signature)
    return struct.unpack(layout, data[start : start + size])


def _directory(data: mmap.mmap) -> tuple[int, int]:
    """Position of the central directory and number of its entries."""
    end = data.rfind(END, max(0, len(data) - 22 - UNKNOWN16))
    if end < 0:
        raise Cut("is a zip archive without an end, so it is cut off")
    _, _, _, count, _, start, _ = _unpack("<4H2IH", data, end, END)
    if end >= 20 and data[end - 20 : end - 16] == END64_LOCATOR:
        _, end64, _ = _unpack("<IQI", data, end - 20, END64_LOCATOR)
        count, _, start = _unpack("<Q20xQQQ", data, end64, END64)[1:]
    if count > MAX_ENTRIES or start + 46 * count > len(data):
        raise Hostile(f"is a zip archive that claims {count} entries")
    return start, count


def _wide(extra: bytes, values: list[int]) -> list[int]:
    """Replace 32-bit values that are marked unknown by the 64-bit ones of the zip64 extra field."""
    while len(extra) >= 4:
        kind, length = struct.unpack("<HH", extra[:4])
        if kind == 1:
            numbers = [int.from_bytes(extra[i : i + 8], "little") for i in range(4, 4 + length - 7, 8)]
            missing = values.count(UNKNOWN32)
            if missing > len(numbers):
                raise Hostile("is a zip archive with an incomplete zip64 field")
            return [numbers.pop(0) if value == UNKNOWN32 else value for value in values]
        extra = extra[4 + length :]
    return values


def _entry(data: mmap.mmap, position: int) -> tuple[Entry, int]:
    """The entry whose directory record lies at `position`, and the position of the next record."""
    fields = _unpack("<6H3I5H2I", data, position, CENTRAL)
    flags, method, crc = fields[2], fields[3], fields[6]
    name_size, extra_size, comment_size = fields[9:12]
    following = position + 46 + name_size + extra_size + comment_size
    if following > len(data) or name_size > 1024:
        raise Cut("is a zip archive with a damaged directory")
    name = data[position + 46 : position + 46 + name_size].decode("utf-8")
    extra = data[position + 46 + name_size : position + 46 + name_size + extra_size]
    size, packed, local = _wide(extra, [fields[8], fields[7], fields[15]])
    if method != 0 or flags & ENCRYPTED or size != packed:
        raise Damaged(
            f"is a zip archive whose entry {shorten(name)} is compressed or encrypted, which torch.save never"
            " does; unpack it and pack it without compression"
        )
    start, crc_field = _local(data, local, size, crc)
    return Entry(name, start, size, crc, (position + 16, crc_field)), following


def _local(data: mmap.mmap, local: int, size: int, crc: int) -> tuple[int, int]:
    """Start of an entry's bytes, and position of the check sum in its own header or descriptor."""
    fields = _unpack("<5H3I2H", data, local, LOCAL)
    start = local + 30 + fields[8] + fields[9]
    if start + size > len(data):
        raise Cut("is a zip archive with an entry that reaches beyond its end")
    if not fields[1] & HAS_DESCRIPTOR:
        return start, local + 14
    if _unpack("<I", data, start + size, DESCRIPTOR) != (crc,):
        raise Hostile("is a zip archive with two check sums for one entry")
    return start, start + size + 4


def read_entries(data: mmap.mmap) -> dict[str, Entry]:
    """All entries by name; Damaged if two share a name or a byte, or anything lies outside the archive."""
    position, count = _directory(data)
    entries: dict[str, Entry] = {}
    for _ in range(count):
        entry, position = _entry(data, position)
        if entry.name in entries:
            raise Hostile(f"is a zip archive with two entries named {shorten(entry.name)}")
        entries[entry.name] = entry
    end = 0
    for entry in sorted(entries.values(), key=lambda entry: entry.start):
        if entry.start < end:
            raise Hostile("is a zip archive with entries that lie over each other")
        end = entry.start + entry.size
    return entries


def _folder(entries: dict[str, Entry]) -> str:
    """The archive's single top folder, with its slash."""
    pickles = [name for name in entries if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise Damaged(
            "is a zip archive, but not one of torch.save (no data.pkl); if weights are inside, unpack it"
        )
    folder = pickles[0].removesuffix("data.pkl")
    if folder + "constants.pkl" in entries:
        raise Damaged("is a TorchScript program, not weights; give the checkpoint that it was made from")
    return folder


def read_archive(data: mmap.mmap, budget: Budget) -> tuple[object, dict[str, Storage]]:
    """The root object of an archive, and its storages by key."""
    entries = read_entries(data)
    folder = _folder(entries)
    order = entries.get(folder + "byteorder")
    if order and data[order.start : order.start + min(order.size, 8)] != b"little":
        raise Damaged("was saved on a big-endian machine; load and save it there with byte order 'little'")
    root = entries[folder + "data.pkl"]
    if zlib.crc32(memoryview(data)[root.start : root.start + root.size]) != root.crc:
        raise Cut("has a data.pkl that does not match its check sum")
    keys: dict[str, StorageKey] = {}
    reader = PickleReader(data, root.start, root.start + root.size, WeightStandins(keys), budget)
    value = read_pickle(reader)
    return value, {key: _storage(wanted, entries.get(f"{folder}data/{key}")) for key, wanted in keys.items()}


def _storage(wanted: StorageKey, entry: Entry | None) -> Storage:
    dtype = storage_dtype(wanted.kind)
    if entry is None or entry.size != wanted.numel * dtype.itemsize:
        there = "none" if entry is None else entry.size
        raise Cut(
            f"states {wanted.numel} elements for storage {shorten(wanted.key)}, but has {there} of its bytes"
        )
    return Storage(dtype, wanted.numel, entry.start, crc=entry.crc, crc_fields=entry.crc_fields)
