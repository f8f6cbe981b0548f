"""Re-inversion: optimises latents of the edited generator to reproduce the erased pictures."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import attrs
import torch
from torch import Tensor

from unlearnkit.attacks.resemblance import Guided, Resemblance
from unlearnkit.attacks.trace import Trace, erased_latents, judged_on, references
from unlearnkit.config import option
from unlearnkit.interfaces import Attempt, Case, Generator, Holds, Recovery
from unlearnkit.ticks import tick

__all__ = ["Reinversion", "ReinversionW", "ReinversionWPlus"]

_STATISTICS = 600
"""Random latents for estimating their standard deviation (as many as PTI uses)."""


@attrs.define(eq=False)
class Reinversion(Guided):
    """Adam on the latent, as in the projection of StyleGAN2 (arXiv 1912.04958, section 5), for each erased picture.

    With ``start`` "both", two searches per picture run in parallel, from the erased latent and from the mean latent:
    the first is what an encoder would estimate from the picture, the second is uninformed. The attacker's objective
    combines perceptual distance, pixels and the run's identity encoder, never the judge. One unit of effort is one
    optimiser step of all searches.

    The control is the same search in the original generator: a ceiling on how well the person can be found. The floor
    is the judge's similarity level of two strangers.
    """

    holds: ClassVar[Holds] = Holds(photo=True, encoder=True, compute="search")
    control: ClassVar[str] = "ceiling"
    control_is: ClassVar[str] = "the same search in the original generator"
    quick: ClassVar[Mapping[str, Any]] = MappingProxyType({"steps": 15})
    shared: ClassVar[bool] = True
    """True: one row shared by all layers (W); False: one per layer (W+)."""

    learning_rate: float = option(
        0.05, gt=0, le=1e3, unit="standard deviations of the latents",
        help="Adam's learning rate, decaying in the last quarter",
    )
    start: str = option(
        "both", choices=("both", "mean"), help="start from the erased latent and the mean one, or from the mean alone"
    )

    def attack(self, case: Case) -> Recovery:
        """Search the edited generator, then the original one."""
        pictures = references(case)
        erased = pictures[: len(erased_latents(case))]
        starts = self._starts(case)
        resemblance = Resemblance(case, erased.repeat(len(starts) // len(erased), 1, 1, 1), self)
        edited, control = (
            self._search(case, generator, starts, resemblance, pictures)
            for generator in (case.evidence.edited, case.evidence.frozen)
        )
        return Recovery(edited, control, judged_on(pictures))

    def _starts(self, case: Case) -> Tensor:
        """Erased latents followed by as many mean latents, ``(2E, 1 or num_ws, w_dim)``; or the mean ones alone."""
        erased = erased_latents(case)
        mean = case.evidence.frozen.w_avg.expand_as(erased)
        starts = mean if self.start == "mean" else torch.cat([erased, mean])
        return starts.mean(1, keepdim=True) if self.shared else starts

    def _search(
        self, case: Case, generator: Generator, starts: Tensor, resemblance: Resemblance, pictures: Tensor
    ) -> Attempt:
        # In units of the latents' standard deviation, one learning rate suits every generator.
        random = case.evidence.frozen.sample_latents(_STATISTICS, case.evidence.stream("attack/spread"))
        spread = (random - case.evidence.frozen.w_avg).square().mean().sqrt().clamp_min(1e-8)
        trace = Trace(case, pictures)
        offsets = torch.zeros_like(starts, requires_grad=True)
        adam = torch.optim.Adam([offsets], lr=self.learning_rate)
        for step in range(self.steps):
            tick(step, self.steps)
            images = generator.render_front(self._latents(starts, spread * offsets, generator))
            trace.see(images, [step] * len(images))
            (offsets.grad,) = torch.autograd.grad(resemblance.loss(images).sum(), [offsets])
            adam.param_groups[0]["lr"] = self.learning_rate * min(1.0, 4 * (self.steps - step) / self.steps)
            adam.step()
        with torch.no_grad():
            images = generator.render_front(self._latents(starts, spread * offsets, generator))
        trace.see(images, [self.steps] * len(images))
        return trace.attempt(self.steps)

    @staticmethod
    def _latents(starts: Tensor, offsets: Tensor, generator: Generator) -> Tensor:
        return (starts + offsets).expand(-1, generator.num_ws, -1)


@attrs.define(eq=False)
class ReinversionW(Reinversion):
    """The search in W: one row shared by all layers, as in the generator's own samples."""

    shared: ClassVar[bool] = True


@attrs.define(eq=False)
class ReinversionWPlus(Reinversion):
    """The search in W+: one row per layer, far more expressive than the generator's own samples.

    W+ contains faces that the generator was never trained on (Abdal et al., Image2StyleGAN, arXiv 1904.03189), so a
    long search approximates almost anybody: read the result next to its ceiling and its effort.
    """

    shared: ClassVar[bool] = False
