"""The native kernels: find, verify, load and call a device's library. Everything works without one.

A library is searched where ``pip install`` puts it, then where ``unlearnkit build-ext`` does; its file name includes a
hash of its sources. It is used only if its ABI version matches and it passes a numerical self-test.
``UNLEARNKIT_NATIVE`` selects: ``0`` never, ``1`` required, ``cpu`` or ``cuda`` only that one.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import Tensor

from unlearnkit import building
from unlearnkit.errors import BuildError

__all__ = ["ABI_VERSION", "Library", "call", "in_use", "library", "off", "status", "usable"]

ABI_VERSION = 1
DTYPES = {torch.float32: 0, torch.float64: 1}
CHOICES = {"": building.DEVICES, "1": building.DEVICES, "0": (), "cpu": ("cpu",), "cuda": ("cuda",)}
_COMMON = "size dtype threads : i; stream workspace : p; workspace_size : i;"
_FIELDS = {
    "bias_act": "n c hw noise_n : i; slope gain clamp : d; x bias scale noise y dy dx dbias dscale dnoise : p",
    "upfirdn2d": "planes h w out_h out_w fh fw up down left top : i; gain : d; x kernel y : p",
    "unit_distance": "n c hw channels_last : i; eps : d; a b weights distance ddistance da db : p",
    "sample_planes": "n channels side points : i; scale : d; planes points_xyz features dfeatures dplanes : p",
    "render_planes": "n side rays coarse fine : i; scale margin : d; planes w1 b1 w2 b2 origins directions "
                     "coarse_depths draws depths colours depth opacity dcolours ddepth dopacity dplanes dw1 db1 dw2 "
                     "db2 : p",
}


def _structure(name: str, fields: str) -> type[ctypes.Structure]:
    """The ctypes struct of an operation in extensions/include/unlearnkit_ops.h, from its members in order."""
    kinds = {"i": ctypes.c_int64, "d": ctypes.c_double, "p": ctypes.c_void_p}
    members = []
    for group in (_COMMON + fields).split(";"):
        names, _, kind = group.partition(":")
        members += [(member, kinds[kind.strip()]) for member in names.split()]
    return type(f"ul_{name}_args", (ctypes.Structure,), {"_fields_": members})


STRUCTURES = {name: _structure(name, fields) for name, fields in _FIELDS.items()}


@attrs.frozen(eq=False)
class Library:
    """A loaded library: its file, device ('cpu' or 'cuda'), and the kernel variant selected for this computer."""

    path: Path
    device: str
    variant: str
    functions: Any

    def run(self, name: str, arguments: ctypes.Structure, like: Tensor, backward: bool) -> None:
        """Call a kernel on the device and the current stream of ``like``.

        :raises BuildError: with the library's error message if it fails.
        """
        function = getattr(self.functions, f"ul_{name}_backward" if backward else f"ul_{name}")
        if self.device == "cpu":
            arguments.threads = torch.get_num_threads()
            failed = function(ctypes.byref(arguments))
        else:
            with torch.cuda.device(like.device):
                size = getattr(self.functions, f"ul_{name}_workspace")(ctypes.byref(arguments), int(backward))
                space = torch.empty(size, dtype=torch.uint8, device=like.device)
                arguments.workspace, arguments.workspace_size = space.data_ptr(), size
                arguments.stream = torch.cuda.current_stream().cuda_stream
                failed = function(ctypes.byref(arguments))
        if failed:
            raise BuildError(f"native kernel failed: {self.functions.ul_last_error().decode(errors='replace')}")


# ---------------------------------------------------------------- find and load

_loaded: dict[str, Library | None] = {}
_reasons: dict[str, str] = {}
_enabled = True


def library(device: str) -> Library | None:
    """The library of ``cpu`` or ``cuda``, loaded and tested at the first call; None if there is no usable one.

    :raises BuildError: if UNLEARNKIT_NATIVE=1 and the CPU library is missing, or the CUDA one on a GPU machine.
    """
    if device not in _loaded:
        _loaded[device] = _load(device)
    return _loaded[device]


def _load(device: str) -> Library | None:
    asked = os.environ.get("UNLEARNKIT_NATIVE", "")
    if asked not in CHOICES:
        raise BuildError(f"UNLEARNKIT_NATIVE: got {asked!r}, expected 0, 1, cpu or cuda")
    if device not in CHOICES[asked]:
        _reasons[device] = f"UNLEARNKIT_NATIVE={asked}"
        return None
    try:
        if device == "cuda" and not torch.cuda.is_available():
            raise BuildError("no CUDA device")
        found = _open(device)
        _self_test(found)
    except (BuildError, OSError, AttributeError) as error:
        _reasons[device] = str(error)
        if asked == "1" and (device == "cpu" or torch.cuda.is_available()):
            raise BuildError(f"UNLEARNKIT_NATIVE=1, but the native {device} kernels cannot be used: {error}") from error
        return None
    return found


def _open(device: str) -> Library:
    path = _find(device)
    functions = ctypes.CDLL(str(path))
    for name in ("ul_device", "ul_variant", "ul_last_error"):
        getattr(functions, name).restype = ctypes.c_char_p
    for name in STRUCTURES:
        getattr(functions, f"ul_{name}_workspace").restype = ctypes.c_int64
    version, says = functions.ul_abi_version(), functions.ul_device().decode()
    if (version, says) != (ABI_VERSION, device):
        raise BuildError(f"{path} is version {version} of {says}, expected version {ABI_VERSION} of {device}; "
                         "build it again: unlearnkit build-ext --force")
    return Library(path, device, functions.ul_variant().decode(), functions)


def _find(device: str) -> Path:
    sources = building.source_folder()
    folders = [Path(__file__).parent]
    with contextlib.suppress(BuildError):  # no home directory, so nothing was built there
        folders.append(building.cache_folder())
    names = f"unlearnkit_{device}-*.so" if sources is None else building.library_name(device, sources)
    for folder in folders:
        if found := next(iter(sorted(folder.glob(names))), None):
            return found
    stale = any(True for folder in folders for _ in folder.glob(f"unlearnkit_{device}-*.so"))
    command = "unlearnkit build-ext" + (" --cuda" if device == "cuda" else "")
    raise BuildError(f"{'built from other sources' if stale else 'not built'}; run: {command}")


def _self_test(found: Library) -> None:
    """Compare a few known results, to reject a broken library or one for another processor."""
    device = torch.device(found.device)
    x = torch.tensor([[[-2.0, 1.0, 3.0]]], device=device)
    bias, y = torch.tensor([1.0], device=device), torch.empty(1, 1, 3, device=device)
    _fill_and_run(found, "bias_act", x, False, n=1, c=1, hw=3, noise_n=0, slope=0.5, gain=2.0, clamp=5.0, x=x,
                  bias=bias, y=y)
    planes = torch.arange(12.0, device=device).view(1, 3, 1, 2, 2)
    points, features = torch.zeros(1, 1, 3, device=device), torch.empty(1, 1, 1, device=device)
    _fill_and_run(found, "sample_planes", planes, False, n=1, channels=1, side=2, points=1, scale=1.0, planes=planes,
                  points_xyz=points, features=features)
    got = [*y.flatten().tolist(), features.item()]
    if any(abs(a - b) > 1e-5 for a, b in zip(got, [-1.0, 4.0, 5.0, 5.5], strict=True)):
        raise BuildError(f"{found.path} computes {got}, expected [-1, 4, 5, 5.5]; it is not used")


# ---------------------------------------------------------------- call

def usable(*tensors: Tensor | None) -> bool:
    """True if native kernels support these tensors: all on one device with kernels, all float32 or all float64."""
    given = [tensor for tensor in tensors if tensor is not None]
    first = given[0]
    return (
        _enabled and first.device.type in building.DEVICES and first.dtype in DTYPES
        and all(tensor.dtype == first.dtype and tensor.device == first.device for tensor in given)
        and library(first.device.type) is not None
    )


def call(name: str, like: Tensor, backward: bool = False, /, **fields: Tensor | float | None) -> bool:
    """Run a kernel; False if there is none or it failed, so that the caller must fall back to PyTorch.

    ``fields``: the members of the operation's struct; tensors must be contiguous. A library that fails once is
    disabled for this process, with a warning.
    """
    found = library(like.device.type) if like.device.type in building.DEVICES and _enabled else None
    if found is None or like.dtype not in DTYPES:
        return False
    try:
        _fill_and_run(found, name, like, backward, **fields)
    except BuildError as error:
        _loaded[found.device], _reasons[found.device] = None, str(error)
        warnings.warn(f"{error}; pure PyTorch is used from here on", RuntimeWarning, stacklevel=2)
        return False
    return True


def _fill_and_run(found: Library, name: str, like: Tensor, backward: bool, **fields: Tensor | float | None) -> None:
    arguments = STRUCTURES[name]()
    arguments.size, arguments.dtype = ctypes.sizeof(arguments), DTYPES[like.dtype]
    for key, value in fields.items():
        if isinstance(value, Tensor):
            if not value.is_contiguous():
                raise RuntimeError(f"{name}: {key} is not contiguous")
            setattr(arguments, key, value.data_ptr())
        else:
            setattr(arguments, key, value)
    found.run(name, arguments, like, backward)


@contextlib.contextmanager
def off() -> Iterator[None]:
    """Context manager that disables native kernels."""
    global _enabled
    before, _enabled = _enabled, False
    try:
        yield
    finally:
        _enabled = before


def in_use(device: str) -> tuple[str, str]:
    """What computes on a device ("native", or "PyTorch" and why), and with which instructions ("avx512", "sm_90").

    For everything that reports a time: without it the time says little.

    :raises BuildError: as :func:`library`.
    """
    found = library(device) if device in building.DEVICES and _enabled else None
    if found is not None:
        return "native", found.variant
    reason = _reasons.get(device, "") if _enabled else "switched off"
    return "PyTorch" + (f" ({reason})" if reason else ""), _torch_instructions(device)


def _torch_instructions(device: str) -> str:
    if device == "cuda" and torch.cuda.is_available():
        return "sm_{}{}".format(*torch.cuda.get_device_capability())
    return torch.backends.cpu.get_cpu_capability().lower() if device == "cpu" else ""


def status() -> list[tuple[str, str]]:
    """For each device, in words: the library in use, or why there is none."""
    said = []
    for device in building.DEVICES:
        try:
            found = library(device)
        except BuildError as error:
            said.append((device, str(error)))
            continue
        reason = _reasons.get(device, "")
        said.append((device, f"{found.variant}, {found.path}" if found else f"pure PyTorch is used ({reason})"))
    return said
