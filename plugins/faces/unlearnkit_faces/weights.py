"""Weight files of published networks, read without trusting them; :mod:`unlearnkit.weights` finds them."""

from __future__ import annotations

import argparse
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from unlearnkit.checkpoints import read_tensors
from unlearnkit.errors import CheckpointError

__all__ = ["check_state", "load_network", "read_file", "read_state"]

Network = TypeVar("Network", bound=nn.Module)
COUNTERS = "num_batches_tracked"
"""Batch-normalisation buffers that old files lack and that inference does not use."""


def read_file(path: Path) -> Any:
    """The content of a weight file, on the CPU: safetensors, or what torch reads with ``weights_only=True``.

    :raises CheckpointError: if it is neither; no code from a file is ever executed.
    """
    if path.suffix == ".safetensors":
        return read_tensors(path)[0]
    try:
        # Training programs save their options as a Namespace, which is nothing but attributes.
        torch.serialization.add_safe_globals([argparse.Namespace])
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path}: is not a plain tensor file, or damaged: torch refuses it with weights_only=True "
            f"({_first_line(error)}); download it again"
        ) from error
    except Exception as error:  # untrusted content: torch.load may raise anything
        raise CheckpointError(f"{path}: cannot be read as weights ({_first_line(error)}); "
                              "download it again") from error


def read_state(path: Path, prefix: str = "") -> dict[str, Tensor]:
    """The state dict in a file: its tensors under ``prefix``, with the prefix removed.

    :raises CheckpointError: if the file holds something else or no such tensor.
    """
    value = read_file(path)
    if not isinstance(value, Mapping):
        raise CheckpointError(
            f"{path}: holds a {type(value).__name__}, expected a state dict; give another file")
    state = {
        name.removeprefix(prefix): tensor for name, tensor in value.items()
        if isinstance(name, str) and name.startswith(prefix) and isinstance(tensor, Tensor)
    }
    if not state:
        below = f" below '{prefix}'" if prefix else ""
        names = ", ".join(repr(name)[:40] for name in list(value)[:3]) or "nothing"
        raise CheckpointError(f"{path}: holds no tensors{below} but {names}; give another file")
    return state


def load_network(
    make: Callable[[], Network], state: Mapping[str, Tensor], path: Path, device: torch.device
) -> Network:
    """A frozen float32 network in ``eval()`` mode with exactly the tensors of ``state``.

    ``make`` is called on the meta device: nothing is allocated before all names and shapes are checked.

    :raises CheckpointError: naming the first differences, if the state is another network's.
    """
    with torch.device("meta"):
        network = make()
    check_state(network, state, path)
    expected = network.state_dict()
    weights = {
        name: state[name].detach().to(device, like.dtype).contiguous() if name in state
        else torch.zeros(like.shape, dtype=like.dtype, device=device)
        for name, like in expected.items()
    }
    network.load_state_dict(weights, assign=True)
    return network.requires_grad_(False).eval()


def check_state(network: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Check a state dict against a network: every name and shape, and no NaN or infinity.

    :raises CheckpointError: naming the first differences.
    """
    expected = network.state_dict()
    missing = [name for name in expected if name not in state and not name.endswith(COUNTERS)]
    if missing:
        raise CheckpointError(f"{path}: is another network's file: it lacks {_some(missing)}")
    unknown = [name for name in state if name not in expected]
    if unknown:
        raise CheckpointError(f"{path}: is another network's file: nothing is known about {_some(unknown)}")
    for name, tensor in state.items():
        if tensor.shape != expected[name].shape:
            raise CheckpointError(f"{path}: {name} has the shape {tuple(tensor.shape)}, expected "
                                  f"{tuple(expected[name].shape)}; give the file of the right network")
        if expected[name].is_floating_point() and not _is_sound(tensor):
            raise CheckpointError(f"{path}: {name} has numbers that are not finite or not floating-point; "
                                  "download it again")


def _is_sound(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and bool(torch.isfinite(tensor).all())


def _some(names: list[str], limit: int = 3) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(name[:60] for name in names[:limit]) + more


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:120]}"
