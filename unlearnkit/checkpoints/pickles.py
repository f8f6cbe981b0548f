"""The state of a pickle reader (protocols 2 to 5) that builds inert values and can import or call nothing.

It is an interpreter of its own, not a subclass of `pickle.Unpickler`: there is no `find_class` that could be
reached around, no instruction is known that weight files do not need, long literals stay where they are in
the file (so G and D of a snapshot cost nothing, and the position of every tensor's bytes is known), and all
work is counted against a budget.
"""

from __future__ import annotations

import mmap
import struct
from typing import Any

import attrs

from unlearnkit.checkpoints.records import Cut, Damaged, Hostile, shorten

MAX_STEPS = 400_000
"""Instructions a file may spend (a few seconds); a full EG3D snapshot takes about 60 thousand."""
MAX_TEXT = 4096
"""Longer texts (embedded source code) are never decoded: they become a Blob."""
PLACED_TEXT = 128
"""Texts of this many bytes keep their place: protocol 2 writes weights as texts."""
MAX_NAME = 256
MAX_KEY = 1 << 31


class PlacedText(str):
    """A decoded text that remembers its bytes' place in the file; equal to the text itself."""

    __slots__ = ("length", "start")
    start: int
    length: int


@attrs.define(eq=False)
class Blob:
    """A literal that stays in the file."""

    kind: str
    """"bytes", "text", or "latin1" (bytes that protocol 2 writes as text)."""
    start: int
    length: int
    text: str | None = None
    """Set instead of a position where the literal was short enough to be decoded."""
    users: int = 0
    """How many storages are made from this literal."""

    def read(self, data: mmap.mmap | bytes) -> bytes:
        """The bytes that the program which wrote the file meant."""
        raw = data[self.start : self.start + self.length]
        if self.kind == "latin1":
            return (self.text if self.text is not None else raw.decode("utf-8")).encode("latin-1")
        return raw


@attrs.define(eq=False, repr=False)
class Global:
    """The name of something importable; only a name."""

    name: str


@attrs.define(eq=False, repr=False)
class Record:
    """An object of a class that is known by name only, with the state the file gives it."""

    name: str
    state: object = None


@attrs.define
class Budget:
    """Steps left for one file, its nested pickles included."""

    left: int = MAX_STEPS

    def spend(self, steps: int) -> None:
        """Count work done; Damaged when a file asks for more than any weight file needs."""
        self.left -= steps
        if self.left < 0:
            raise Hostile("asks for more work than any weight file needs")


class Standins:
    """What a pickle may name; the default is nothing at all."""

    def find(self, name: str) -> Global:
        """The inert stand-in of an importable name; Damaged if it has none."""
        raise Damaged(
            f"names {shorten(name)}, which no weight file needs; nothing was imported. If you trust the file,"
            " export its weights to safetensors with the program that wrote it"
        )

    def call(self, reader: PickleReader, function: Global, arguments: tuple[Any, ...]) -> object:
        """What a call or a construction stands for."""
        raise Damaged(f"calls {shorten(function.name)}, which no weight file needs; nothing was called")

    def construct(self, reader: PickleReader, function: Global, arguments: tuple[Any, ...]) -> object:
        """What a new object of a class stands for, before it gets its state."""
        return self.call(reader, function, arguments)

    def build(self, instance: object, state: object) -> None:
        """Give an object that `call` made the state that the file states."""
        raise Hostile(f"sets the state of a {type(instance).__name__}")

    def persistent(self, reader: PickleReader, key: object) -> object:
        """What a persistent id stands for."""
        raise Damaged("refers to data outside its pickle")


class PickleReader:
    """Reads one pickle from `data[position:stop]`; afterwards `position` is the byte after it."""

    def __init__(
        self, data: mmap.mmap | bytes, position: int, stop: int, standins: Standins, budget: Budget
    ) -> None:
        self.data, self.position, self.stop = data, position, stop
        self.standins, self.budget = standins, budget
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def skip(self, count: int) -> int:
        """Pass over `count` bytes that must be there; their position."""
        start = self.position
        if count > self.stop - start:
            raise Cut(
                f"ends in the middle: {count} bytes wanted at byte {start}, {self.stop - start} are there"
            )
        self.position += count
        return start

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        start = self.skip(count)
        return self.data[start : start + count]

    def number(self, layout: str) -> int:
        """The next number in a `struct` layout."""
        value: int
        (value,) = struct.unpack(layout, self.take(struct.calcsize(layout)))
        return value

    def line(self) -> str:
        """The next line of text, as protocol 2 and 3 write names."""
        end = self.data.find(b"\n", self.position, min(self.stop, self.position + MAX_NAME))
        if end < 0:
            raise Hostile(f"has an endless name at byte {self.position}")
        return self.take(end + 1 - self.position)[:-1].decode("utf-8")

    def pop(self) -> Any:
        """The value on top of the stack, never one from below the last mark."""
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise Hostile(f"takes more values than it gives at byte {self.position}")
        return self.stack.pop()

    def top(self) -> Any:
        """The value on top of the stack, left there."""
        self.stack.append(value := self.pop())
        return value

    def pop_mark(self) -> list[Any]:
        """All values above the last mark."""
        if not self.marks:
            raise Hostile(f"has no mark where one is needed at byte {self.position}")
        start = self.marks.pop()
        values = self.stack[start:]
        del self.stack[start:]
        return values


def check_key(key: object) -> object:
    """A dict key or set member; Damaged unless it is a text, a small number or None.

    Tuples as keys are refused because hashing a tuple of tuples of tuples can take for ever.
    """
    if key is None or isinstance(key, str) or (isinstance(key, int) and abs(key) < MAX_KEY):
        return key
    raise Hostile(f"has a {type(key).__name__} as the key of a dict")


def fill_dict(target: dict[Any, Any], flat: list[Any]) -> None:
    """Put `[key, value, key, value, ...]` into a dict."""
    if len(flat) % 2:
        raise Hostile("has a key without a value")
    for index in range(0, len(flat), 2):
        target[check_key(flat[index])] = flat[index + 1]
