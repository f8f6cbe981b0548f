"""Any weight file that can be read as a safetensors file, for programs that read only those, or in float32."""

from __future__ import annotations

import json
from pathlib import Path

from unlearnkit.checkpoints.files import check_free, guarded
from unlearnkit.checkpoints.reading import read_checkpoint
from unlearnkit.checkpoints.records import Checkpoint
from unlearnkit.checkpoints.tensorfiles import write_tensors
from unlearnkit.errors import CheckpointError

__all__ = ["to_safetensors"]

PASSING = ("training", "_init_args")
"""Attributes of a module that say nothing of the network."""


def to_safetensors(path: Path, out: Path, float32: bool = False) -> Checkpoint:
    """Write the generator in a weight file to ``out``, a safetensors file with the same names; returns what was read.

    Constructor's arguments and plain attributes go to the metadata, where generators look for them. ``float32`` turns
    every floating-point tensor into that type.

    :raises CheckpointError: if the file cannot be read, or ``out`` exists or has another suffix.
    """
    if out.suffix.lower() != ".safetensors":
        raise CheckpointError(f"{out}: only safetensors files can be made; choose a name that ends in .safetensors")
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
