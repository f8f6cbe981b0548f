"""Adam on style layers in whitened latents, so that a step changes as little as it can for everybody else."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from unlearnkit.interfaces import Generator
from unlearnkit.streams import stream

__all__ = ["WhitenedAdam", "whitening"]

SAMPLES = 2000


def whitening(generator: Generator, ridge: float) -> Tensor:
    """``(C / c + ridge)^-1/2 * (1 + ridge)^1/2``, ``(w_dim, w_dim)``: C the covariance of random latents, c its mean
    variance. From a fixed seed; rows of latents count as samples.

    ``ridge`` bounds what is gained in directions in which random latents hardly differ: inverted ones do there.
    """
    offsets = generator.sample_latents(SAMPLES, stream(0, "lethe/whitening")) - generator.w_avg.detach()
    rows = offsets.flatten(0, 1).double()
    variances, directions = torch.linalg.eigh(rows.T @ rows / len(rows))
    scales = ((1 + ridge) / (variances / variances.mean() + ridge)).sqrt()
    return ((directions * scales) @ directions.T).to(offsets)


class WhitenedAdam(torch.optim.Adam):
    """Adam on V where ``weight = start + V @ whitening``, for ``weights`` ``(C, w_dim)`` that are among ``parameters``.

    The first layer behind a latent sees ``V`` times the whitened latent. Adam's step has about the same size in every
    element, so in plain latents most of it lies along the few directions in which all people differ most, and everybody
    moves; in whitened ones no direction is everybody's.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], weights: Iterable[nn.Parameter], whitening: Tensor,
                 **options: Any) -> None:
        super().__init__(parameters, **options)
        self._weights, self._whitening = list(weights), whitening

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step; gradients are left in terms of V."""
        moved = []
        for weight in self._weights:
            if weight.grad is None:
                continue
            moved.append((weight, weight.clone()))
            weight.grad = weight.grad @ self._whitening
            weight.zero_()  # then the step itself is left in it, unrounded; Adam's depends on no weight
        super().step()
        for weight, start in moved:
            weight.copy_(start + weight @ self._whitening)
