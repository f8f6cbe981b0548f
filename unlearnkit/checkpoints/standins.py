"""The fixed table of names that weight files may use, and the inert values they stand for.

A name of the standard library, torch or numpy outside the table is refused as soon as it is read, by name; a name
below `INERT_PREFIXES` becomes a Record. So does a class of the program that wrote the file (`model.Generator`), as
long as it is only constructed and given a state; calling it is refused. Nothing here looks anything up: the names are
compared as texts only.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from typing import Any

import attrs

from unlearnkit.checkpoints.pickles import Blob, Global, PickleReader, PlacedText, Record, Standins, fill_dict
from unlearnkit.checkpoints.records import Damaged, Hostile, shorten

INERT_PREFIXES = ("training.", "torch_utils.", "dnnlib.", "torch.nn.")
TENSORFLOW_NETWORK = "dnnlib.tflib.network.Network"
INERT_CLASSES = frozenset({
    "argparse.Namespace", "pathlib.PosixPath", "pathlib.WindowsPath", "pathlib.PurePosixPath",
    "numpy.ndarray",
    "numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct",
})
STORAGE_KINDS = (
    "Float", "Half", "BFloat16", "Double", "Long", "Int", "Short", "Char", "Byte", "Bool",
)
NAMES_ONLY = frozenset({f"torch.{kind}Storage" for kind in STORAGE_KINDS}) | frozenset({
    "torch.float32", "torch.float16", "torch.bfloat16", "torch.float64", "torch.int64", "torch.int32",
    "torch.int16", "torch.int8", "torch.uint8", "torch.bool", "builtins.object", "__builtin__.object",
})
KNOWN_PACKAGES = sys.stdlib_module_names | {"__builtin__", "torch", "numpy", "torch_utils", "dnnlib"}
"""Packages of which only the names of this table are known; `__builtin__` is Python 2's."""
NUMBER_LAYOUTS = {
    "f8": "d", "f4": "f", "f2": "e", "i8": "q", "i4": "i", "i2": "h", "i1": "b", "b1": "?",
    "u8": "Q", "u4": "I", "u2": "H", "u1": "B",
}


@attrs.define(eq=False, repr=False)
class NumberType:
    """A numpy dtype: its code and its byte order."""

    code: str
    order: str = "<"


@attrs.define(eq=False, repr=False)
class NestedStorage:
    """A storage that is a complete legacy `torch.save` in a bytes literal, not opened before it is needed."""

    blob: Blob


@attrs.define(eq=False, repr=False)
class StorageKey:
    """A storage whose bytes lie elsewhere in the same file."""

    key: str
    kind: str
    """Name of the storage class, for example "FloatStorage"."""
    numel: int


@attrs.define(eq=False, repr=False)
class RawTensor:
    """The arguments of a tensor as the file states them, unchecked until the tensor is needed."""

    storage: object
    offset: object
    size: object
    stride: object


def _persistent_object(reader: PickleReader, meta: dict[Any, Any]) -> Record:
    # `module_src`, the program text that NVIDIA's loader would execute, is dropped here.
    if not isinstance(meta, dict) or not isinstance(meta.get("class_name"), str):
        raise Hostile("has an NVIDIA object without a class name")
    return Record(meta["class_name"], meta.get("state"))


def _tensor(reader: PickleReader, storage: object, offset: object, size: object, stride: object,
            *_ignored: object) -> RawTensor:
    return RawTensor(storage, offset, size, stride)


def _parameter(reader: PickleReader, tensor: object, *_ignored: object) -> object:
    return tensor


def _nested_storage(reader: PickleReader, blob: Blob) -> NestedStorage:
    if not isinstance(blob, Blob):
        raise Hostile("has a storage that is no bytes literal")
    blob.users += 1
    return NestedStorage(blob)


def _dict(reader: PickleReader, pairs: object = ()) -> dict[Any, Any]:
    result: dict[Any, Any] = {}
    if isinstance(pairs, dict):  # a shallow copy costs its length each time it is asked for
        reader.budget.spend(len(pairs))
        result.update(pairs)
    elif isinstance(pairs, (list, tuple)):
        reader.budget.spend(len(pairs))
        for pair in pairs:
            if not isinstance(pair, (list, tuple)) or len(pair) != 2:
                raise Hostile("makes a dict of something else than pairs")
            fill_dict(result, list(pair))
    else:
        raise Hostile(f"makes a dict of a {type(pairs).__name__}")
    return result


def _default_dict(reader: PickleReader, factory: object = None) -> dict[Any, Any]:
    return {}


def _set(reader: PickleReader, members: object = ()) -> set[Any]:
    if not isinstance(members, (list, tuple)):
        raise Hostile(f"makes a set of a {type(members).__name__}")
    reader.budget.spend(len(members))
    result: dict[Any, Any] = {}
    for member in members:
        fill_dict(result, [member, None])
    return set(result)


def _encoded(reader: PickleReader, text: object, encoding: object = "latin1") -> Blob:
    if encoding not in ("latin1", "latin-1") or not isinstance(encoding, str):
        raise Hostile("encodes a text otherwise than protocol 2 does")
    if isinstance(text, Blob) and text.kind == "text":
        return Blob("latin1", text.start, text.length)
    if isinstance(text, PlacedText):
        return Blob("latin1", text.start, text.length)
    if isinstance(text, str):
        return Blob("latin1", 0, 0, text)
    raise Hostile(f"encodes a {type(text).__name__}")


def _no_bytes(reader: PickleReader) -> Blob:
    return Blob("bytes", 0, 0)


