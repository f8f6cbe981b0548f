"""Inverters: latent optimisation for any generator, and the e4e and pSp encoders for StyleGAN2."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal, cast

import attrs
import torch
from torch import Tensor
from torch.nn import functional as F

from unlearnkit.config import option
from unlearnkit.errors import CheckpointError, ShapeError
from unlearnkit.interfaces import Generator, Inverter, Perceptual
from unlearnkit.options.domains import PHOTOGRAPHS
from unlearnkit.plugins import registry
from unlearnkit.ticks import tick
from unlearnkit.weights import WeightFile, find_file
from unlearnkit_faces.checks import check_pictures, prepared
from unlearnkit_faces.e4e import SIDE, StyleEncoder
from unlearnkit_faces.files import E4E
from unlearnkit_faces.pictures import picture_distance
from unlearnkit_faces.weights import load_network, read_file

__all__ = ["E4eInverter", "OptimisationInverter", "learning_rate_factor"]

STATISTICS = 600
"""Random latents for estimating their standard deviation (as many as PTI uses)."""


def learning_rate_factor(step: int, steps: int, up: float = 0.05, down: float = 0.25) -> float:
    """Learning-rate schedule of StyleGAN2's projection (Karras et al. 2019, arXiv 1912.04958), a factor in (0, 1].

    Linear warm-up, constant, cosine decay; ``up`` and ``down`` are fractions of the steps.
    """
    done = (step + 1) / (steps + 1)
    rise = min(1.0, done / up)
    fall = min(1.0, (1 - done) / down)
    return rise * (0.5 - 0.5 * math.cos(math.pi * fall))


@attrs.define(eq=False)
class OptimisationInverter(Inverter):
    """Optimises the latent with Adam on the image difference, like stage 1 of PTI (arXiv 2106.05744).

    Each image is optimised alone, with constant noise, so that its latent does not depend on the batch. Latent
    distances are in units of the latents' standard deviation (root mean square distance of random latents from the
    mean, per element), so that one learning rate suits every generator. A generator with views renders the middle one
    of its evaluation views: the face must look towards the camera.
    """

    steps: int = option(300, gt=0, unit="steps", help="optimisation steps per image")
    learning_rate: float = option(
        0.1, gt=0, unit="standard deviations of the latents", help="Adam's peak learning rate, after warm-up")
    space: Literal["W", "W+"] = option("W+", help="one shared row for all layers (W), or one per layer (W+)")
    candidates: int = option(
        0, ge=0, help="start at the mean of the best tenth of this many random latents; 0: at the mean latent")
    pixel_weight: float = option(1.0, ge=0, help="weight of the absolute difference of pixels and image gradients")
    perceptual: str | None = option(
        None, help="name of a perceptual distance to add ('lpips-vgg'); none needs no weights")
    perceptual_weight: float = option(1.0, ge=0, help="weight of the perceptual distance")
    regularisation: float = option(
        0.02, ge=0, help="weight of the squared distance to the mean latent, in squared standard deviations")
    seed: int = option(0, ge=0, lt=2**63, help="seed of the random latents used for scale and start")

    on_step: Callable[[int, int, float], None] | None = attrs.field(init=False, default=None, repr=False)
    """Called with the 0-based step, the number of steps over all images, and the loss."""
    _distance: Perceptual | None = attrs.field(init=False, default=None, repr=False)

    def check(self) -> None:
        """Check that the perceptual distance is available.

        :raises UnlearnkitError: if no plugin offers it, or its weights are missing.
        """
        if self.perceptual is not None:
            registry().component_class("perceptual", self.perceptual)().check()

    def prepare(self, device: torch.device) -> None:
        """Build the perceptual distance, with its default options.

        :raises PluginError: if no plugin offers it.
        :raises ConfigError: if its weights are missing.
        """
        if self.perceptual is not None:
            distance = cast(Perceptual, registry().component_class("perceptual", self.perceptual)())
            distance.prepare(device)
            self._distance = distance

    def invert(self, images: Tensor, generator: Generator) -> Tensor:
        """Aligned images ``(N, 3, R, R)`` in [-1, 1], R the generator's resolution -> latents ``(N, num_ws, w_dim)``.

        :raises ShapeError: if the images have another size.
        """
        check_pictures(images, square=True)
        if images.shape[2] != generator.resolution:
            raise ShapeError(f"pictures of {images.shape[2]} pixels given, expected {generator.resolution}, "
                             "the generator's; align or resize them first")
        search = _Search(self, self._distance, generator)
        steps = len(images) * self.steps
        with generator.drafting():
            return torch.cat([
                search.run(image, partial(self._notify, number * self.steps, steps))
                for number, image in enumerate(images.to(generator.w_avg.device).split(1))
            ])

    def _notify(self, before: int, steps: int, step: int, loss: Tensor) -> None:
        if self.on_step is not None:
            self.on_step(before + step, steps, float(loss))


class _Search:
    """State shared by all images: mean and standard deviation of the latents, the view, the candidates."""

    def __init__(
        self, options: OptimisationInverter, distance: Perceptual | None, generator: Generator
    ) -> None:
        self.options, self.distance, self.generator = options, distance, generator
        views = generator.evaluation_views()
        self.view = None if views is None else views[len(views) // 2 : len(views) // 2 + 1]
        rng = torch.Generator().manual_seed(options.seed)
        z = torch.randn(max(STATISTICS, options.candidates), generator.z_dim, generator=rng)
        self.mean = generator.w_avg.detach()[None]
        with torch.no_grad():
            self.latents = generator.map(z.to(self.mean.device))
        self.spread = float((self.latents - self.mean).square().mean().sqrt().clamp_min(1e-8))

    def run(self, image: Tensor, notify: Callable[[int, Tensor], None]) -> Tensor:
        """The latent ``(1, num_ws, w_dim)`` of one image ``(1, 3, R, R)``."""
        options = self.options
        reference = self._reference(image)
        start = self._start(image, reference)
        offset = torch.zeros_like(start if options.space == "W+" else start[:, :1], requires_grad=True)
        optimiser = torch.optim.Adam([offset], lr=options.learning_rate)
        for step in range(options.steps):
            tick(step, options.steps)
            for group in optimiser.param_groups:
                group["lr"] = options.learning_rate * learning_rate_factor(step, options.steps)
            latent = start + self.spread * offset
            loss = self._loss(latent, image, reference).sum()
            # Not loss.backward(): it would leave gradients in the generator's parameters.
            (offset.grad,) = torch.autograd.grad(loss, [offset])
            optimiser.step()
            notify(step, loss.detach())
        return (start + self.spread * offset).detach()

    def _loss(self, latent: Tensor, image: Tensor, reference: list[Tensor]) -> Tensor:
        """``(N,)`` for latents ``(N, num_ws, w_dim)``, one image and its perceptual features."""
        options = self.options
        rendered = self.generator.render(latent, self.view).image
        deviation = ((latent - self.mean) / self.spread).square().mean((1, 2))
        loss = options.pixel_weight * picture_distance(rendered, image) + options.regularisation * deviation
        if self.distance is not None:
            perceptual = self.distance.distance(self.distance.features(rendered), reference)
            loss = loss + options.perceptual_weight * perceptual
        return loss

    @torch.no_grad()
    def _reference(self, image: Tensor) -> list[Tensor]:
        return [] if self.distance is None else self.distance.features(image)

    @torch.no_grad()
    def _start(self, image: Tensor, reference: list[Tensor]) -> Tensor:
        count = self.options.candidates
        if count == 0:
            return self.mean.clone()
        losses = torch.cat([self._loss(latent, image, reference) for latent in self.latents[:count].split(1)])
        best = losses.argsort()[: max(1, count // 10)]
        return self.latents[best].mean(0, keepdim=True)


@attrs.define(eq=False)
class E4eInverter(Inverter):
    """The encoder of an e4e or pSp checkpoint, for the StyleGAN2 that it was trained with. One forward pass.

    A mean latent is added unless the file's options say otherwise: the file's own, else the generator's. Use the
    decoder in the same file as generator, or the generator it was trained from: the latents are meaningless to others.
    """

    domain: ClassVar[str] = PHOTOGRAPHS
    weights: Path | None = option(
        None, help="e4e or pSp checkpoint, e.g. e4e_ffhq_encode.pt; by default the one in torch's cache")
    style: Literal["auto", "e4e", "psp"] = option(
        "auto", help="how the encoder's rows are interpreted; auto follows the file's options")
    _network: StyleEncoder | None = attrs.field(init=False, default=None, repr=False)
    _mean: Tensor | None = attrs.field(init=False, default=None, repr=False)
    _adds_mean: bool = attrs.field(init=False, default=True, repr=False)

    source: ClassVar[WeightFile] = E4E

    def check(self) -> None:
        """Check that the weight file is there.

        :raises ConfigError: if there is none.
        """
        find_file(self.weights, self.source)

    def prepare(self, device: torch.device) -> None:
        """Read the encoder onto ``device``.

        :raises ConfigError: if there is no file; nothing is downloaded.
        :raises CheckpointError: if the file is damaged or holds no such encoder.
        """
        path = find_file(self.weights, self.source)
        content = read_file(path)
        if not isinstance(content, dict) or not isinstance(content.get("state_dict"), dict):
            raise CheckpointError(f"{path}: has no 'state_dict', as e4e and pSp files do; give another file")
        state = {name.removeprefix("encoder."): tensor for name, tensor in content["state_dict"].items()
                 if isinstance(name, str) and name.startswith("encoder.") and isinstance(tensor, Tensor)}
        count = len({name.split(".")[1] for name in state if name.startswith("styles.")})
        options = content.get("opts")
        options = vars(options) if isinstance(options, argparse.Namespace) else options
        options = options if isinstance(options, dict) else {}
        progressive = self._is_progressive(options)
        self._network = load_network(lambda: StyleEncoder(count, progressive), state, path, device)
        self._adds_mean = bool(options.get("start_from_latent_avg", True))
        self._mean = _mean_latent(content.get("latent_avg"), count, path, device)

    @torch.no_grad()
    def invert(self, images: Tensor, generator: Generator) -> Tensor:
        """Aligned images ``(N, 3, S, S)`` in [-1, 1] -> latents ``(N, num_ws, 512)``.

        :raises ShapeError: if the encoder was made for another generator.
        """
        check_pictures(images, square=True)
        network = prepared(self._network, "E4eInverter")
        shape = (len(network.styles), 512)
        if shape != (generator.num_ws, generator.w_dim):
            raise ShapeError(f"the encoder makes latents of shape {shape}, the generator takes "
                             f"{(generator.num_ws, generator.w_dim)}; give the encoder's own generator")
        device = network.latlayer1.weight.device
        images = F.interpolate(
            images.to(device), (SIDE, SIDE), mode="bilinear", align_corners=False, antialias=True)
        latents = torch.cat([network(image) for image in images.split(1)])
        if self._adds_mean:
            mean = generator.w_avg.to(device) if self._mean is None else self._mean
            latents = latents + mean
        return latents.to(generator.w_avg.device)

    def _is_progressive(self, options: dict[str, object]) -> bool:
        if self.style != "auto":
            return self.style == "e4e"
        return options.get("encoder_type", "Encoder4Editing") == "Encoder4Editing"


def _mean_latent(value: object, count: int, path: Path, device: torch.device) -> Tensor | None:
    """A file's ``latent_avg``, ``(512,)`` or ``(num_ws, 512)``; None if it has none."""
    if not isinstance(value, Tensor):
        return None
    if value.shape not in ((512,), (1, 512), (count, 512)) or not bool(torch.isfinite(value).all()):
        raise CheckpointError(f"{path}: its latent_avg of shape {tuple(value.shape)} is no finite "
                              f"({count}, 512); download it again")
    return value.to(device, torch.float32)
