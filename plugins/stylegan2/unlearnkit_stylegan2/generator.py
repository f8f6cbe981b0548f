"""The adapter that makes a StyleGAN2 file a generator of unlearnkit."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar

import attrs
import torch
from torch import Tensor, nn

from unlearnkit.checkpoints import BaseFile, Checkpoint, read_checkpoint
from unlearnkit.config import option
from unlearnkit.errors import CheckpointError, ConfigError, ShapeError, UnlearnkitError
from unlearnkit.files.atomic import sha256_file
from unlearnkit.interfaces import Base, Generator, Rendering, StyleLayer
from unlearnkit.options.domains import ANY, PHOTOGRAPHS, RENDERS
from unlearnkit_stylegan2.layers import NOISE_MODES
from unlearnkit_stylegan2.layouts import Layout, layout_of
from unlearnkit_stylegan2.loading import network_from_checkpoint
from unlearnkit_stylegan2.network import Generator as Network
from unlearnkit_stylegan2.network import SynthesisNetwork

__all__ = ["StyleGAN2", "bundled_checkpoint", "default_feature_resolution", "domain_of_file", "style_layers"]

BUNDLED_PACKAGE = "unlearnkit_demo"
BUNDLED_FILE = "weights/stylegan2_128.safetensors"


def bundled_checkpoint(file: str = BUNDLED_FILE) -> Path | None:
    """Find the bundled world's generator, or another of its files, without importing that package; None without it."""
    spec = importlib.util.find_spec(BUNDLED_PACKAGE)
    folders = [] if spec is None else spec.submodule_search_locations or []
    return next((path for folder in folders if (path := Path(folder) / file).is_file()), None)


def domain_of_file(path: Path | None, bundled: str = BUNDLED_FILE) -> str:
    """Whose faces a file draws, from its name and, where it has the size of the bundled one, its bytes.

    Without a file, or with the bundled one (a copy too), the bundled world's; "ffhq" or "celeba" in the name are
    photographs; of any other file nobody knows.
    """
    own = bundled_checkpoint(bundled)
    if path is None or (own is not None and _same_file(path.expanduser(), own)):
        return RENDERS
    return PHOTOGRAPHS if re.search(r"ffhq|celeba", path.name, re.IGNORECASE) else ANY


def _same_file(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other) or (
            path.stat().st_size == other.stat().st_size and sha256_file(path) == sha256_file(other))
    except (OSError, UnlearnkitError):
        return False  # check() says what is wrong with it


