"""Torch modules as pickles hold them, NVIDIA's among them: walked, not built."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs

from unlearnkit.checkpoints.pickles import Budget, Record
from unlearnkit.checkpoints.records import Hostile, shorten
from unlearnkit.checkpoints.standins import RawTensor

MAX_DEPTH = 32
MAX_PART = 256
MAX_VALUES = 100_000
MODULE_STEPS = 50
PARTS = ("_parameters", "_buffers", "_modules")
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
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return str(value)
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
    budget.spend(MODULE_STEPS + size_of(network))
    for key, tensor in _own_tensors(network.state):
        yield prefix + key, tensor
    for key, child in _part(network.state, "_modules").items():
        if isinstance(child, Record):
            yield from walk(child, budget, f"{prefix}{key}.", depth + 1)
        elif child is not None:
            raise Hostile(f"has {shorten(key)} among its modules, which is no module")


def is_module(record: Record) -> bool:
    """Whether a record has the state of a torch module."""
    return isinstance(record.state, dict) and any(part in record.state for part in PARTS)


def size_of(module: Record) -> int:
    """How many tensors and submodules a module holds itself."""
    state = module.state
    return sum(len(_part(state, part)) for part in PARTS) if isinstance(state, dict) else 0


def only_child(record: Record, name: str) -> Record | None:
    """The one submodule of a module that has this one, by this name, and no tensors of its own; None otherwise."""
    state = record.state if isinstance(record.state, dict) else {}
    parts = {part: _part(state, part) for part in PARTS}
    if parts["_parameters"] or parts["_buffers"] or list(parts["_modules"]) != [name]:
        return None
    child = parts["_modules"][name]
    return child if isinstance(child, Record) else None


def init_kwargs_of(network: Record) -> dict[str, Any]:
    """The constructor's arguments that NVIDIA's classes keep; empty for other classes."""
    assert isinstance(network.state, dict)
    found = network.state.get("_init_kwargs", {})
    return plain(found) if isinstance(found, dict) else {}


def attributes_of(network: Record) -> dict[str, Any]:
    """Plain attributes of a module."""
    state = network.state
    assert isinstance(state, dict)
    # `_init_args` is () in all released files; where it is not, init_kwargs alone does not build the network.
    wanted = {key: value for key, value in state.items() if isinstance(key, str) and not key.startswith("_")}
    if state.get("_init_args"):
        wanted["_init_args"] = state["_init_args"]
    copied: dict[str, Any] = plain(wanted)
    return copied
