"""A folder of hostile files, built in code: every one must end in a CheckpointError that names it.

Where a file tries to run something, that is the creation of `SENTINEL` in the folder of the file.
"""

from __future__ import annotations

import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from . import builder

SENTINEL = "executed"
P2, P4 = b"\x80\x02", b"\x80\x04"
Attack = Callable[[Path], Path]


def _text(value: str) -> bytes:
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def _bytes(raw: bytes) -> bytes:
    return b"B" + struct.pack("<I", len(raw)) + raw


def _file(folder: Path, raw: bytes) -> Path:
    path = folder / "hostile.bin"
    path.write_bytes(raw)
    return path


def _call(name: str, *arguments: str) -> bytes:
    module, _, attribute = name.rpartition(".")
    return f"c{module}\n{attribute}\n(".encode() + b"".join(map(_text, arguments)) + b"tR"


def _in_g_ema(value: bytes) -> bytes:
    """A pickle whose G_ema network has `value` among its buffers."""
    persistent = b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n"
    state = b"}" + _text("_buffers") + b"}" + _text("x") + value + b"ss"
    meta = b"}(" + _text("class_name") + _text("Generator") + _text("state") + state + b"u"
    return P2 + b"}" + _text("G_ema") + persistent + meta + b"\x85Rs."


def _tensor(
    storage: bytes, offset: bytes = b"K\0", size: bytes = b"K\4\x85", stride: bytes = b"K\1\x85"
) -> bytes:
    load = b"ctorch.storage\n_load_from_bytes\n" + _bytes(storage) + b"\x85R"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + load + offset + size + stride + b"\x89}tR"


def _long(value: int) -> bytes:
    raw = value.to_bytes(16, "little", signed=True)
    return b"\x8a\x10" + raw


def _touch(folder: Path) -> str:
    return f"touch {folder / SENTINEL}"


def _python(folder: Path) -> str:
    return f"open({str(folder / SENTINEL)!r}, 'w')"


def _zip(folder: Path, pkl: bytes, method: int = zipfile.ZIP_STORED, **entries: bytes) -> Path:
    path = folder / "hostile.bin"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("archive/data.pkl", pkl)
        for name, raw in entries.items():
            archive.writestr(f"archive/data/{name}", raw)
    return path


def _patched(folder: Path, make: Callable[[Path], Path], old: bytes, new: bytes) -> Path:
    path = make(folder / "hostile.bin")
    raw = path.read_bytes()
    assert old in raw
    path.write_bytes(raw.replace(old, new))
    return path


def _hostile_torch(legacy: bool) -> Attack:
    class Evil:
        def __init__(self, folder: Path) -> None:
            self.folder = folder

        def __reduce__(self) -> tuple:
            return os.system, (_touch(self.folder),)

    return lambda folder: builder.torch_file(folder / "hostile.bin", {"g_ema": {"a": torch.ones(1)},
                                                                      "args": Evil(folder)}, legacy)


def _pickled(folder: Path, root: Any) -> Path:
    return _file(folder, pickle.dumps(root, 4))


def _link(target: str) -> Attack:
    def make(folder: Path) -> Path:
        (folder / "hostile.bin").symlink_to(folder / target)
        return folder / "hostile.bin"

    return make


def _fifo(folder: Path) -> Path:
    os.mkfifo(folder / "hostile.bin")
    return folder / "hostile.bin"


def _folder(folder: Path) -> Path:
    (folder / "hostile.bin").mkdir()
    return folder / "hostile.bin"


def _bomb(folder: Path) -> Path:
    path = folder / "hostile.bin"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(50_000_000))
    return path


def _modules(levels: int) -> bytes:
    """A network in which every module holds the next one twice: 2 to the power of `levels` paths."""
    raw = b"ctraining.x\nLeaf\n)\x81}bq\0"
    for level in range(levels):
        get = b"h" + bytes([level])
        raw += (b"ctraining.x\nNode\n)\x81}" + _text("_modules") + b"}(" + _text("a") + get + _text("b") + get
                + b"usbq" + bytes([level + 1]))
    return P2 + raw + b"0}" + _text("G_ema") + b"h" + bytes([levels]) + b"s."


