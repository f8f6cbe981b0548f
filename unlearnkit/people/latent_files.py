"""Latent files, and the latents of random people by seed."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unlearnkit.checkpoints import read_tensors, write_tensors
from unlearnkit.errors import ConfigError, UnlearnkitError
from unlearnkit.files.reading import read_file
from unlearnkit.interfaces import Generator
from unlearnkit.streams import stream

__all__ = ["SUFFIXES", "load_latent", "person_of_seed", "save_latent"]

SUFFIXES = (".safetensors", ".npy", ".npz", ".pt", ".pth")
"""What names of latent files end in."""

_MOST = 64 << 20
_KEYS = ("latent", "w", "w_plus", "ws", "latents", "arr_0")
_ADVICE = "give a file that 'unlearnkit invert' wrote, a .npy, a projected_w.npz, or a .pt of one tensor"


def person_of_seed(generator: Generator, seed: int) -> Tensor:
    """The latent ``(1, num_ws, w_dim)`` of the random person with this seed, independent of any other draw."""
    return generator.sample_latents(1, stream(seed, "person"))


def save_latent(path: Path, latent: Tensor) -> None:
    """Write a latent ``(num_ws, w_dim)`` to a new safetensors file."""
    write_tensors(path, {"latent": latent.detach().cpu().contiguous()}, {"format": "unlearnkit-latent-1"})


def load_latent(path: Path, generator: Generator) -> Tensor:
    """Read a latent ``(num_ws, w_dim)``: safetensors (as ``unlearnkit invert`` writes), ``.npy``, ``.npz`` or ``.pt``.

    One row for all layers, ``(w_dim,)`` or with leading ones, is repeated.

    :raises ConfigError: if it has another shape or values that are not finite.
    """
    latent = _read(path)
    expected = (generator.num_ws, generator.w_dim)
    found = tuple(latent.shape)
    while latent.ndim > 1 and latent.shape[0] == 1:
        latent = latent[0]
    if latent.shape == (generator.w_dim,):
        latent = latent.expand(expected).clone()
    if latent.shape != expected or not latent.isfinite().all():
        raise ConfigError(f"{path}: the latent has shape {found}; this generator needs {expected}, finite")
    return latent


def _read(path: Path) -> Tensor:
    """The tensor of a latent file, float32."""
    try:
        if path.suffix == ".npy":
            return _of_npy(read_file(path, _MOST))
        if path.suffix == ".npz":
            return _of_npz(read_file(path, _MOST))
        if path.suffix in (".pt", ".pth"):
            # The restricted unpickler of torch: tensors and containers, nothing that runs.
            return _of_table(torch.load(io.BytesIO(read_file(path, _MOST)), map_location="cpu", weights_only=True))
        return _of_table(read_tensors(path)[0])
    except (KeyError, ValueError, OSError, TypeError, EOFError, RuntimeError, MemoryError, pickle.UnpicklingError,
            zipfile.BadZipFile, NotImplementedError, struct.error, SyntaxError, RecursionError, AttributeError,
            IndexError, OverflowError) as error:
        if isinstance(error, UnlearnkitError):
            raise
        reason = " ".join((getattr(error, "strerror", None) or str(error) or type(error).__name__).split())[:200]
        raise ConfigError(f"{path} holds no latent ({reason}); {_ADVICE}") from error


def _of_npy(data: bytes) -> Tensor:
    """An array of numbers; its declared size is compared with the bytes that are there."""
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read_header(file)
    count = 1
    for extent in shape:
        count *= extent
    if dtype.kind not in "fiu" or not 1 <= len(shape) <= 4:
        raise ValueError(f"an array of type {dtype} and shape {shape}")
    if count * dtype.itemsize != len(data) - file.tell():
        raise ValueError(f"states an array of shape {shape}, and has {len(data) - file.tell()} bytes of it")
    array = np.frombuffer(data, dtype, count, file.tell()).reshape(shape, order="F" if fortran else "C")
    return torch.from_numpy(array.astype(np.float32))


def _of_npz(data: bytes) -> Tensor:
    """The array ``w`` that projectors write, or one that is called as latents are."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        arrays = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        chosen = _chosen(arrays)
        if chosen.file_size > _MOST:
            raise ValueError(f"an array of {chosen.file_size:,} bytes")
        with archive.open(chosen) as file:
            return _of_npy(file.read(_MOST))


def _of_table(value: Any) -> Tensor:
    """A tensor, or the one in a table that is called as latents are."""
    while isinstance(value, list | tuple) and len(value) == 1:
        value = value[0]
    tensor = _chosen(value) if isinstance(value, Mapping) else value
    if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
        raise ValueError(f"a {type(tensor).__name__} where a tensor of numbers is expected")
    return tensor.detach().float()


def _chosen(table: Mapping[str, Any]) -> Any:
    named = [table[key] for key in _KEYS if key in table]
    if not named:
        raise KeyError(f"none of {', '.join(_KEYS)} in it")
    return named[0]
