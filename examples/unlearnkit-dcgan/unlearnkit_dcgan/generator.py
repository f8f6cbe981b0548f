"""A DCGAN (Radford et al., arXiv 1511.06434): transposed convolutions from z to a picture, and no mapping network."""

from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import attrs
import torch
from torch import Tensor, nn
from unlearnkit.checkpoints import read_checkpoint
from unlearnkit.config import option
from unlearnkit.errors import CheckpointError, ShapeError
from unlearnkit.interfaces import Base, Generator, Rendering
from unlearnkit.options.domains import PHOTOGRAPHS
from unlearnkit.weights import find_file

from unlearnkit_dcgan import WEIGHTS


class Network(nn.Module):
    """``channels`` (z, C1, ..., 3): each layer but the first, which makes 4 x 4 of z, doubles the size."""

    def __init__(self, channels: list[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for index, (before, after) in enumerate(pairwise(channels)):
            stride, padding = (1, 0) if index == 0 else (2, 1)
            layers.append(nn.ConvTranspose2d(before, after, 4, stride, padding, bias=False))
            layers += [nn.Tanh()] if index == len(channels) - 2 else [nn.BatchNorm2d(after), nn.ReLU()]
        self.main = nn.Sequential(*layers)
        self.adapters = nn.ModuleDict()
        self.channels = {f"after_{3 * index + 2}": width for index, width in enumerate(channels[1:-1])}

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """z ``(N, D)`` -> image ``(N, 3, R, R)`` and features ``(N, C, R/4, R/4)``, two layers before the image."""
        x = z[:, :, None, None]
        for index, layer in enumerate(self.main):
            x = layer(x)
            if (name := f"after_{index}") in self.adapters:
                x = self.adapters[name](x)
            if index == len(self.main) - 6:
                features = x
        return x, features


def network_of(state: Mapping[str, Tensor], where: Path) -> Network:
    """A network with these tensors, whose names and shapes are checked before memory is taken.

    :raises CheckpointError: if they are not those of a DCGAN, or not finite.
    """
    weights = [value for name, value in state.items() if name.endswith("weight") and value.ndim == 4]
    if len(weights) < 3 or len(weights) > 10:
        raise CheckpointError(f"{where}: holds {len(weights)} convolutions, expected the 3 to 10 of a DCGAN; give the "
                              "file of 'unlearnkit fetch dcgan-digiface', or one with the same names")
    with torch.device("meta"):
        network = Network([weights[0].shape[0], *(int(weight.shape[1]) for weight in weights)])
    expected = {name: value.shape for name, value in network.state_dict().items()}
    found = {name: value.shape for name, value in state.items()}
    wrong = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    if wrong or weights[-1].shape[1] != 3:
        raise CheckpointError(f"{where}: is no DCGAN of colour pictures; {wrong[0] if wrong else 'the last layer'} is "
                              "missing, unknown or of another shape")
    if not all(bool(value.isfinite().all()) for value in state.values()):
        raise CheckpointError(f"{where}: has numbers that are not finite; get the file again")
    network.load_state_dict({
        name: value.float() if value.is_floating_point() else value for name, value in state.items()}, assign=True)
    return network.eval()  # its normalisation must not depend on the batch


@attrs.define(eq=False)
class Dcgan(Generator):
    """A DCGAN: z ~ N(0, I) is the latent, one row of it, and the mean latent is zero, where no face is."""

    # Renders of heads, not aligned as FFHQ is; but the networks for photographs know them: MTCNN finds 63 of 64 faces,
    # and strangers are as unlike each other (dlib 0.22) as photographs of two people.
    domain: ClassVar[str] = PHOTOGRAPHS
    checkpoint: Path | None = option(None, help="its tensors; by default the fetched file")
    resolution: int = attrs.field(init=False, default=0)
    z_dim: int = attrs.field(init=False, default=0)
    w_dim: int = attrs.field(init=False, default=0)
    _network: Network | None = attrs.field(init=False, default=None, repr=False)
    _base: Base | None = attrs.field(init=False, default=None, repr=False)

    num_ws = 1

    def check(self) -> None:
        find_file(self.checkpoint, WEIGHTS)

    def prepare(self, device: torch.device) -> None:
        file = read_checkpoint(find_file(self.checkpoint, WEIGHTS))
        self._network = network_of(file.state, file.path).to(device)
        self._base = Base(file.path, file.format, file.sha256)
        self.z_dim = self.w_dim = file.state["main.0.weight"].shape[0]
        self.resolution = 4 * 2 ** len(self._network.channels)

    @property
    def module(self) -> Network:
        assert self._network is not None, "call prepare(device) first"
        return self._network

    @property
    def base(self) -> Base:
        assert self._base is not None, "call prepare(device) first"
        return self._base

    @property
    def w_avg(self) -> Tensor:
        return next(self.module.parameters()).new_zeros(1, self.w_dim)

    def map(self, z: Tensor) -> Tensor:
        return z[:, None]

    def render(self, latents: Tensor, views: Tensor | None = None, rng: torch.Generator | None = None) -> Rendering:
        if views is not None or latents.shape[1:] != (1, self.w_dim):
            raise ShapeError(f"got {'views' if views is not None else tuple(latents.shape)}, expected latents "
                             f"(N, 1, {self.w_dim}) and no views")
        return Rendering(*self.module(latents[:, 0]))

    def editable_parameters(self) -> dict[str, nn.Parameter]:
        return {name: value for name, value in self.module.named_parameters() if name.startswith("main.")}

    def adapt(self, make: Callable[[int], nn.Module]) -> dict[str, nn.Module]:
        if not self.module.adapters:
            self.module.adapters.update({name: make(width) for name, width in self.module.channels.items()})
        return {f"adapters.{name}": module for name, module in self.module.adapters.items()}
