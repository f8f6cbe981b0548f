"""A generator of a few hundred parameters, the same on every computer."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import attrs
import numpy as np
import torch
from torch import Tensor, nn

from unlearnkit.checkpoints import BaseFile
from unlearnkit.config import option
from unlearnkit.interfaces import Base, Generator, Rendering


class ToyNetwork(nn.Module):
    """z (N, 8) -> w (N, 8); two latents (N, 2, 8) -> features (N, 6, 8, 8) -> image (N, 3, 32, 32)."""

    def __init__(self) -> None:
        super().__init__()
        self.mapping = nn.Linear(8, 8)
        self.coarse = nn.Linear(8, 6 * 8 * 8)
        self.fine = nn.Linear(8, 6)
        self.image = nn.Conv2d(6, 3, 3, padding=1)
        self.register_buffer("w_avg", torch.zeros(8))

    def forward(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        gain = 1 + self.fine(latents[:, 1])[..., None, None]
        features = self.coarse(latents[:, 0]).unflatten(1, (6, 8, 8)) * gain
        image = self.image(nn.functional.interpolate(features, scale_factor=4.0, mode="bilinear"))
        return image.tanh(), features


def read(path: Path) -> dict[str, Tensor]:
    """Tensors by name; in .npz files names have slashes in place of dots."""
    if path.suffix != ".npz":
        state: dict[str, Tensor] = torch.load(path, weights_only=True)
        return state
    with np.load(path) as arrays:
        return {name.replace("/", "."): torch.from_numpy(arrays[name]) for name in arrays.files}


@attrs.define(eq=False)
class ToyGenerator(Generator):
    """Made from a seed, or read from a file that torch.save or numpy.savez wrote."""

    checkpoint: Path | None = option(None, help="state_dict of the network; by default made from the seed")
    network_seed: int = option(0, ge=0, help="seed of the weights where no file is given")
    domain: ClassVar[str] = "synthetic-renders"  # it draws no faces, but tests judge it by the bundled networks
    base_options: ClassVar[tuple[str, ...]] = ("network_seed",)
    _network: ToyNetwork = attrs.field(init=False, repr=False)
    _base: Base = attrs.field(init=False, repr=False)

    resolution = 32
    z_dim = 8
    w_dim = 8
    num_ws = 2

    def prepare(self, device: torch.device) -> None:
        rng = torch.Generator().manual_seed(self.network_seed)
        network = ToyNetwork()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=rng) * 0.3)
            network.w_avg.copy_(network.mapping.bias)
        if self.checkpoint is not None:
            network.load_state_dict(read(self.checkpoint))
        content = b"".join(value.numpy().tobytes() for value in network.state_dict().values())
        data = content if self.checkpoint is None else self.checkpoint.read_bytes()
        path = self.checkpoint or Path(f"toy-{self.network_seed}")
        self._base = Base(path, "toy", hashlib.sha256(data).hexdigest())
        self._network = network.to(device)

    @property
    def module(self) -> nn.Module:
        return self._network

    @property
    def base(self) -> Base:
        return self._base

    @property
    def w_avg(self) -> Tensor:
        return self._network.w_avg.expand(2, 8)

    def map(self, z: Tensor) -> Tensor:
        return self._network.mapping(z)[:, None].expand(-1, 2, -1)

    def render(
        self, latents: Tensor, views: Tensor | None = None, rng: torch.Generator | None = None
    ) -> Rendering:
        return Rendering(*self._network(latents))

    @classmethod
    def write_edited(cls, base: BaseFile, tensors: Mapping[str, Tensor], out: Path) -> None:
        if base.path.suffix != ".npz":
            return super().write_edited(base, tensors, out)  # names as in the module: nothing to do
        arrays = {name.replace(".", "/"): value.numpy() for name, value in {**read(base.path), **tensors}.items()}
        with out.open("wb") as file:
            np.savez(file, **arrays)

    def editable_parameters(self) -> dict[str, nn.Parameter]:
        return {name: p for name, p in self._network.named_parameters() if not name.startswith("mapping.")}
