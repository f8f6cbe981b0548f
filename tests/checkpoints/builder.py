"""Makes small checkpoints in every format: pickles with NVIDIA's globals, and torch files.

The fake modules exist only while a pickle is made; reading must never need them.
"""

from __future__ import annotations

import argparse
import pickle
import struct
import sys
import types
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

BOOBY_TRAP = "raise RuntimeError('embedded source was executed')\n"


def _reconstruct_persistent_obj(meta: dict) -> None:
    raise AssertionError("the stand-in of NVIDIA's loader was called")


class EasyDict(dict):
    """As NVIDIA's: a dict subclass, pickled by reference."""


class OSGDecoder:
    """A module that is pickled by reference, as in EG3D."""


FAKES = {
    ("torch_utils.persistence", "_reconstruct_persistent_obj"): _reconstruct_persistent_obj,
    ("dnnlib.util", "EasyDict"): EasyDict,
    ("training.triplane", "OSGDecoder"): OSGDecoder,
}
for (_module, _name), _thing in FAKES.items():
    _thing.__module__, _thing.__qualname__ = _module, _name  # type: ignore[attr-defined]


@contextmanager
def fake_modules() -> Iterator[None]:
    """NVIDIA's module names, importable for as long as a pickle is made."""
    names = {module for module, _ in FAKES} | {module.partition(".")[0] for module, _ in FAKES}
    for name in names:
        sys.modules[name] = types.ModuleType(name)
    for (module, name), thing in FAKES.items():
        setattr(sys.modules[module], name, thing)
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]


class Persistent:
    """Pickles as an object of NVIDIA's persistent classes does."""

    def __init__(self, class_name: str, state: dict[str, Any]) -> None:
        self.class_name, self.state = class_name, state

    def __reduce__(self) -> tuple:
        meta = {"type": "class", "version": 6, "module_src": BOOBY_TRAP * 200, "class_name": self.class_name,
                "state": self.state}
        return _reconstruct_persistent_obj, (meta,)


def module_state(
    tensors: dict[str, Tensor], modules: dict[str, Any] | None = None, **plain: Any
) -> dict[str, Any]:
    """The `__dict__` of a torch module with these parameters and submodules."""
    return {
        "training": False,
        "_parameters": OrderedDict((n, torch.nn.Parameter(t, False)) for n, t in tensors.items()),
        "_buffers": OrderedDict(), "_non_persistent_buffers_set": set(), "_forward_hooks": OrderedDict(),
        "_modules": OrderedDict(modules or {}), "_init_args": (), **plain,
    }


def network(tensors: dict[str, Tensor], **plain: Any) -> Persistent:
    """A generator with a nested module by reference; `tensors` lie below `synthesis`."""
    decoder = OSGDecoder()
    decoder.__dict__.update(module_state({"weight": torch.arange(6.0).reshape(2, 3)}))
    layer = Persistent("SynthesisLayer", module_state(tensors, act_gain=np.float64(1.5)))
    modules = {"synthesis": layer, "decoder": decoder}
    state = module_state({}, modules, z_dim=4, gain=np.float32(0.25), **plain)
    state["_buffers"]["w_avg"] = torch.linspace(0, 1, 4)
    state["_buffers"]["scratch"] = torch.zeros(2)
    state["_non_persistent_buffers_set"] = {"scratch"}
    state["_init_kwargs"] = EasyDict(z_dim=4, mapping_kwargs=EasyDict(num_layers=2), size=np.int64(7))
    return Persistent("Generator", state)


def nvidia_bytes(root: Any, protocol: int = 4) -> bytes:
    """A pickle of `root` as NVIDIA's programs write it."""
    with fake_modules():
        return pickle.dumps(root, protocol=protocol)


def tiny_tensors(seed: int = 0) -> dict[str, Tensor]:
    """A few tensors, one of them without dimensions, one channels-last."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(2, 3, 3, 3, generator=generator)
    return {"weight": weight.to(memory_format=torch.channels_last),
            "bias": torch.randn(3, generator=generator),
            "noise_strength": torch.randn([], generator=generator)}


def nvidia_file(path: Path, protocol: int = 4, **plain: Any) -> Path:
    """A small snapshot with G, D and G_ema."""
    root = {"G": network(tiny_tensors(1)), "D": None, "G_ema": network(tiny_tensors(0), **plain),
            "training_set_kwargs": EasyDict(path="somewhere"), "augment_pipe": None}
    path.write_bytes(nvidia_bytes(root, protocol))
    return path


def rosinality_root(trained: bool = False) -> dict[str, Any]:
    """The dict of a rosinality file, converted or trained."""
    state = OrderedDict((name, t.clone()) for name, t in tiny_tensors().items())
    state["noise.weight"] = torch.randn(1)
    if not trained:
        return {"g_ema": state, "latent_avg": torch.ones(4)}
    moments = {"state": {0: {"step": 3, "exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 0.1}]}
    return {"g": state, "d": {"x": torch.zeros(2)}, "g_ema": state, "g_optim": moments, "d_optim": moments,
            "args": argparse.Namespace(size=32, lr=0.002), "ada_aug_p": 0.0}


def psp_root() -> dict[str, Any]:
    """The dict of a pSp or e4e file."""
    weights = {f"decoder.{name}": t for name, t in tiny_tensors().items()} | {"encoder.body": torch.zeros(5)}
    return {"state_dict": weights, "latent_avg": torch.ones(2, 4), "opts": argparse.Namespace(output_size=32)}


def torch_file(path: Path, root: Any, legacy: bool = False) -> Path:
    """Any object as torch.save writes it."""
    torch.save(root, path, _use_new_zipfile_serialization=not legacy)
    return path


def nested_bytes(numel: int = 4, count: int | None = None, root: bytes | None = None) -> bytes:
    """A legacy torch.save of a storage, with sizes that may lie and a storage pickle that may be hostile."""
    head = b"".join(pickle.dumps(value, 2) for value in (
        0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}))
    key = (b"\x80\x02(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu"
           + b"\x8a\x08" + struct.pack("<q", numel) + b"NtQ.")
    stated = struct.pack("<q", numel if count is None else count)
    return (head + (root or key) + pickle.dumps(["0"], 2) + stated
            + torch.arange(4.0).numpy().tobytes())


def nvidia_generator(path: Path, state: dict[str, Tensor], class_name: str = "Generator", **init_kwargs: Any) -> Path:
    """A snapshot whose G_ema has these tensors, dotted names being modules; all are parameters."""
    tree: dict[str, Any] = {}
    for name, tensor in state.items():
        *parts, last = name.split(".")
        node = tree
        for part in parts:
            node = node.setdefault(part, {})
        node[last] = tensor

    def module(name: str, node: dict[str, Any]) -> Persistent:
        tensors = {key: value for key, value in node.items() if isinstance(value, Tensor)}
        modules = {key: module("Layer", value) for key, value in node.items() if isinstance(value, dict)}
        return Persistent(name, module_state(tensors, modules))

    network = module(class_name, tree)
    network.state["_init_kwargs"] = EasyDict(init_kwargs)
    path.write_bytes(nvidia_bytes({"G": None, "D": None, "G_ema": network, "training_set_kwargs": None}))
    return path
