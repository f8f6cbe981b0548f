"""Latent files, and the latents of random people by seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from unlearnkit.checkpoints import read_tensors, write_tensors
from unlearnkit.errors import ConfigError, UnlearnkitError
from unlearnkit.interfaces import Generator
from unlearnkit.streams import stream

__all__ = ["load_latent", "person_of_seed", "save_latent"]


def person_of_seed(generator: Generator, seed: int) -> Tensor:
    """The latent ``(1, num_ws, w_dim)`` of the random person with this seed, independent of any other draw."""
    return generator.sample_latents(1, stream(seed, "person"))


def save_latent(path: Path, latent: Tensor) -> None:
    """Write a latent ``(num_ws, w_dim)`` to a new safetensors file."""
    write_tensors(path, {"latent": latent.detach().cpu().contiguous()}, {"format": "unlearnkit-latent-1"})


def load_latent(path: Path, generator: Generator) -> Tensor:
    """Read a latent ``(num_ws, w_dim)`` from a safetensors file (as ``unlearnkit invert`` writes) or a ``.npy``.

    :raises ConfigError: if it has another shape or values that are not finite.
    """
    try:
        if path.suffix == ".npy":
            latent = torch.from_numpy(np.load(path, allow_pickle=False)).float()
        else:
            latent = read_tensors(path)[0]["latent"].float()
    except (KeyError, ValueError, OSError, TypeError) as error:
        if isinstance(error, UnlearnkitError):
            raise
        raise ConfigError(f"{path} holds no latent ({error}); give a file that 'unlearnkit invert' wrote") from error
    expected = (generator.num_ws, generator.w_dim)
    if latent.shape == (generator.w_dim,):
        latent = latent.expand(expected)
    if latent.shape == (1, *expected):
        latent = latent[0]
    if latent.shape != expected or not latent.isfinite().all():
        raise ConfigError(f"{path}: the latent has shape {tuple(latent.shape)}; this generator needs {expected}, "
                          "finite")
    return latent
