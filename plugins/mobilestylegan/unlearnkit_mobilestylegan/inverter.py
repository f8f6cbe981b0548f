"""The inverter for photos: the encoder's estimate, refined by a search in the space where latents are about normal."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import ClassVar, cast

import attrs
import torch
from torch import Tensor
from unlearnkit_faces.pictures import picture_distance

from unlearnkit.attacks.bounded import Likelihood
from unlearnkit.config import option
from unlearnkit.errors import CheckpointError, ConfigError, ShapeError
from unlearnkit.interfaces import Generator, IdentityEncoder, Inverter, Perceptual
from unlearnkit.options.domains import PHOTOGRAPHS
from unlearnkit.plugins import registry
from unlearnkit.streams import stream
from unlearnkit.ticks import tick
from unlearnkit_mobilestylegan.encoder import SHIPPED, Encoder, features, shrunk

__all__ = ["EncoderInverter"]

_SAMPLES = 2000
"""Random latents whose mean and covariance describe W; only the mapping network runs."""


_DRAFTS = 0.75
"""Share of the steps that see drafts; the last ones see whole pictures, since a draft's face differs a little."""


@attrs.define(eq=False)
class EncoderInverter(Inverter):
    """An encoder for MobileStyleGAN and some steps of Adam, each picture alone.

    The search moves in P_N+ (Zhu et al. 2020, arXiv 2012.09036, section 3.1), where every direction counts by how much
    random people differ in it: Adam's equal steps then keep to directions in which faces lie, and a portrait's latent
    stays near W. A point there is a common row plus an offset of each row, which pays for its size.
    """

    domain: ClassVar[str] = PHOTOGRAPHS
    steps: int = option(40, ge=0, unit="steps", help="optimisation steps per picture; 0: the encoder's estimate")
    learning_rate: float = option(
        0.1, gt=0, unit="standard deviations of random people", help="Adam's peak learning rate of the common row")
    row_learning_rate: float = option(
        0.02, ge=0, unit="standard deviations of random people",
        help="the same of each row's own offset; 0 keeps the offsets that the encoder estimates")
    identity_weight: float = option(1.0, ge=0, help="weight of 1 - cosine similarity by the identity encoder sface")
    perceptual_weight: float = option(1.0, ge=0, help="weight of the perceptual distance st-lpips")
    pixel_weight: float = option(1.0, ge=0, help="weight of the absolute difference of pixels and image gradients")
    stay: float = option(
        0.05, ge=0, help="weight of the squared distance of the common row from the encoder's estimate")
    together: float = option(0.5, ge=0, help="weight of the squared offsets of the rows from the common one")
    weights: Path | None = option(None, help="the encoder (.safetensors); by default the one that ships")

    _encoder: Encoder | None = attrs.field(init=False, default=None, repr=False)
    _identity: IdentityEncoder = attrs.field(init=False, repr=False)
    _perceptual: Perceptual = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._identity = cast(IdentityEncoder, registry().component_class("identity", "sface")())
        self._perceptual = cast(Perceptual, registry().component_class("perceptual", "st-lpips")())

    def _file(self) -> Path:
        path = SHIPPED if self.weights is None else self.weights.expanduser()
        if not path.is_file():
            raise CheckpointError(f"{path} does not exist; give an encoder that "
                                  "unlearnkit_mobilestylegan.training.encoder wrote, or leave the option out")
        return path

    def check(self) -> None:
        """Look for the encoder, and for the two networks whose features it reads.

        :raises CheckpointError: if the encoder is missing; ConfigError if one of the others was not fetched.
        """
        self._file()
        self._identity.check()
        self._perceptual.check()

    def prepare(self, device: torch.device) -> None:
        """Read the three networks onto ``device``.

        :raises CheckpointError: if a file is damaged or another one; ConfigError if there is none.
        """
        self._encoder = Encoder.read(self._file(), device)
        self._identity.prepare(device)
        self._perceptual.prepare(device)

    def invert(self, images: Tensor, generator: Generator) -> Tensor:
        """Aligned pictures ``(N, 3, R, R)`` in [-1, 1] -> latents ``(N, num_ws, w_dim)``.

        :raises ConfigError: for a generator that the encoder was not trained for.
        :raises ShapeError: if the pictures have another size than the generator's.
        """
        if self._encoder is None:
            raise RuntimeError("EncoderInverter: call prepare(device) before anything else")
        rows, dim = self._encoder.rows, self._encoder.dim
        if (rows, dim) != (generator.num_ws, generator.w_dim):
            raise ConfigError(f"this inverter knows only mobilestylegan (latents {rows}×{dim}), not this generator "
                              f"({generator.num_ws}×{generator.w_dim}); try --inverter optimise")
        if images.shape[1:] != (3, generator.resolution, generator.resolution):
            raise ShapeError(f"got pictures {tuple(images.shape)}, expected (N, 3, {generator.resolution}, "
                             f"{generator.resolution}); align or resize them first")
        likelihood = Likelihood(generator.sample_latents(_SAMPLES, stream(0, "mobilestylegan/w")),
                                generator.latent_slope)
        total = len(images) * self.steps
        images = images.to(generator.w_avg.device)
        return torch.cat([self._refined(image, self._estimate(image), generator, likelihood,
                                        number * self.steps, total)
                          for number, image in enumerate(images.split(1))])

    @torch.no_grad()
    def _estimate(self, image: Tensor) -> Tensor:
        assert self._encoder is not None
        return self._encoder(features(image, self._perceptual, self._identity))

    def _refined(self, image: Tensor, estimate: Tensor, generator: Generator, likelihood: Likelihood, before: int,
                 total: int) -> Tensor:
        """The latent ``(1, num_ws, w_dim)`` of one picture ``(1, 3, R, R)``."""
        if not self.steps:
            return estimate
        start = likelihood.whiten(estimate)
        centre = start.mean(1, keepdim=True)
        common, offsets = centre.clone().requires_grad_(True), (start - centre).requires_grad_(True)
        rates = (self.learning_rate, self.row_learning_rate)
        adam = torch.optim.Adam([{"params": [common], "lr": rates[0]}, {"params": [offsets], "lr": rates[1]}],
                                betas=(0.9, 0.99))
        image = shrunk(image)
        with torch.no_grad():
            seen, person = self._perceptual.features(image), self._identity.embed(image)
        for step in range(self.steps):
            tick(before + step, total)
            for group, rate in zip(adam.param_groups, rates, strict=True):
                group["lr"] = rate * _factor(step, self.steps)
            drafts = step < _DRAFTS * self.steps
            with generator.drafting() if drafts else nullcontext():
                drawn = shrunk(generator.render_front(likelihood.colour(common + offsets)))
            loss = (self.identity_weight * (1 - (self._identity.embed(drawn) * person).sum())
                    + self.perceptual_weight * self._perceptual.distance(self._perceptual.features(drawn), seen).sum()
                    + self.pixel_weight * picture_distance(drawn, image).sum()
                    + self.stay * (common - centre).square().mean() + self.together * offsets.square().mean())
            # Not loss.backward(): it would leave gradients in the generator's parameters.
            common.grad, offsets.grad = torch.autograd.grad(loss, [common, offsets])
            adam.step()
        return likelihood.colour(common + offsets).detach()


def _factor(step: int, steps: int) -> float:
    """Learning-rate factor: five steps up, and in the second half a line down to nearly nothing."""
    return min(1.0, (step + 1) / 5, 2 * (steps - step) / (steps + 1))
