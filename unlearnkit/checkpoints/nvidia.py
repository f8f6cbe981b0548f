"""The NVIDIA pickle of StyleGAN2-ADA, StyleGAN3 and EG3D: networks that are walked, not built."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import Any

import attrs

from unlearnkit.checkpoints.legacy import open_nested
from unlearnkit.checkpoints.pickles import Budget, Record
from unlearnkit.checkpoints.records import Contents, Damaged, Hostile, Storage, TensorRef, shorten
from unlearnkit.checkpoints.standins import TENSORFLOW_NETWORK, NestedStorage, RawTensor
from unlearnkit.checkpoints.torchdata import MAX_TENSORS, make_ref

MAX_DEPTH = 32
MAX_PART = 256
MAX_VALUES = 100_000
MODULE_STEPS = 50
NOTHING = object()


@attrs.define
class _Left:
    """Values that may still be copied: shared containers could otherwise unfold without end."""

    count: int = MAX_VALUES


def plain(value: object, left: _Left | None = None, depth: int = 0) -> Any:
    """A copy of numbers, texts and containers of them; other entries of dicts are left out.

    NOTHING stands for a value that is no such thing as a whole.
    """
    left = left if left is not None else _Left()
    left.count -= 1
    if left.count < 0 or depth > MAX_DEPTH:
        raise Hostile("has settings that are nested deeper or are larger than any network's")
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, dict):
        copies = {key: plain(item, left, depth + 1) for key, item in value.items()}
        return {key: item for key, item in copies.items() if item is not NOTHING}
    if isinstance(value, (list, tuple, set, frozenset)):
        items = [plain(item, left, depth + 1) for item in value]
        return NOTHING if any(item is NOTHING for item in items) else type(value)(items)
    return NOTHING


def _part(state: dict[Any, Any], name: str) -> dict[str, Any]:
    part = state.get(name, {})
    if not isinstance(part, dict):
        raise Hostile(f"has a network whose {name} are no dict")
    for key in part:
        if not isinstance(key, str) or not 0 < len(key) <= MAX_PART or "." in key:
            raise Hostile(f"has a network with an impossible name in {name}")
    return part


def _own_tensors(state: dict[Any, Any]) -> Iterator[tuple[str, RawTensor]]:
    temporary = state.get("_non_persistent_buffers_set")
    skipped = temporary if isinstance(temporary, (set, frozenset)) else ()
    for name in ("_parameters", "_buffers"):
        for key, value in _part(state, name).items():
            if value is None or (name == "_buffers" and key in skipped):
                continue  # as torch's own state_dict does
            if not isinstance(value, RawTensor):
                raise Hostile(f"has {shorten(key)} among its {name}, which is no tensor")
            yield key, value


def walk(
    network: Record, budget: Budget, prefix: str = "", depth: int = 0
) -> Iterator[tuple[str, RawTensor]]:
    """Names and tensors of a network in the order of torch's `state_dict`.

    A module that is used twice is walked twice, so the walk is counted: 30 such levels would take for ever.
    """
    if not isinstance(network.state, dict):
        raise Hostile(f"has a {shorten(network.name)} without a state")
    if depth > MAX_DEPTH:
        raise Hostile("has modules nested deeper than any network's")
    parts = ("_parameters", "_buffers", "_modules")
    budget.spend(MODULE_STEPS + sum(len(_part(network.state, part)) for part in parts))
    for key, tensor in _own_tensors(network.state):
        yield prefix + key, tensor
    for key, child in _part(network.state, "_modules").items():
        if isinstance(child, Record):
            yield from walk(child, budget, f"{prefix}{key}.", depth + 1)
        elif child is not None:
            raise Hostile(f"has {shorten(key)} among its modules, which is no module")


def _choose(root: object) -> Record:
    parts = root if isinstance(root, tuple) else ()
    if any(isinstance(part, Record) and part.name == TENSORFLOW_NETWORK for part in parts):
        raise Damaged(
            "is a TensorFlow-era StyleGAN pickle; convert it once with"
            " `python legacy.py --source=OLD.pkl --dest=NEW.pkl` of NVIDIA's"
            " stylegan2-ada-pytorch repository and give the new file"
        )
    if not isinstance(root, dict):
        raise Damaged(
            f"is a pickle of a {type(root).__name__}; expected a dict with G_ema, as NVIDIA's programs write"
        )
    for name in ("G_ema", "G"):
        network = root.get(name)
        if isinstance(network, Record):
            return network
    keys = ", ".join(shorten(key) for key in list(root)[:8] if isinstance(key, str))
    raise Damaged(
        f"is a pickle with neither a G_ema nor a G network (it has: {keys or 'nothing'}); give a generator's"
    )


def read_network(root: object, data: mmap.mmap, budget: Budget) -> Contents:
    """The chosen network of an NVIDIA pickle's root object; `data` are the mapped bytes of the whole file."""
    network = _choose(root)
    opened: dict[int, Storage] = {}

    def resolve(nested: object) -> Storage:
        if not isinstance(nested, NestedStorage):
            raise Hostile("has a tensor without a storage")
        if id(nested) not in opened:
            opened[id(nested)] = open_nested(data, nested, budget)
        return opened[id(nested)]

    tensors: dict[str, TensorRef] = {}
    for name, raw in walk(network, budget):
        if name in tensors or len(tensors) >= MAX_TENSORS:
            raise Hostile(f"has two tensors named {shorten(name)}, or too many")
        tensors[name] = make_ref(raw, resolve)
    state = network.state
    assert isinstance(state, dict)
    init_kwargs = state.get("_init_kwargs", {})
    return Contents(
        "nvidia-pickle", tensors, network.name.rpartition(".")[2],
        plain(init_kwargs) if isinstance(init_kwargs, dict) else {}, _attributes(state),
    )


def _attributes(state: dict[Any, Any]) -> dict[str, Any]:
    # `_init_args` is () in all released files; where it is not, init_kwargs alone does not build the network.
    wanted = {key: value for key, value in state.items() if isinstance(key, str) and not key.startswith("_")}
    if state.get("_init_args"):
        wanted["_init_args"] = state["_init_args"]
    copied: dict[str, Any] = plain(wanted)
    return copied