def _number_type(reader: PickleReader, code: object, *_ignored: object) -> NumberType:
    if not isinstance(code, str):
        raise Hostile("has a numpy type without a name")
    return NumberType(code)


def _number(reader: PickleReader, kind: object, blob: object = None) -> float | int | bool:
    if not isinstance(kind, NumberType) or kind.code not in NUMBER_LAYOUTS or not isinstance(blob, Blob):
        code = shorten(kind.code) if isinstance(kind, NumberType) else type(kind).__name__
        raise Hostile(f"has a numpy number of type {code}, which no weight file needs")
    layout = (">" if kind.order == ">" else "<") + NUMBER_LAYOUTS[kind.code]
    if max(blob.length, len(blob.text or "")) > 16:
        raise Hostile("has a numpy number of more than 16 bytes")
    value: float | int | bool
    (value,) = struct.unpack(layout, blob.read(reader.data))
    return value


def _shape(reader: PickleReader, size: object = ()) -> object:
    return size


def _device(reader: PickleReader, name: object, *_ignored: object) -> object:
    return name if isinstance(name, str) else None


CALLS: dict[str, Callable[..., object]] = {
    "torch_utils.persistence._reconstruct_persistent_obj": _persistent_object,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch.storage._load_from_bytes": _nested_storage,
    "torch.Size": _shape,
    "torch.device": _device,
    "collections.OrderedDict": _dict,
    "collections.defaultdict": _default_dict,
    "dnnlib.util.EasyDict": _dict,
    "numpy.dtype": _number_type,
    "_codecs.encode": _encoded,
}
CALLS |= {f"{module}.multiarray.scalar": _number for module in ("numpy.core", "numpy._core")}
for _module in ("builtins", "__builtin__"):
    CALLS |= {f"{_module}.set": _set, f"{_module}.frozenset": _set, f"{_module}.dict": _dict,
              f"{_module}.bytes": _no_bytes}


class WeightStandins(Standins):
    """The table for the pickles of networks and for what `torch.save` writes.

    `storage_keys` collects the storages that persistent ids name; `None` refuses persistent ids (NVIDIA
    pickles).
    """

    def __init__(self, storage_keys: dict[str, StorageKey] | None = None) -> None:
        self.storage_keys = storage_keys

    def find(self, name: str) -> Global:
        """The inert stand-in of a name in the table or below the inert prefixes."""
        known = name in CALLS or name in INERT_CLASSES or name in NAMES_ONLY or name.startswith(INERT_PREFIXES)
        return Global(name) if known or _is_foreign(name) else super().find(name)

    def call(self, reader: PickleReader, function: Global, arguments: tuple[Any, ...]) -> object:
        """The value that a call of a name in the table stands for; a Record for all other names."""
        known = CALLS.get(function.name)
        if known is None:
            if function.name in NAMES_ONLY or _is_foreign(function.name):
                return super().call(reader, function, arguments)
            return Record(function.name)
        try:
            return known(reader, *arguments)
        except (TypeError, struct.error) as error:  # another number of arguments or bytes than is known
            raise Hostile(f"gives {function.name} arguments that do not fit") from error

    def construct(self, reader: PickleReader, function: Global, arguments: tuple[Any, ...]) -> object:
        """A Record for a class of a foreign program; for other names what a call stands for."""
        return Record(function.name) if _is_foreign(function.name) else self.call(reader, function, arguments)

    def build(self, instance: object, state: object) -> None:
        """Give an inert object its state; attributes of dicts (`_metadata` of state dicts) are dropped."""
        if isinstance(instance, Record):
            instance.state = state
        elif isinstance(instance, NumberType):
            if isinstance(state, tuple) and len(state) > 1 and isinstance(state[1], str):
                instance.order = state[1]
        elif not isinstance(instance, dict):
            super().build(instance, state)

    def persistent(self, reader: PickleReader, key: object) -> StorageKey:
        """The storage that a persistent id `("storage", class, key, location, numel[, None])` names."""
        if self.storage_keys is None:
            raise Damaged("refers to data outside its pickle, which NVIDIA pickles do not")
        found = parse_storage_key(key)
        before = self.storage_keys.setdefault(found.key, found)
        if (before.kind, before.numel) != (found.kind, found.numel):
            raise Hostile(f"states two sizes or types for storage {shorten(found.key)}")
        return before


def _is_foreign(name: str) -> bool:
    """Whether a name belongs to the program that wrote the file: not to Python, torch, numpy or NVIDIA's loaders."""
    top = name.partition(".")[0]
    return top not in KNOWN_PACKAGES and not name.startswith(INERT_PREFIXES)


class StorageStandins(WeightStandins):
    """The table for a nested storage: storage classes and nothing else."""

    def find(self, name: str) -> Global:
        """The inert stand-in of a storage class."""
        return Global(name) if name in NAMES_ONLY else Standins.find(self, name)


def parse_storage_key(value: object) -> StorageKey:
    """Check a persistent id `("storage", class, key, location, numel[, view])` part by part."""
    if not isinstance(value, tuple) or len(value) not in (5, 6) or not isinstance(value[0], str):
        raise Hostile("has a reference to data of unknown form")
    kind, key, numel = value[1], value[2], value[4]
    named = isinstance(kind, Global) and kind.name.endswith("Storage")
    counted = isinstance(numel, int) and not isinstance(numel, bool) and numel >= 0
    if value[0] != "storage" or not named or not isinstance(key, str) or not counted:
        raise Hostile("has a storage whose class, key or size is wrong")
    if len(value) == 6 and value[5] is not None:
        raise Damaged(
            "has storages that are parts of others (torch 0.3); load and save it with a newer torch"
        )
    return StorageKey(key, kind.name.removeprefix("torch."), numel)


