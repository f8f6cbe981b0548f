"""Before a run: can its edit be written into a checkpoint, as ``unlearnkit apply`` does?"""

from __future__ import annotations

import torch

from unlearnkit.checkpoints import open_base
from unlearnkit.errors import CheckpointError
from unlearnkit.interfaces import Generator, Method
from unlearnkit.workflows.experiment import Experiment

__all__ = ["doubt"]

_HALF = {torch.float16: "float16", torch.bfloat16: "bfloat16"}
_AS_IT_IS = "the edit can be used as it is: unlearnkit sample --edit, unlearnkit.load_generator(edit=...)"


def doubt(experiment: Experiment) -> str | None:
    """Why the edit of this run will not go into a checkpoint, or may be rounded away there; None if it will."""
    method, edited = experiment.parts.method, experiment.edited
    if method is not None and type(method).attach is not Method.attach:
        return f"{type(method).__name__} adds modules that no checkpoint has a place for: {_AS_IT_IS}"
    if not edited.base.path.is_file():
        return f"the generator comes from no file that could be written back: {_AS_IT_IS}"
    with open_base(edited.base.path) as base:
        try:
            state = base.checkpoint.state
        except CheckpointError:
            if type(edited).write_edited.__func__ is Generator.write_edited.__func__:  # type: ignore[attr-defined]
                return f"{type(edited).__name__} does not say how its files are written: {_AS_IT_IS}"
            return None
        half = next((name for tensor in state.values() if (name := _HALF.get(tensor.dtype))), None)
    if half is None:
        return None
    return (f"{edited.base.path.name} holds its weights as {half}, which may round the edit back; to be sure, start "
            f"from a copy in float32: unlearnkit convert {edited.base.path.name} float32.safetensors --float32")