DOUBLED = b"N\x85" + b"2\x86" * 25
UNHASHABLE = b")" + b"2\x86" * 200
SYSTEM = b"cposix\nsystem\n"
BIG = struct.pack("<Q", 1 << 62)
NESTED = builder.nested_bytes()
PICKLES: dict[str, bytes] = {
    "import only": P2 + b"cantigravity\nfly\n.",
    "dotted name": P4 + _text("training") + _text("x") + b"\x93" + _text("builtins")
    + _text("eval") + b"\x93.",
    "torch.load": P2 + _call("torch.load", "x") + b".",
    "getattr": P2 + _call("builtins.getattr", "x", "y") + b".",
    "class below an allowed prefix of another name": P2 + b"ctrainingx.a\nb\n.",
    "extension registry": P2 + b"\x82\x01.",
    "extension registry, wide": P2 + b"\x84\x01\0\0\0.",
    "persistent id": P2 + b"Pabc\n.",
    "persistent id, binary": P2 + _text("x") + b"Q.",
    "instance by name": P2 + b"(ios\nsystem\n.",
    "object by name": P2 + b"(" + SYSTEM + _text("x") + b"o.",
    "out-of-band buffer": b"\x80\x05\x97.",
    "call a text": P2 + _text("x") + b")R.",
    "call a network": P2 + b"ctraining.x\nA\n)R)R.",
    "build a number": P2 + b"K\1}b.",
    "build a list": P2 + b"]}b.",
    "huge bytes": P4 + b"\x8e" + BIG + b".",
    "huge bytearray": b"\x80\x05\x96" + BIG + b".",
    "huge text": P4 + b"\x8d" + BIG + b".",
    "huge frame": P4 + b"\x95" + BIG + b"N.",
    "huge number": P2 + b"\x8b\xff\xff\xff\x7f" + b".",
    "huge memo index": P2 + b"Nr\xff\xff\xff\xff.",
    "memo that is not there": P2 + b"h\7.",
    "empty stack": P2 + b".",
    "no mark": P2 + b"Nt.",
    "below the mark": P2 + b"N(0.",
    "protocol 9": b"\x80\x09N.",
    "endless name": P2 + b"c" + b"a" * 100_000,
    "append to a dict": P2 + b"}K\1a.",
    "odd items": P2 + b"}(K\1u.",
    "list as key": P2 + b"}]K\1s.",
    "tuples as key, 2 to the 200": P2 + b"}" + UNHASHABLE + b"K\1s.",
    "tuples in a set, 2 to the 200": P4 + b"\x8f(" + UNHASHABLE + b"\x90.",
    "tuples in builtins.set": P2 + b"cbuiltins\nset\n](" + UNHASHABLE + b"e\x85R.",
    "numbers as keys": P2 + b"}" + _long(1 << 100) + b"Ns.",
    "deep lists": P2 + b"]" * 150_000 + b"a" * 149_999 + b".",
    "deep tuples": P2 + b"N" + b"\x85" * 150_000 + b".",
    "deep records": P2 + b"ctraining.x\nA\n" + b"q\0)\x81" + b"h\0)\x81" * 100_000 + b"b" * 100_000 + b".",
    "too many instructions": P2 + b"N0" * 500_000 + b"N.",
    "wide call, many times": (
        P2 + b"ctraining.x\nA\nq\0(" + b"N" * 50_000 + b"tq\1" + b"h\0h\1R" * 50_000 + b"."),
    "set of a list, many times": (
        P2 + b"cbuiltins\nset\nq\0](" + b"N" * 50_000 + b"eq\1\x85q\2" + b"h\0h\2R" * 50_000 + b"."),
    "trailing bytes": _in_g_ema(_tensor(NESTED)) + b"x",
    "modules within modules, 2 to the 30": _modules(30),
    "module that holds itself": (P2 + b"}" + _text("G_ema") + b"ctraining.x\nA\n)\x81q\0}" + _text("_modules")
                                 + b"}" + _text("me") + b"h\0ssbs."),
    "settings that hold themselves": _in_g_ema(_tensor(NESTED)).replace(
        b"}" + _text("_buffers"), b"}" + _text("loop") + b"]q\7h\7as" + _text("_buffers"), 1),
    "settings, 2 to the 25": _in_g_ema(_tensor(NESTED)).replace(
        b"}" + _text("_buffers"), b"}" + _text("big") + DOUBLED + b"s" + _text("_buffers"), 1),
    "network without a state": P2 + b"}" + _text("G_ema") + b"ctraining.x\nA\n)\x81s.",
    "module that is a number": P2 + b"}" + _text("G_ema") + b"ctraining.x\nA\n)\x81}" + _text("_modules")
                               + b"}" + _text("a") + b"K\1ssbs.",
    "tensor that is a text": _in_g_ema(_text("no tensor")),
    "dicts within dicts, 40 to the 20": (
        P2 + b"Nq\0" + b"".join(b"}(" + b"".join(_text(f"k{i}") + b"h" + bytes([level]) for i in range(40))
                                + b"uq" + bytes([level + 1]) for level in range(20)) + b"."),
    "tuples within tuples, 3 to the 60": P2 + b"N" + b"22\x87" * 60 + b".",
    "wide modules within modules": _modules(20).replace(_text("a"), _text("module")),
    "class of another program, called": P2 + _call("someones_program.run", "x") + b".",
    "class of another program, as a network": P2 + b"csomeones_program\nNet\n)\x81}" + _text("_parameters") + b"K\1sb.",
    "name with a dot": _in_g_ema(_tensor(NESTED)).replace(_text("x"), _text("a.b"), 1),
    "object-dtype number": _in_g_ema(b"cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\n(" + _text("O8")
                                     + b"\x89\x88tR" + _bytes(bytes(8)) + b"\x86R"),
    "number of a million bytes": _in_g_ema(b"cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\n(" + _text("f8")
                                           + b"\x89\x88tR" + _bytes(bytes(10**6)) + b"\x86R"),
    "codec": P2 + b"c_codecs\nencode\n(" + _text("x") + _text("hex") + b"tR.",
    "nested: sizes lie": _in_g_ema(_tensor(builder.nested_bytes(count=5))),
    "nested: giant": _in_g_ema(_tensor(builder.nested_bytes(1 << 60))),
    "nested: negative": _in_g_ema(_tensor(builder.nested_bytes(-4))),
    "nested: cut": _in_g_ema(_tensor(NESTED[:-1])),
    "nested: too long": _in_g_ema(_tensor(NESTED + b"x")),
    "nested: no stream": _in_g_ema(_tensor(b"hello")),
    "nested: empty": _in_g_ema(_tensor(b"")),
    "nested: network globals": _in_g_ema(
        _tensor(builder.nested_bytes(root=P2 + b"ccollections\nOrderedDict\n)R."))),
    "nested: twice the same bytes": _in_g_ema(
        b"ctraining.x\nA\n0" + _tensor(NESTED).replace(_bytes(NESTED), _bytes(NESTED) + b"q\7")
        + b"0ctorch._utils\n_rebuild_tensor_v2\n(ctorch.storage\n_load_from_bytes\n"
        + b"h\7\x85RK\0K\4\x85K\1\x85\x89}tR"),
    "tensor: giant shape": _in_g_ema(_tensor(NESTED, size=_long(1 << 60) + b"\x85")),
    "tensor: giant by stride 0": _in_g_ema(_tensor(NESTED, size=_long(1 << 40) + b"\x85", stride=b"K\0\x85")),
    "tensor: beyond its storage": _in_g_ema(_tensor(NESTED, offset=b"K\1")),
    "tensor: negative offset": _in_g_ema(_tensor(NESTED, offset=b"J\xff\xff\xff\xff")),
    "tensor: negative stride": _in_g_ema(_tensor(NESTED, stride=b"J\xff\xff\xff\xff\x85")),
    "tensor: shape is a text": _in_g_ema(_tensor(NESTED, size=_text("x"))),
    "tensor: too few strides": _in_g_ema(_tensor(NESTED, stride=b")")),
    "tensor: no arguments": _in_g_ema(b"ctorch._utils\n_rebuild_tensor_v2\n)R"),
    "empty dict": P2 + b"}.",
    "a number": P2 + b"K\1.",
    "only the magic number": pickle.dumps(0x1950A86A20F9469CFC6C, 2),
}
EXECUTING: dict[str, Attack] = {
    "os.system": lambda f: _file(f, P2 + _call("posix.system", _touch(f)) + b"."),
    "os.system in protocol 4": lambda f: _file(
        f, P4 + _text("os") + _text("system") + b"\x93" + _text(_touch(f)) + b"\x85R."),
    "builtins.eval": lambda f: _file(f, P2 + _call("builtins.eval", _python(f)) + b"."),
    "builtins.exec": lambda f: _file(f, P2 + _call("builtins.exec", _python(f)) + b"."),
    "subprocess": lambda f: _file(f, P2 + _call("subprocess.getoutput", _touch(f)) + b"."),
    "runpy": lambda f: _file(f, P2 + _call("runpy._run_code", _python(f)) + b"."),
    "in G_ema": lambda f: _file(f, _in_g_ema(_call("posix.system", _touch(f)))),
    "in a storage": lambda f: _file(f, _in_g_ema(_tensor(builder.nested_bytes(
        root=P2 + _call("posix.system", _touch(f)) + b".")))),
    "as a storage's class": lambda f: _file(f, _in_g_ema(_tensor(builder.nested_bytes(
        root=P2 + b"(" + _text("storage") + SYSTEM + _text("0") + _text("cpu") + b"K\4NtQ.")))),
    "in torch zip": _hostile_torch(False),
    "in legacy torch": _hostile_torch(True),
}
FILES: dict[str, Attack] = {
    "missing": lambda f: f / "hostile.bin",
    "link to nothing": _link("nothing"),
    "loop of links": _link("hostile.bin"),
    "folder": _folder,
    "pipe": _fifo,
    "empty": lambda f: _file(f, b""),
    "below a file": lambda f: _file(f, b"x") / "hostile.bin",
    "png": lambda f: _file(f, b"\x89PNG\r\n\x1a\n" + bytes(100)),
    "text": lambda f: _file(f, b"hello\n"),
    "web page": lambda f: _file(f, b"<!DOCTYPE html><html>quota exceeded</html>"),
    "git-lfs pointer": lambda f: _file(f, b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n"),
    "onnx": lambda f: _file(f, b"\x08\x07\x12\x07pytorch" + bytes(50)),
    "random": lambda f: _file(f, bytes(range(256)) * 9),
    "zip: bomb": _bomb,
    "zip: no data.pkl": lambda f: _zip(f, b"").rename(f / "x") and _other_zip(f),
    "zip: compressed": lambda f: _zip(f, P2 + b"}.", zipfile.ZIP_DEFLATED),
    "zip: not weights": lambda f: _zip(f, P2 + b"}."),
    "zip: storage missing": lambda f: _patched(
        f, lambda p: builder.torch_file(p, builder.psp_root()), b"data/1", b"data/9"),
    "zip: giant storage": lambda f: _zip(f, P2 + b"}" + _text("g_ema") + b"}" + _text("a")
        + b"ctorch._utils\n_rebuild_tensor_v2\n((" + _text("storage") + b"ctorch\nFloatStorage\n" + _text("0")
        + _text("cpu") + _long(1 << 60) + b"tQK\0K\4\x85K\1\x85\x89}tRss.", **{"0": bytes(16)}),
    "zip: only a start": lambda f: _file(f, b"PK\x03\x04" + bytes(100)),
    "zip: giant directory": lambda f: _file(
        f, b"PK\x03\x04" + bytes(60) + b"PK\x05\x06"
        + struct.pack("<4H2IH", 0, 0, 65534, 65534, 1 << 31, 4, 0)),
    "zip: weights flipped": lambda f: _patched(
        f, lambda p: builder.torch_file(p, {"g_ema": {"a": torch.full((64,), 1.5)}}),
        b"\xc0\x3f\0\0\xc0\x3f", b"\xc1\x3f\0\0\xc0\x3f"),
    "tensorflow": lambda f: _file(f, P2 + b"cdnnlib.tflib.network\nNetwork\n)\x812q\0h\0\x87."),
}


def _other_zip(folder: Path) -> Path:
    path = folder / "hostile.bin"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    return path


def _pickle_file(raw: bytes) -> Attack:
    return lambda folder: _file(folder, raw)


ATTACKS: dict[str, Attack] = EXECUTING | FILES
ATTACKS |= {f"pickle: {name}": _pickle_file(raw) for name, raw in PICKLES.items()}