def default_feature_resolution(img_resolution: int) -> int:
    """Choose the feature map that stands for a face: a quarter of the picture's resolution, from 8 to 64.

    Layers up to there decide shape and identity; the ones behind add colour and fine texture, and their maps
    are the large ones. So this map tells much and costs little: 32×32 for 128 pixels, 64×64 for 256 and more.
    """
    return min(64, max(8, img_resolution // 4))


def style_layers(synthesis: SynthesisNetwork, prefix: str) -> list[StyleLayer]:
    """The affine layers of a synthesis network that is called `prefix` in its module."""
    return [
        StyleLayer(f"{prefix}.{name}", row, layer.weight, layer.bias, layer.weight_gain)
        for name, row, layer in synthesis.affine_layers()
    ]


@attrs.define(eq=False)
class StyleGAN2(Generator):
    """A StyleGAN2 of any published layout: NVIDIA `.pkl`, rosinality, pSp or e4e `.pt`, safetensors."""

    checkpoint: Path | None = option(None, help="file of weights; without one, the bundled generator")
    noise: str = option(
        "const", choices=NOISE_MODES,
        help="per-pixel noise: 'const' from the file, 'random' in each rendering anew, or 'none'")
    feature_resolution: int | None = option(
        None, help="resolution of the block whose output is the feature map, a power of two; "
        "by default a quarter of the picture's, at most 64")
    feature_pass: str = option(
        "same", choices=("same", "separate"),
        help="with random noise: features from the picture's own pass, or from another with a draw of its own")
    label: int | None = option(None, ge=0, help="class to draw, for a class-conditional network")

    base_options: ClassVar[tuple[str, ...]] = ("label",)
    latent_slope: ClassVar[float] = 0.2
    resolution: int = attrs.field(init=False, default=0)
    z_dim: int = attrs.field(init=False, default=0)
    w_dim: int = attrs.field(init=False, default=0)
    num_ws: int = attrs.field(init=False, default=0)
    _network: Network | None = attrs.field(init=False, default=None, repr=False)
    _base: Base | None = attrs.field(init=False, default=None, repr=False)

    def check(self) -> None:
        """Look for the file, without reading it.

        :raises ConfigError: if none is given and none is bundled; CheckpointError if it is not there.
        """
        path = self._file().expanduser()
        if not path.is_file():
            what = "is a folder" if path.is_dir() else "does not exist"
            raise CheckpointError(f"{path} {what}; give the path of a StyleGAN2 file with --checkpoint")

    def prepare(self, device: torch.device) -> None:
        """Read the file and put the network on `device`.

        :raises CheckpointError: if the file is no StyleGAN2.
        :raises ConfigError: if there is no file, or an option does not fit the network in it.
        """
        path = self._file().expanduser()
        checkpoint = read_checkpoint(path)
        network = network_from_checkpoint(checkpoint)
        self._check_options(network)
        self._network, self._base = network.to(device), Base(path, checkpoint.format, checkpoint.sha256)
        self.resolution, self.num_ws = network.img_resolution, network.num_ws
        self.z_dim, self.w_dim = network.z_dim, network.w_dim

    def faces_domain(self) -> str:
        """The bundled world's, photographs where the file's name says FFHQ or CelebA, otherwise unknown."""
        return domain_of_file(self.checkpoint)

    def _file(self) -> Path:
        path = self.checkpoint or bundled_checkpoint()
        if path is None:
            raise ConfigError("checkpoint: got None, and the bundled generator is not installed; "
                              "give the path of a StyleGAN2 file")
        return path

    @property
    def module(self) -> Network:
        """The whole network, with NVIDIA's names; only after :meth:`prepare`."""
        if self._network is None:
            raise RuntimeError("StyleGAN2: call prepare(device) before anything else")
        return self._network

    @property
    def base(self) -> Base:
        """Which file the weights were read from; only after :meth:`prepare`."""
        if self._base is None:
            raise RuntimeError("StyleGAN2: call prepare(device) before anything else")
        return self._base

    @property
    def w_avg(self) -> Tensor:
        """Mean latent `(num_ws, w_dim)`: the same row for all layers."""
        return self.module.mapping.w_avg.expand(self.num_ws, -1)

    def map(self, z: Tensor) -> Tensor:
        """Map `z` `(N, z_dim)` to latents `(N, num_ws, w_dim)`, without truncation.

        :raises ShapeError: if `z` has another shape.
        """
        z = z.to(self._device)
        if self.label is None:
            return self._latents(z, None)
        index = torch.full((z.shape[0],), self.label, device=z.device)
        return self._latents(z, nn.functional.one_hot(index, self.module.c_dim))

    def render(
        self, latents: Tensor, views: Tensor | None = None, rng: torch.Generator | None = None,
    ) -> Rendering:
        """Draw latents `(N, num_ws, w_dim)`: image `(N, 3, R, R)` and features `(N, C, r, r)`, r the option.

        With `noise="random"` the noise comes from `rng`; without `rng` it is the constant one.

        :raises ShapeError: if the latents do not fit or views are given: a StyleGAN2 has none.
        """
        if views is not None:
            raise ShapeError(f"StyleGAN2 has no views; got some of shape {tuple(views.shape)}, expected None")
        mode = "const" if self.noise == "random" and rng is None else self.noise
        feature = self.feature_resolution or default_feature_resolution(self.resolution)
        image, features = self.module.synthesis(
            latents.to(self._device), noise_mode=mode, generator=rng, feature=feature)
        if mode == "random" and self.feature_pass == "separate":  # as GUIDE's released program does
            _, features = self.module.synthesis(
                latents.to(self._device), noise_mode=mode, generator=rng, feature=feature)
        return Rendering(image, features)

    def editable_parameters(self) -> dict[str, nn.Parameter]:
        """The parameters of synthesis: the mapping network, and so the latent space, stays as it is."""
        return {f"synthesis.{name}": value for name, value in self.module.synthesis.named_parameters()}

    def style_layers(self) -> list[StyleLayer]:
        """Every affine layer of synthesis."""
        return style_layers(self.module.synthesis, "synthesis")

    def adapt(self, make: Callable[[int], nn.Module]) -> dict[str, nn.Module]:
        """Insert adapters behind every block of synthesis but the last."""
        return {f"synthesis.{name}": module for name, module in self.module.synthesis.adapt(make).items()}

    @classmethod
    def write_edited(cls, base: BaseFile, tensors: Mapping[str, Tensor], out: Path) -> None:
        """Name and shape the tensors as the layout of the file `base` does, and write it with them to `out`.

        :raises CheckpointError: if the file is no StyleGAN2, or its layout has no place for a tensor.
        """
        layout = layout_of(base.checkpoint.state)
        if layout is None:
            raise CheckpointError(f"{base.path}: is no StyleGAN2 generator; give the file that the edit was made for")
        base.write(layout.to_file(tensors), out)

    @classmethod
    def state_for(cls, checkpoint: Checkpoint, program: str) -> dict[str, Tensor]:
        """The network's tensors, float32, as NVIDIA's or rosinality's program names and shapes them.

        :raises CheckpointError: if the file is no StyleGAN2, or of an architecture that the other program lacks.
        """
        tensors = network_from_checkpoint(checkpoint).state_dict()
        return Layout(program).to_file(tensors)

    @property
    def _device(self) -> torch.device:
        return self.module.mapping.w_avg.device

    def _latents(self, z: Tensor, c: Tensor | None) -> Tensor:
        ws: Tensor = self.module.mapping(z, c)
        return ws

    def _check_options(self, network: Network) -> None:
        known = network.synthesis.resolutions
        if self.feature_resolution not in (None, *known):
            raise ConfigError(f"feature_resolution: got {self.feature_resolution}, expected one of "
                              f"{', '.join(map(str, known))}")
        if network.c_dim == 0 and self.label is not None:
            raise ConfigError(f"generator.label: got {self.label}, but this network has no classes; leave it out")
        if network.c_dim > 0 and (self.label is None or self.label >= network.c_dim):
            raise ConfigError(f"generator.label: got {self.label}, but this network draws {network.c_dim} classes; "
                              f"give 0 to {network.c_dim - 1} with --set generator.label=N")
