"""Readers of weight files that never import, call or execute anything a file says.

`read_checkpoint` tells the formats apart by their content (NVIDIA pickle, rosinality `.pt`, pSp/e4e `.pt`,
plain state dict, safetensors) and `write_like` writes a file of the same format in which only the bytes of the
changed tensors differ. Every failure is a `CheckpointError` that names the file, the reason and what to do.
"""

from unlearnkit.checkpoints.files import file_sha256
from unlearnkit.checkpoints.reading import read_checkpoint
from unlearnkit.checkpoints.records import Checkpoint
from unlearnkit.checkpoints.tensorfiles import read_tensors, write_tensors
from unlearnkit.checkpoints.writing import BaseFile, open_base, write_like

__all__ = [
    "BaseFile", "Checkpoint", "file_sha256", "open_base", "read_checkpoint", "read_tensors", "write_like",
    "write_tensors",
]
