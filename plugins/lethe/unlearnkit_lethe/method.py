"""The method ``lethe``: three losses, the nearest stranger as target, Adam over the style layers."""

from __future__ import annotations

import attrs
import torch
from torch import nn

from unlearnkit.config import option
from unlearnkit.engine import PairLoop
from unlearnkit.interfaces import Job
from unlearnkit_lethe.whitening import WhitenedAdam, whitening

__all__ = ["Lethe"]


@attrs.define(eq=False)
class Lethe(PairLoop):
    """``L = L_erase + L_seek + L_keep`` over the affine layers that turn latents into styles; ours.

    GUIDE moves a person and whatever lies near them in W. The person is also found from anywhere else: the gradient of
    an identity encoder leads to them from a random latent in some fifteen steps. So part of every step is for latents
    that are on such a search, against the generator as it is by then, and these are to show whom they started as.

    * style layers alone: convolutions are shared by all faces. A generator without style layers moves everything
    * steps are taken in whitened latents (:class:`unlearnkit_lethe.whitening.WhitenedAdam`)
    * the learning rate decays linearly over the second half
    """

    losses: tuple[str, ...] = option(
        ("lethe-erase", "lethe-seek", "lethe-keep"), help="losses that are summed, by name"
    )
    target: str = option("nearest-stranger", help="target selector, by name")
    steps: int = option(1000, help="optimiser steps", ge=1)
    learning_rate: float = option(4e-4, help="Adam's learning rate over the first half", gt=0.0, le=1e3)
    ridge: float = option(
        0.3, help="added to the variances of the latents before they are whitened", unit="mean variances", gt=0.0
    )

    tuning = ({"method.learning_rate": (2e-3, 4e-3), "loss.lethe-keep.weight": (10.0, 5.0)},)

    def parameters(self, job: Job) -> dict[str, nn.Parameter]:
        """Weights and biases of the style layers; all that may be edited where there are none."""
        layers = job.edited.style_layers()
        if not layers:
            return job.edited.editable_parameters()
        return {f"{layer.name}.{part}": getattr(layer, part) for layer in layers for part in ("weight", "bias")}

    def optimiser(self, job: Job, parameters: dict[str, nn.Parameter], capturable: bool) -> torch.optim.Adam:
        """Adam, in whitened latents where there are style layers."""
        weights = [layer.weight for layer in job.edited.style_layers()]
        if not weights:
            return PairLoop.optimiser(self, job, parameters, capturable)
        return WhitenedAdam(parameters.values(), weights, whitening(job.frozen, self.ridge), lr=self.learning_rate,
                            capturable=capturable)

    def rate(self, index: int) -> float:
        """The learning rate of step ``index``: constant over the first half, then linear towards zero."""
        return self.learning_rate * min(1.0, 2 * (1 - index / self.steps))
