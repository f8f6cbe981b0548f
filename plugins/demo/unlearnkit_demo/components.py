"""The bundled world's networks as components: two identity encoders, a perceptual distance, two inverters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import attrs
import torch
import torch.nn.functional as F
from torch import Tensor

from unlearnkit.checkpoints import read_tensors
from unlearnkit.config import option
from unlearnkit.errors import CheckpointError, ConfigError
from unlearnkit.interfaces import Generator, IdentityEncoder, Inverter, Perceptual
from unlearnkit.options.domains import RENDERS
from unlearnkit.ticks import tick
from unlearnkit_demo.cameras import PITCH, YAW, portrait_cameras
from unlearnkit_demo.networks import InversionEncoder, Trunk, build, normalised_maps, resized, unit

__all__ = ["DemoIdentity", "DemoInverter", "DemoInverter3D", "DemoJudge", "DemoPerceptual"]

WEIGHTS = Path(__file__).parent / "weights"


def load(name: str, device: torch.device) -> tuple[Any, dict[str, Any]]:
    """The network of ``weights/NAME.safetensors``, frozen, on ``device``; and the results recorded in training.

    :raises CheckpointError: if the file is missing, as in a checkout without the weights.
    """
    path = WEIGHTS / f"{name}.safetensors"
    if not path.is_file():
        raise CheckpointError(f"{path} is missing; install unlearnkit again, or train it (plugins/demo/README.md)")
    tensors, metadata = read_tensors(path)
    network = build(json.loads(metadata["architecture"]))
    network.load_state_dict({key: value.float() if value.is_floating_point() else value
                             for key, value in tensors.items()})
    return network.to(device).eval().requires_grad_(False), json.loads(metadata["measured"])


@attrs.define(eq=False)
class DemoIdentity(IdentityEncoder):
    """Identity encoder A, trained on the bundled world's people; for losses."""

    domain: ClassVar[str] = RENDERS
    file: ClassVar[str] = "identity"
    _network: Any = attrs.field(init=False, default=None, repr=False)
    _measured: dict[str, Any] = attrs.field(init=False, factory=dict, repr=False)

    def prepare(self, device: torch.device) -> None:
        """Load the weights that ship."""
        self._network, self._measured = load(self.file, device)

    def embed(self, images: Tensor) -> Tensor:
        """Images ``(N, 3, H, W)`` in [-1, 1] -> unit embeddings ``(N, 128)``."""
        return unit(self._network(images.clamp(-1, 1)))

    levels_source: ClassVar[str] = (
        "measured by us on all pairs of renders of 170 held-out people of the bundled world, six each (CARDS.md)")

    def levels(self) -> dict[str, float]:
        """Mean similarity of two images of one person, and of two strangers, over held-out people."""
        return {key: float(self._measured[key]) for key in ("same_person", "strangers")}


@attrs.define(eq=False)
class DemoJudge(DemoIdentity):
    """Identity encoder B: another architecture and seed, used by no loss; it only judges."""

    file: ClassVar[str] = "judge"


@attrs.define(eq=False)
class DemoPerceptual(Perceptual):
    """LPIPS-like distance on the trunk: normalised feature maps, averaged over positions and stages, unweighted."""

    domain: ClassVar[str] = RENDERS
    label: ClassVar[str] = "demo-trunk"
    _network: Trunk = attrs.field(init=False, default=None, repr=False)

    def prepare(self, device: torch.device) -> None:
        """Load the weights that ship."""
        self._network = load("trunk", device)[0]

    def features(self, images: Tensor) -> list[Tensor]:
        """Images ``(N, 3, H, W)`` -> four maps ``(N, C_i, h_i, w_i)``, normalised over channels at each position."""
        return normalised_maps(self._network.stages(resized(images, self._network.size)))

    def distance(self, a: list[Tensor], b: list[Tensor]) -> Tensor:
        """Squared difference, averaged over positions, then over stages: ``(N,)``."""
        return torch.stack([(x - y).square().sum(1).mean((1, 2)) for x, y in zip(a, b, strict=True)]).mean(0)

    def pooled(self, images: Tensor) -> Tensor:
        """The trunk's last hidden layer: ``(N, 256)``."""
        return self._network.hidden(images)


