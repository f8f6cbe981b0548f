"""The pickle instructions that weight files use, one small function each; all others are refused."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from unlearnkit.checkpoints.pickles import (
    MAX_NAME,
    MAX_TEXT,
    PLACED_TEXT,
    Blob,
    Global,
    PickleReader,
    PlacedText,
    Record,
    check_key,
    fill_dict,
)
from unlearnkit.checkpoints.records import Cut, Damaged, Hostile

Action = Callable[[PickleReader], None]
ACTIONS: dict[int, Action] = {}
STOP = ord(".")
MAX_ARGUMENTS = 64


def read_pickle(reader: PickleReader) -> object:
    """The root value of one pickle; Damaged on anything that weight files do not hold."""
    if reader.data[reader.position : reader.position + 1] != b"\x80":
        raise Damaged("is no pickle of protocol 2 to 5")
    while True:
        reader.budget.spend(1)
        start = reader.skip(1)
        code = reader.data[start]
        if code == STOP:
            return reader.pop()
        action = ACTIONS.get(code)
        if action is None:
            raise Hostile(
                f"has the pickle instruction {code:#04x} at byte"
                f" {reader.position - 1}, which no weight file needs"
            )
        action(reader)


def _on(opcode: bytes) -> Callable[[Action], Action]:
    def register(action: Action) -> Action:
        ACTIONS[ord(opcode)] = action
        return action

    return register


def _pushes(opcode: bytes, value_of: Callable[[PickleReader], Any]) -> None:
    ACTIONS[ord(opcode)] = lambda reader: reader.stack.append(value_of(reader))


def _text(reader: PickleReader, length: int) -> str | Blob:
    start = reader.skip(length)
    if length > MAX_TEXT:
        return Blob("text", start, length)
    text = reader.data[start : start + length].decode("utf-8")
    if length < PLACED_TEXT:
        return text
    placed = PlacedText(text)
    placed.start, placed.length = start, length
    return placed


def _bytes(reader: PickleReader, length: int) -> Blob:
    return Blob("bytes", reader.skip(length), length)


def _memo(reader: PickleReader, index: int) -> Any:
    if index not in reader.memo:
        raise Hostile(f"refers to value {index}, which it never stored")
    return reader.memo[index]


def _tuple(reader: PickleReader, count: int) -> tuple[Any, ...]:
    values = [reader.pop() for _ in range(count)]
    return tuple(reversed(values))


for _opcode, _value in {b"N": None, b"\x88": True, b"\x89": False, b")": ()}.items():
    _pushes(_opcode, lambda reader, value=_value: value)  # type: ignore[misc]
_pushes(b"}", lambda reader: {})
_pushes(b"]", lambda reader: [])
_pushes(b"\x8f", lambda reader: set())
_pushes(b"J", lambda reader: reader.number("<i"))
_pushes(b"K", lambda reader: reader.number("<B"))
_pushes(b"M", lambda reader: reader.number("<H"))
_pushes(b"\x8a", lambda reader: int.from_bytes(reader.take(reader.number("<B")), "little", signed=True))
_pushes(b"G", lambda reader: struct.unpack(">d", reader.take(8))[0])
_pushes(b"\x8c", lambda reader: _text(reader, reader.number("<B")))
_pushes(b"X", lambda reader: _text(reader, reader.number("<I")))
_pushes(b"\x8d", lambda reader: _text(reader, reader.number("<Q")))
_pushes(b"C", lambda reader: _bytes(reader, reader.number("<B")))
_pushes(b"B", lambda reader: _bytes(reader, reader.number("<I")))
_pushes(b"\x8e", lambda reader: _bytes(reader, reader.number("<Q")))
_pushes(b"\x96", lambda reader: _bytes(reader, reader.number("<Q")))
_pushes(b"h", lambda reader: _memo(reader, reader.number("<B")))
_pushes(b"j", lambda reader: _memo(reader, reader.number("<I")))
_pushes(b"\x85", lambda reader: _tuple(reader, 1))
_pushes(b"\x86", lambda reader: _tuple(reader, 2))
_pushes(b"\x87", lambda reader: _tuple(reader, 3))
_pushes(b"t", lambda reader: tuple(reader.pop_mark()))
_pushes(b"Q", lambda reader: reader.standins.persistent(reader, reader.pop()))


@_on(b"\x80")
def _protocol(reader: PickleReader) -> None:
    version = reader.number("<B")
    if not 2 <= version <= 5:
        raise Damaged(f"is a pickle of protocol {version}; protocols 2 to 5 can be read")


@_on(b"\x95")
def _frame(reader: PickleReader) -> None:
    # A frame only says how much may be read ahead; a wrong one shows that the file was cut or altered.
    if reader.number("<Q") > reader.stop - reader.position:
        raise Cut(f"ends in the middle of a frame that starts at byte {reader.position}")


@_on(b"(")
def _mark(reader: PickleReader) -> None:
    reader.marks.append(len(reader.stack))


@_on(b"0")
def _drop(reader: PickleReader) -> None:
    reader.pop()


@_on(b"1")
def _drop_mark(reader: PickleReader) -> None:
    reader.pop_mark()


@_on(b"2")
def _duplicate(reader: PickleReader) -> None:
    reader.stack.append(reader.top())


@_on(b"q")
def _store_short(reader: PickleReader) -> None:
    reader.memo[reader.number("<B")] = reader.top()


@_on(b"r")
def _store_long(reader: PickleReader) -> None:
    # The index is a key, not a size: a huge one takes no more room than a small one.
    reader.memo[reader.number("<I")] = reader.top()


@_on(b"\x94")
def _memoize(reader: PickleReader) -> None:
    reader.memo[len(reader.memo)] = reader.top()


@_on(b"c")
def _global(reader: PickleReader) -> None:
    module, name = reader.line(), reader.line()
    reader.stack.append(reader.standins.find(f"{module}.{name}"))


@_on(b"\x93")
def _stack_global(reader: PickleReader) -> None:
    module, name = _tuple(reader, 2)
    if not isinstance(module, str) or not isinstance(name, str) or len(module) + len(name) > MAX_NAME:
        raise Hostile("names something importable by other than two short texts")
    reader.stack.append(reader.standins.find(f"{module}.{name}"))


def _call(reader: PickleReader, function: object, arguments: object, constructs: bool = False) -> None:
    if not isinstance(function, Global) or not isinstance(arguments, tuple):
        raise Hostile(f"calls a {type(function).__name__}")
    if len(arguments) > MAX_ARGUMENTS:  # each call copies them, and one tuple can be used for many calls
        raise Hostile(f"calls {function.name} with {len(arguments)} arguments")
    stand_for = reader.standins.construct if constructs else reader.standins.call
    reader.stack.append(stand_for(reader, function, arguments))


@_on(b"R")
def _reduce(reader: PickleReader) -> None:
    _call(reader, *_tuple(reader, 2))


@_on(b"\x81")
def _new(reader: PickleReader) -> None:
    function, arguments = _tuple(reader, 2)
    _call(reader, function, arguments, constructs=True)


@_on(b"\x92")
def _new_with_keywords(reader: PickleReader) -> None:
    function, arguments, keywords = _tuple(reader, 3)
    if not isinstance(keywords, dict) or keywords:
        raise Damaged("constructs an object with keyword arguments, which no weight file does")
    _call(reader, function, arguments, constructs=True)


@_on(b"b")
def _build(reader: PickleReader) -> None:
    state = reader.pop()
    reader.standins.build(reader.top(), state)


def _extend(reader: PickleReader, values: list[Any]) -> None:
    target = reader.top()
    if isinstance(target, list):
        target.extend(values)
    elif not isinstance(target, Record):  # what a class of unknown kind collects is not needed
        raise Hostile(f"appends to a {type(target).__name__}")


@_on(b"a")
def _append(reader: PickleReader) -> None:
    _extend(reader, [reader.pop()])


@_on(b"e")
def _appends(reader: PickleReader) -> None:
    _extend(reader, reader.pop_mark())


def _set_items(reader: PickleReader, flat: list[Any]) -> None:
    target = reader.top()
    if isinstance(target, dict):
        fill_dict(target, flat)
    elif not isinstance(target, Record):
        raise Hostile(f"sets items of a {type(target).__name__}")


@_on(b"s")
def _set_item(reader: PickleReader) -> None:
    _set_items(reader, list(_tuple(reader, 2)))


@_on(b"u")
def _set_many_items(reader: PickleReader) -> None:
    _set_items(reader, reader.pop_mark())


@_on(b"\x90")
def _add_items(reader: PickleReader) -> None:
    values = reader.pop_mark()
    target = reader.top()
    if not isinstance(target, set):
        raise Hostile(f"adds members to a {type(target).__name__}")
    target.update(check_key(value) for value in values)


@_on(b"\x91")
def _frozen_set(reader: PickleReader) -> None:
    reader.stack.append(frozenset(check_key(value) for value in reader.pop_mark()))
