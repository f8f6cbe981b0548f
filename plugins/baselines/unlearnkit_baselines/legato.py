"""LEGATO (arXiv 2601.04282): trains small neural-ODE adapters between blocks; the original weights stay frozen."""

from __future__ import annotations

import math
from typing import Any

import attrs
import torch
from torch import Tensor, nn
from unlearnkit_guide.method import Guide

from unlearnkit.config import option
from unlearnkit.engine import PairLoop
from unlearnkit.errors import ConfigError
from unlearnkit.interfaces import Generator, Job
from unlearnkit.streams import stream

__all__ = ["Legato", "OdeAdapter"]

MAX_STEPS = 64
"""More Euler steps than needed in practice: a bound, since options may come from an untrusted file."""


class OdeAdapter(nn.Module):
    """``dx/dt = f(x)`` from 0 to T by ``steps`` Euler steps of size ``step``; the identity while ``last`` is zero.

    f = 1x1 convolution (C -> hidden), LeakyReLU(0.2), 1x1 convolution (hidden -> C), on features ``(N, C, h, w)``.
    While ``watches`` is set, ``travelled`` ``(N,)`` holds the mean squared difference of successive states in the last
    forward pass that recorded a graph.
    """

    def __init__(self, channels: int, hidden: int, step: float, steps: int, rng: torch.Generator) -> None:
        super().__init__()
        self.step, self.steps = step, steps
        # skip_init: the default initialisation would draw from torch's global random number generator.
        self.first = nn.utils.skip_init(nn.Conv2d, channels, hidden, 1)
        self.last = nn.utils.skip_init(nn.Conv2d, hidden, channels, 1)
        nn.init.kaiming_uniform_(self.first.weight, a=0.2, generator=rng)
        for zero in (self.first.bias, self.last.weight, self.last.bias):
            nn.init.zeros_(zero)
        self.watches = False
        self.travelled: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Features ``(N, C, h, w)`` -> features of the same shape."""
        squares = []
        for _ in range(self.steps):
            move = self.step * self.last(nn.functional.leaky_relu(self.first(x), 0.2))
            x = x + move
            if self.watches and move.requires_grad:
                squares.append(move.square().flatten(1).mean(1))
        if squares:
            self.travelled = torch.stack(squares).mean(0)
        return x

    def take(self) -> Tensor:
        """Return ``travelled`` and release it: its graph must not outlive the step.

        :raises ConfigError: if the adapter was not part of the forward pass.
        """
        travelled, self.travelled = self.travelled, None
        if travelled is None:
            raise ConfigError("an adapter was not used in the forward pass; legato needs a generator that runs all of "
                              "its adapters")
        return travelled


@attrs.define(eq=False)
class Legato(PairLoop):
    """GUIDE's losses on neural-ODE adapters after the resolution blocks; every weight of the generator is frozen.

    The features x of every block but the last follow ``dx/dt = f(x)``, see :class:`OdeAdapter`; f = 0 initially. A
    consistency term that favours smooth trajectories is added to the losses: the mean over adapters, Euler steps and
    features of ``(x_k+1 - x_k)^2``, weighted by ``consistency`` and summed over pairs.

    * hidden 256, step 0.4, T = 1.6, LeakyReLU 0.2, weight 1, Adam at 1e-4, 1000 steps: as in the released code
    * the release applies the consistency term to block b128 only, in the local term only; here it covers all blocks and
      all pairs, because a generator need not have a b128 (ours)
    * f's first convolution is initialised Kaiming uniform from a fixed seed (ours, unspecified in the source)

    If the generator already has such adapters, training continues on them, with their width and step size. The edit
    holds the adapters: ``unlearnkit sample --edit`` reads it, but no checkpoint format can.
    """

    losses: tuple[str, ...] = option(
        ("guide-local", "guide-adjacency", "guide-global"), help="losses that are summed, by name"
    )
    target: str = option("ufo", help="target selector, by name")
    hidden: int = option(256, help="hidden channels of an adapter", ge=1, le=4096)
    step: float = option(0.4, help="size of an Euler step", gt=0.0)
    duration: float = option(1.6, help="integration time T, a whole number of Euler steps", gt=0.0)
    consistency: float = option(1.0, help="weight of the trajectory's mean squared step", ge=0.0)

    tuning = Guide.tuning

    def __attrs_post_init__(self) -> None:
        ratio = self.duration / self.step
        if not (0.5 < ratio < MAX_STEPS + 0.5 and math.isclose(ratio, round(ratio), rel_tol=1e-6)):
            raise ConfigError(
                f"duration: got {self.duration} with step {self.step}, expected 1 to {MAX_STEPS} whole steps; "
                f"try duration {max(1, min(round(min(ratio, MAX_STEPS)), MAX_STEPS)) * self.step:g}"
            )

    def unlearn(self, job: Job) -> None:
        """Train the adapters of ``job.edited`` and nothing else; resumes like every pair loop."""
        try:
            PairLoop.unlearn(self, job)
        finally:
            for module in job.edited.module.modules():
                if isinstance(module, OdeAdapter):
                    module.watches, module.travelled = False, None

    def parameters(self, job: Job) -> dict[str, nn.Parameter]:
        """The adapters' parameters; attaches the adapters if there are none yet."""
        adapters = self._adapters(job.edited)
        for adapter in adapters.values():
            adapter.watches = self.consistency > 0
        return {
            f"{name}.{key}": value for name, adapter in adapters.items() for key, value in adapter.named_parameters()
        }

    def extra_terms(self, job: Job) -> dict[str, Tensor]:
        """The weighted consistency of the trajectories, one value for each pair just rendered."""
        if self.consistency == 0:
            return {}
        travelled = torch.stack([adapter.take() for adapter in self._adapters(job.edited).values()])
        return {"consistency": self.consistency * travelled.mean(0)}

    def attach(self, generator: Generator) -> None:
        """Add the adapters that an edit's tensors belong to."""
        for adapter in self._adapters(generator).values():
            adapter.requires_grad_(False)

    def _adapters(self, generator: Generator) -> dict[str, OdeAdapter]:
        rng = stream(0, "legato")

        def make(channels: int) -> OdeAdapter:
            return OdeAdapter(channels, self.hidden, self.step, round(self.duration / self.step), rng)

        adapters: dict[str, Any] = generator.adapt(make)
        for name, adapter in adapters.items():
            if not isinstance(adapter, OdeAdapter):
                raise ConfigError(
                    f"{name} is a {type(adapter).__name__} of another method, and a block takes only one adapter; "
                    "start from a generator without that edit"
                )
        return adapters
