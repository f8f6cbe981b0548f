"""Golden cases, small networks and checkpoints that the tests of this folder share."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
from safetensors import safe_open
from torch import Tensor
from unlearnkit_stylegan2.network import Generator

from unlearnkit.checkpoints import Checkpoint, read_checkpoint

GOLDEN = Path(__file__).parents[2] / "golden"


@attrs.frozen(eq=False)
class Case:
    """Numbers recorded from the authors' programs: inputs, outputs, every 31st value of gradients."""

    checkpoint: Checkpoint
    meta: dict[str, Any]
    tensors: dict[str, Tensor]

    def gradients(self) -> dict[str, Tensor]:
        """Recorded gradients by the parameter's name in the file."""
        found = (key for key in self.tensors if key.startswith("grad/"))
        return {key.removeprefix("grad/"): self.tensors[key] for key in found}

    def picked(self, gradient: Tensor) -> Tensor:
        """The values of a gradient that were recorded."""
        return gradient.flatten()[:: self.meta["grad_step"]] if gradient.numel() > 1024 else gradient


@pytest.fixture(scope="session")
def golden() -> Callable[[str], Case]:
    """Read a golden case; most share weights with sg2_ada_32 and hold only what differs from it."""

    def read(name: str) -> Case:
        with safe_open(GOLDEN / f"{name}.safetensors", "pt") as file:
            meta = json.loads(file.metadata()["golden"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  # no dict
        checkpoint = read_checkpoint(GOLDEN / meta["weights"])
        state = {key: value for key, value in checkpoint.state.items() if key not in meta.get("lacks", ())}
        state |= {key.removeprefix("sd/"): value for key, value in tensors.items() if key.startswith("sd/")}
        kwargs = meta.get("init_kwargs", {})
        return Case(attrs.evolve(checkpoint, state=state, init_kwargs=kwargs), meta, tensors)

    return read


@pytest.fixture(scope="session")
def keys() -> Callable[[str], dict[str, Tensor]]:
    """Read the tensor names and shapes of a published file; the tensors are zeros that take no memory."""

    def read(name: str) -> dict[str, Tensor]:
        lines = (GOLDEN / "keys" / f"{name}.txt").read_text().splitlines()
        shapes = {line.split("\t")[0]: json.loads(line.split("\t")[1]) for line in lines}
        return {key: torch.zeros(()).expand(shape) for key, shape in shapes.items()}

    return read


@pytest.fixture
def make_checkpoint() -> Callable[..., Checkpoint]:
    """Make a Checkpoint of any tensors, as if they had been read from `/somewhere/face.pkl`."""

    def make(state: dict[str, Tensor], *, format: str = "nvidia-pickle", class_name: str | None = None,
             **init_kwargs: Any) -> Checkpoint:
        path = Path("/somewhere/face.pkl")
        return Checkpoint(path, format, class_name, init_kwargs, {}, state, {}, "0" * 64)

    return make


@pytest.fixture
def small() -> Callable[..., Generator]:
    """Make a network of 32 pixels and few channels, with noise that shows; keywords change its settings."""

    def make(**settings: Any) -> Generator:
        torch.manual_seed(0)
        usual = {"z_dim": 16, "c_dim": 0, "w_dim": 24, "img_resolution": 32, "num_layers": 2,
                 "channel_base": 256, "channel_max": 16}
        network = Generator(**usual | settings)
        for name, value in network.named_parameters():
            if name.endswith("noise_strength"):
                value.data.fill_(0.3)
        network.mapping.w_avg.normal_()
        return network

    return make
