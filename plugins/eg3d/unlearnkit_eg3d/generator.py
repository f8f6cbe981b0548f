"""EG3D as a component: latents and cameras in, picture and tri-planes out."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import attrs
import torch
from torch import Tensor, nn
from unlearnkit_stylegan2.generator import bundled_checkpoint, domain_of_file, style_layers

from unlearnkit.checkpoints import read_checkpoint
from unlearnkit.config import option
from unlearnkit.errors import CheckpointError, ConfigError, ShapeError
from unlearnkit.interfaces import Base, Generator, Rendering, StyleLayer
from unlearnkit_eg3d.cameras import cameras
from unlearnkit_eg3d.loading import network_from_checkpoint, pivot_of
from unlearnkit_eg3d.network import Drawn, TriPlaneGenerator
from unlearnkit_eg3d.volume import Draws

__all__ = ["EG3D"]

BUNDLED_FILE = "weights/eg3d_128.safetensors"
EVALUATION_VIEWS = 11
YAW = math.pi / 12
"""GUIDE's cameras: yaw in ±15°, pitch -0.2 radians (facts of its released program)."""


@attrs.define(eq=False)
class EG3D(Generator):
    """An EG3D of any published size: NVIDIA `.pkl`, or our own safetensors."""

    checkpoint: Path | None = option(None, help="file of weights; without one, the bundled EG3D")
    noise: str = option(
        "const", choices=("const", "random", "none"),
        help="per-pixel noise: 'const' from the file, 'random' in each rendering anew, or 'none'")
    jitter: str = option(
        "none", choices=("none", "random"),
        help="samples along rays: the middle of each stratum, or drawn anew in each rendering")
    feature_pass: str = option(
        "same", choices=("same", "separate"),
        help="'separate', with random noise: the losses' tri-planes come from a pass of their own, as GUIDE's do")
    pivot: str = option(
        "checkpoint", choices=("checkpoint", "origin"),
        help="what cameras look at: the file's point, or [0, 0, 0] as GUIDE's released program does")
    yaw: float = option(YAW, gt=0.0, lt=math.pi / 2, unit="radians", help="cameras turn so far to each side")
    pitch: float = option(-0.2, gt=-1.5, lt=1.5, unit="radians", help="cameras are so far above the front")

    has_views: ClassVar[bool] = True
    latent_slope: ClassVar[float] = 0.2
    resolution: int = attrs.field(init=False, default=0)
    z_dim: int = attrs.field(init=False, default=0)
    w_dim: int = attrs.field(init=False, default=0)
    num_ws: int = attrs.field(init=False, default=0)
    _network: TriPlaneGenerator | None = attrs.field(init=False, default=None, repr=False)
    _base: Base | None = attrs.field(init=False, default=None, repr=False)
    _pivot: Tensor = attrs.field(init=False, factory=lambda: torch.zeros(3), repr=False)

    def check(self) -> None:
        """Look for the file, without reading it.

        :raises ConfigError: if none is given and none is bundled; CheckpointError if it is not there.
        """
        path = self._file().expanduser()
        if not path.is_file():
            what = "is a folder" if path.is_dir() else "does not exist"
            raise CheckpointError(f"{path} {what}; give the path of an EG3D file with --checkpoint")

    def prepare(self, device: torch.device) -> None:
        """Read the file and put the network on `device`.

        :raises CheckpointError: if the file is no EG3D.
        :raises ConfigError: if no file is given, and none is bundled.
        """
        path = self._file().expanduser()
        checkpoint = read_checkpoint(path)
        self._network = network_from_checkpoint(checkpoint).to(device)
        self._base = Base(path, checkpoint.format, checkpoint.sha256)
        if self.pivot == "checkpoint":
            self._pivot = torch.tensor(pivot_of(checkpoint))
        backbone = self._network.backbone
        self.resolution, self.num_ws = self._network.img_resolution, backbone.num_ws
        self.z_dim, self.w_dim = backbone.z_dim, backbone.w_dim

    def faces_domain(self) -> str:
        """The bundled world's, photographs where the file's name says FFHQ or CelebA, otherwise unknown."""
        return domain_of_file(self.checkpoint, BUNDLED_FILE)

    def _file(self) -> Path:
        path = self.checkpoint or bundled_checkpoint(BUNDLED_FILE)
        if path is None:
            raise ConfigError("checkpoint: got None, and the bundled EG3D is not installed; "
                              "give the path of an EG3D file")
        return path

    @property
    def module(self) -> TriPlaneGenerator:
        """The whole network, with NVIDIA's names; only after :meth:`prepare`."""
        if self._network is None:
            raise RuntimeError("EG3D: call prepare(device) before anything else")
        return self._network

    @property
    def base(self) -> Base:
        """Which file the weights were read from; only after :meth:`prepare`."""
        if self._base is None:
            raise RuntimeError("EG3D: call prepare(device) before anything else")
        return self._base

    @property
    def w_avg(self) -> Tensor:
        """Mean latent `(num_ws, w_dim)`: the same row for all layers."""
        return self.module.backbone.mapping.w_avg.expand(self.num_ws, -1)

    def map(self, z: Tensor) -> Tensor:
        """Map `z` `(N, z_dim)` to latents `(N, num_ws, w_dim)`, conditioned on the front camera as GUIDE does.

        :raises ShapeError: if `z` has another shape.
        """
        if z.ndim != 2 or z.shape[1] != self.z_dim:
            raise ShapeError(f"z is {tuple(z.shape)}; this network needs (N, {self.z_dim})")
        z = z.to(self.w_avg.device)
        front = cameras(torch.zeros(1), torch.zeros(1), self._pivot).to(z.device, non_blocking=True)
        return self.module.mapping(z, front.expand(len(z), -1))

    def render(self, latents: Tensor, views: Tensor | None = None, rng: torch.Generator | None = None) -> Rendering:
        """Draw latents `(N, num_ws, w_dim)` seen by cameras `(N, 25)`: image, and the tri-planes as features.

        With `noise="random"` or `jitter="random"` the draws come from `rng`; without `rng` nothing is random.

        :raises ShapeError: if latents or cameras do not fit.
        """
        drawn = self.draw(latents, views, rng)
        planes = drawn.planes
        if self.feature_pass == "separate" and self.noise == "random" and rng is not None:
            planes = self.module.backbone.synthesis(latents.to(self.w_avg.device), noise_mode="random", generator=rng)
        return Rendering(drawn.image, planes)

    def draw(self, latents: Tensor, views: Tensor | None, rng: torch.Generator | None = None) -> Drawn:
        """All that one forward pass gives, depth included; arguments as for :meth:`render`."""
        net = self.module
        if views is None:
            raise ShapeError(f"EG3D needs a camera for each latent, ({len(latents)}, 25); got none")
        mode = "const" if self.noise == "random" and rng is None else self.noise
        draws = None
        if self.jitter == "random" and rng is not None:
            draws = Draws.random(len(latents), net.neural_resolution**2, net.settings, rng)
        # Views are moved behind their check: on a GPU the check would have to wait for everything before it.
        drawn: Drawn = net(latents.to(self.w_avg.device), views, noise_mode=mode, generator=rng, draws=draws)
        return drawn

    def sample_views(self, count: int, rng: torch.Generator) -> Tensor:
        """Cameras `(count, 25)` of GUIDE's training: yaw uniform in ±`yaw`, fixed pitch."""
        yaw = (2 * torch.rand(count, generator=rng) - 1) * self.yaw
        return cameras(yaw, torch.full((count,), self.pitch), self._pivot)

    def evaluation_views(self) -> Tensor:
        """The 11 cameras of GUIDE's evaluation, from -`yaw` to `yaw`."""
        yaw = torch.linspace(-self.yaw, self.yaw, EVALUATION_VIEWS)
        return cameras(yaw, torch.full_like(yaw, self.pitch), self._pivot)

    def turn_views(self, count: int) -> Tensor:
        """Cameras `(count, 25)` on a closed path: a little farther to the sides than `yaw`, a little up and down."""
        phase = torch.arange(count) * (2 * math.pi / count)
        yaw, pitch = 1.3 * self.yaw * torch.sin(phase), self.pitch + 0.1 * torch.cos(phase)
        return cameras(yaw, pitch, self._pivot)

    def depth(self, latents: Tensor, views: Tensor) -> Tensor:
        """Distance from the camera along each ray of neural rendering `(N, 1, r, r)`, in units of EG3D's world."""
        return self.draw(latents, views).depth

    def style_layers(self) -> list[StyleLayer]:
        """Every affine layer of the backbone's synthesis."""
        return style_layers(self.module.backbone.synthesis, "backbone.synthesis")

    def adapt(self, make: Callable[[int], nn.Module]) -> dict[str, nn.Module]:
        """Insert adapters behind every block of the backbone's synthesis but the last."""
        added = self.module.backbone.synthesis.adapt(make)
        return {f"backbone.synthesis.{name}": module for name, module in added.items()}

    def editable_parameters(self) -> dict[str, nn.Parameter]:
        """The backbone's synthesis: mapping, decoder and super-resolution stay as they are."""
        named = self.module.backbone.synthesis.named_parameters()
        return {f"backbone.synthesis.{name}": value for name, value in named}
