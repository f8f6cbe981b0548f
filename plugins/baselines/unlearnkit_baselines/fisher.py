"""Diagonal Fisher information of a generator's images, and the elastic weight consolidation penalty built on it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import attrs
import torch
from torch import Tensor, nn

from unlearnkit.config import option
from unlearnkit.errors import ConfigError
from unlearnkit.interfaces import Generator, Job, Penalty, draw_people

__all__ = ["Fisher", "asking_for_gradients", "elastic", "mean_squared_gradient", "picture_fisher"]



@contextmanager
def asking_for_gradients(parameters: Mapping[str, nn.Parameter]) -> Iterator[None]:
    """Temporarily enable gradients for frozen parameters."""
    before = {name: value.requires_grad for name, value in parameters.items()}
    for value in parameters.values():
        value.requires_grad_(True)
    try:
        with torch.enable_grad():
            yield
    finally:
        for name, value in parameters.items():
            value.requires_grad_(before[name])


def mean_squared_gradient(parameters: Mapping[str, nn.Parameter], numbers: Iterable[Tensor]) -> dict[str, Tensor]:
    """``F = mean over numbers of (d number / d parameter)^2``, by parameter; each number is a scalar with a graph.

    ``numbers`` may be a generator: each graph is freed before the next scalar is requested.
    """
    total = {name: torch.zeros_like(value, requires_grad=False) for name, value in parameters.items()}
    count = 0
    for number in numbers:
        gradients = torch.autograd.grad(number, list(parameters.values()), allow_unused=True)
        for name, gradient in zip(parameters, gradients, strict=True):
            if gradient is not None:
                total[name] += gradient.square()
        count += 1
    return {name: value / max(count, 1) for name, value in total.items()}


def picture_fisher(
    generator: Generator, samples: int, rng: torch.Generator, erased: Tensor | None = None
) -> dict[str, Tensor]:
    """Diagonal of the Fisher information of the images of ``samples`` random latents, by parameter name.

    Latents in ``erased`` ``(P, num_ws, w_dim)`` are excluded, since their images need not be preserved.

    A GAN has no likelihood. We model its image I(w) of D values as the mean of a Gaussian of variance D, whose
    log-likelihood is minus half the mean squared difference; its Fisher matrix is the Gauss-Newton matrix
    ``E[J^T J] / D`` with ``J = dI/d(parameters)``. The diagonal is estimated without building J: for v ~ N(0, 1/D) in
    image space, ``E_v[(d<v, I(w)>/dp)^2] = |dI/dp|^2 / D`` (Hutchinson). So F_i is the mean squared change of an
    image's values per unit of parameter i, squared.
    """
    parameters = generator.editable_parameters()

    def projections() -> Iterator[Tensor]:
        for _ in range(samples):
            latent = draw_people(generator, 1, rng, generator.w_avg[None][:0] if erased is None else erased)
            image = generator.render(latent, generator.sample_views(1, rng), rng).image
            direction = torch.randn(image.shape, generator=rng).to(image) / image.numel() ** 0.5
            yield (direction * image).sum()

    with asking_for_gradients(parameters):
        return mean_squared_gradient(parameters, projections())


def elastic(
    loss: str, parameters: Mapping[str, Tensor], before: Mapping[str, Tensor], importance: Mapping[str, Tensor]
) -> Tensor:
    """``sum_i F_i (p_i - p0_i)^2``, a scalar: the EWC penalty; ``loss`` is the name used in errors.

    :raises ConfigError: if a parameter is not in the original generator (an adapter's has no initial value).
    """
    new = [name for name in parameters if name not in before]
    if new:
        raise ConfigError(
            f"loss {loss!r} covers the original generator's parameters only, got {new[0]!r}; leave it out of "
            "losses.names for a method that adds its own parameters"
        )
    return torch.stack([(importance[n] * (p - before[n]).square()).sum() for n, p in parameters.items()]).sum()


@attrs.define(eq=False)
class Fisher(Penalty):
    """``sum_i F_i (p_i - p0_i)^2``: elastic weight consolidation (EWC; Kirkpatrick et al., PNAS 2017).

    Penalises moving parameters that images are sensitive to. F is :func:`picture_fisher` of the generator before the
    edit, so the value is the expected change of random images (mean squared difference) if parameters acted
    independently. That unit is the same for every generator, and so is the meaning of the weight. Selective Amnesia
    (Heng & Soh, NeurIPS 2023) takes F from the evidence lower bound of a VAE or diffusion model, with weights of 10 to
    100 (as in its released code). A GAN has no such bound, so the Gaussian over images is ours, and so is the weight:
    it makes the penalty comparable to GUIDE's global loss in a run on the bundled world.
    """

    weight: float = option(1e4, help="weight of the penalty (lambda)", ge=0.0)
    samples: int = option(16, help="random images for estimating the Fisher information", ge=1)
    _importance: dict[str, Tensor] = attrs.field(init=False, factory=dict, repr=False)
    _before: dict[str, Tensor] = attrs.field(init=False, factory=dict, repr=False)

    def begin(self, job: Job) -> None:
        """Estimate F on the frozen generator, in ``samples`` forward and backward passes."""
        self._importance = picture_fisher(job.frozen, self.samples, job.stream("fisher"), job.erased)
        self._before = {name: value.detach() for name, value in job.frozen.editable_parameters().items()}

    def weights(self) -> dict[str, float]:
        """The weight by name."""
        return {"fisher": self.weight}

    def penalty(self, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Fisher-weighted squared distance of the trained parameters from their initial values, a scalar.

        :raises ConfigError: if a parameter is not in the original generator (an adapter's has no initial value).
        """
        return {"fisher": elastic("fisher", parameters, self._before, self._importance)}
