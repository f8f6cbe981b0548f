"""Weight files: where they are looked up, and how they are read without trusting them.

Nothing is ever downloaded: the error for a missing file says where it was looked for, where to get it, and which
setting names it.
"""

from __future__ import annotations

import argparse
import pickle
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import attrs
import torch
from torch import Tensor, nn

from unlearnkit.checkpoints import file_sha256, read_tensors
from unlearnkit.errors import CheckpointError, ConfigError

__all__ = ["Source", "check_state", "find_file", "load_network", "read_file", "read_state"]

Network = TypeVar("Network", bound=nn.Module)
COUNTERS = "num_batches_tracked"
"""Batch-normalisation buffers that old files lack and that inference does not use."""


@attrs.frozen
class Source:
    """Where to get the weights of a network, and which setting names them.

    * ``setting``: what the user writes, e.g. ``"--set perceptual.trunk=FILE"``
    * ``origin``: URL or page of the file
    * ``instead``: an alternative without these weights, or empty
    """

    file_name: str
    setting: str
    origin: str
    instead: str = ""


def cache_folders() -> tuple[Path, ...]:
    """Folders in which torch.hub and facenet-pytorch keep downloaded weights (``$TORCH_HOME`` counts)."""
    hub = Path(torch.hub.get_dir())
    return hub / "checkpoints", hub.parent / "checkpoints"


def find_file(given: Path | None, source: Source) -> Path:
    """The path that was given, or the file of that name in torch's cache.

    :raises CheckpointError: if a path was given and is not a file.
    :raises ConfigError: if none was given and the cache has none; says where it looked and what to do.
    """
    if given is not None:
        path = given.expanduser()
        if not path.is_file():
            what = "is a folder" if path.is_dir() else "does not exist"
            raise CheckpointError(f"{path}: {what}; give the path of {source.file_name}")
        return path
    places = [folder / source.file_name for folder in cache_folders()]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        instead = f", or {source.instead}" if source.instead else ""
        raise ConfigError(
            f"no weights: looked for {' and '.join(map(str, places))}, and nothing is downloaded unasked; "
            f"get {source.file_name} from {source.origin} and give it with {source.setting}{instead}"
        )
    _check_promised_hash(found)
    return found


def _check_promised_hash(path: Path) -> None:
    """Check a file against the SHA-256 prefix that torch.hub puts in its name."""
    promised = re.search(r"-([0-9a-f]{8})\.pth$", path.name)
    if promised and not (found := file_sha256(path)).startswith(promised[1]):
        raise CheckpointError(
            f"{path}: is damaged or another file: its SHA-256 begins with {found[:8]}, and its name promises "
            f"{promised[1]}; download it again"
        )


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
