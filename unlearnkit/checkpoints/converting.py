"""A weight file as another one: safetensors, a file of torch.save, or an NVIDIA pickle made from a given one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from unlearnkit.checkpoints.files import check_free, guarded, new_file
from unlearnkit.checkpoints.reading import read_checkpoint
from unlearnkit.checkpoints.records import Checkpoint
from unlearnkit.checkpoints.tensorfiles import write_tensors
from unlearnkit.checkpoints.writing import open_base
from unlearnkit.errors import CheckpointError

__all__ = ["convert", "to_safetensors"]

PASSING = ("training", "_init_args")
"""Attributes of a module that say nothing of the network."""
PICKLES, TORCH = (".pkl", ".pickle"), (".pt", ".pth")
Names = Callable[[Checkpoint, str], Mapping[str, Tensor]]
"""The tensors of a weight file under the names of a program, see :meth:`unlearnkit.interfaces.Generator.state_for`."""


def convert(path: Path, out: Path, names: Names, float32: bool = False, like: Path | None = None) -> Checkpoint:
    """Write the generator in a weight file to ``out``, whose suffix decides what it becomes; returns what was read.

    * ``.safetensors``: the same tensors under the same names, see :func:`to_safetensors`
    * ``.pt``, ``.pth``: a file of torch.save in the layout of rosinality/stylegan2-pytorch, ``{"g_ema": ...,
      "latent_avg": ...}``
    * ``.pkl``: a copy of the NVIDIA pickle ``like``, of the same network, with these tensors. Such a file holds the
      program of those who made it, which cannot be written anew.

    :raises CheckpointError: if the file cannot be read, ``out`` exists or has another suffix, or the tensors have no
        place there.
    """
    suffix = out.suffix.lower()
    if suffix == ".safetensors":
        return to_safetensors(path, out, float32)
    if suffix not in (*PICKLES, *TORCH):
        raise CheckpointError(f"{out}: choose a name that ends in .safetensors, in .pt (rosinality's layout) or in "
                              ".pkl (NVIDIA's, with --like)")
    if suffix in PICKLES and like is None:
        raise CheckpointError(f"{out}: an NVIDIA pickle holds the program of those who made it, which unlearnkit does "
                              "not have; give such a file of the same network with --like FILE.pkl, or choose a name "
                              "that ends in .pt or .safetensors")
    with guarded(out):
        check_free(out)
    checkpoint = read_checkpoint(path)
    if suffix in TORCH:
        _write_torch(out, dict(names(checkpoint, "rosinality")))
    elif like is not None:
        _write_pickle(out, checkpoint, names, like)
    return checkpoint


def to_safetensors(path: Path, out: Path, float32: bool = False) -> Checkpoint:
    """Write the generator in a weight file to ``out``, a safetensors file with the same names; returns what was read.

    Constructor's arguments and plain attributes go to the metadata, where generators look for them. ``float32`` turns
    every floating-point tensor into that type.

    :raises CheckpointError: if the file cannot be read, or ``out`` exists.
    """
    with guarded(out):
        check_free(out)
    checkpoint = read_checkpoint(path)
    attributes = {name: value for name, value in checkpoint.attributes.items() if name not in PASSING}
    metadata = dict(checkpoint.metadata)
    if settings := checkpoint.init_kwargs | attributes:
        metadata["init_kwargs"] = json.dumps(settings, default=list)
    if checkpoint.class_name:
        metadata["class_name"] = checkpoint.class_name
    state = checkpoint.state
    if float32:
        state = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    write_tensors(out, state, metadata)
    return checkpoint


def _write_torch(out: Path, state: dict[str, Tensor]) -> None:
    latent = state.pop("latent_avg", None)
    content = {"g_ema": {name: tensor.contiguous() for name, tensor in state.items()}}
    with new_file(out) as part:
        torch.save(content if latent is None else {**content, "latent_avg": latent}, part)


def _write_pickle(out: Path, checkpoint: Checkpoint, names: Names, like: Path) -> None:
    with open_base(like) as template, new_file(out) as part:
        if template.container != "pickle":
            raise CheckpointError(f"{like}: is no NVIDIA pickle; give one of the same network with --like")
        wanted = template.checkpoint.state
        # EG3D, say, has one set of names: nothing to rename.
        state = checkpoint.state if checkpoint.state.keys() >= wanted.keys() else names(checkpoint, "nvidia")
        missing = next((name for name in wanted if name not in state), None)
        if missing is not None:
            raise CheckpointError(f"{like}: is another network: it has {missing}, which {checkpoint.path} lacks; give "
                                  "a pickle of the same network")
        template.write({name: state[name].float() if state[name].is_floating_point() else state[name]
                        for name in wanted if not torch.equal(state[name], wanted[name])}, part)