@attrs.define(eq=False)
class DemoInverter(Inverter):
    """An encoder's estimate in W+, refined by a few optimisation steps that stay close to it."""

    refine_steps: int = option(30, ge=0, unit="steps", help="Adam steps on the latent after the encoder's estimate")
    learning_rate: float = option(0.01, gt=0.0, help="Adam's learning rate in the refinement")
    stay: float = option(0.05, ge=0.0, help="weight of the squared distance from the encoder's estimate")
    domain: ClassVar[str] = RENDERS
    file: ClassVar[str] = "inverter"
    spatial: ClassVar[bool] = False
    _network: InversionEncoder = attrs.field(init=False, default=None, repr=False)
    _perceptual: DemoPerceptual = attrs.field(init=False, factory=DemoPerceptual, repr=False)

    def prepare(self, device: torch.device) -> None:
        """Load the weights that ship."""
        self._network = load(self.file, device)[0]
        self._perceptual.prepare(device)

    def invert(self, images: Tensor, generator: Generator) -> Tensor:
        """Aligned images ``(N, 3, H, W)`` in [-1, 1] -> latents ``(N, num_ws, w_dim)``.

        :raises ConfigError: for a generator that it was not trained for.
        """
        net = self._network
        trained_for: tuple[Any, ...] = (net.num_ws, net.w_dim, net.head[2].out_features, self.spatial)
        if (generator.num_ws, generator.w_dim, generator.z_dim, generator.has_views) != trained_for:
            raise ConfigError(
                f"this inverter knows only the bundled {'EG3D' if self.spatial else 'StyleGAN2'} (latents "
                f"{net.num_ws}×{net.w_dim}), not this generator ({generator.num_ws}×{generator.w_dim}); "
                "try --inverter optimise"
            )
        with torch.no_grad():
            guess, z = net.latents(images, generator.map)
        return self._refined(images, guess, self.views(z), generator) if self.refine_steps else guess

    def views(self, z: Tensor) -> Tensor | None:
        """Views of the images with estimated parameters ``(N, K)``; None for a 2D generator."""
        return None

    def _refined(self, images: Tensor, guess: Tensor, views: Tensor | None, generator: Generator) -> Tensor:
        """Optimise all latents together; Adam is elementwise, so the result does not depend on the batch."""
        latents = guess.clone().requires_grad_(True)
        adam = torch.optim.Adam([latents], lr=self.learning_rate)
        with torch.no_grad():
            reference = self._perceptual.features(images)
        for step in range(self.refine_steps):
            tick(step, self.refine_steps)
            rendered = generator.render(latents, views).image
            perceptual = self._perceptual.distance(self._perceptual.features(rendered), reference).sum()
            loss = perceptual + F.l1_loss(rendered, images) * len(images)
            loss = loss + self.stay * (latents - guess).square().mean((1, 2)).sum()
            (latents.grad,) = torch.autograd.grad(loss, [latents])
            adam.step()
        return latents.detach()


@attrs.define(eq=False)
class DemoInverter3D(DemoInverter):
    """The same for the bundled EG3D: the encoder also estimates the camera."""

    refine_steps: int = option(12, ge=0, unit="steps", help="Adam steps on the latent after the encoder's estimate")
    learning_rate: float = option(0.02, gt=0.0, help="Adam's learning rate in the refinement")
    file: ClassVar[str] = "inverter_3d"
    spatial: ClassVar[bool] = True

    def views(self, z: Tensor) -> Tensor:
        """Cameras ``(N, 25)`` of the images with estimated parameters ``(N, K)``."""
        return portrait_cameras(z[:, YAW], z[:, PITCH])
