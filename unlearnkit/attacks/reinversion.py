"""Re-inversion: an optimiser searches the latent space of the edited generator for the erased pictures."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import attrs
import torch
from torch import Tensor

from unlearnkit.attacks.resemblance import Guided, Resemblance
from unlearnkit.attacks.trace import Trace, erased_latents, references
from unlearnkit.config import option
from unlearnkit.interfaces import Attempt, Case, Generator, Recovery

__all__ = ["Reinversion", "ReinversionW", "ReinversionWPlus"]

_STATISTICS = 600
"""Random latents from which their spread is estimated (as many as PTI takes)."""


@attrs.define(eq=False)
class Reinversion(Guided):
    """Adam on the latent, as in the projection of StyleGAN2 (arXiv 1912.04958, section 5), for each erased picture.

    With ``start`` "both", two searches a picture run side by side, from the erased latent and from the mean latent:
    the first is what an encoder would guess from the picture, the second knows nothing. The attacker compares pictures
    with perceptual distance, pixels and the run's identity encoder, never with the judge. One unit of effort is one
    step of all searches.

    The control is the original generator under the same search: a ceiling, how well the person can be found where they
    are. The floor is the judge's level of two strangers.
    """

    control: ClassVar[str] = "ceiling"
    control_is: ClassVar[str] = "the same search in the original generator"
    quick: ClassVar[Mapping[str, Any]] = MappingProxyType({"steps": 15})
    shared: ClassVar[bool] = True
    """True: one row for all layers (W); False: one for each (W+)."""

    learning_rate: float = option(
        0.05, gt=0, unit="spreads of the latents", help="Adam's step, until it falls in the last quarter"
    )
    start: str = option(
        "both", choices=("both", "mean"), help="search from the erased latent and the mean one, or from the mean alone"
    )

    def attack(self, case: Case) -> Recovery:
        """Search the edited generator, then the original one."""
        pictures = references(case)
        wanted = pictures[: len(erased_latents(case))]
        starts = self._starts(case)
        likeness = Resemblance(case, wanted.repeat(len(starts) // len(wanted), 1, 1, 1), self)
        edited, control = (
            self._search(case, generator, starts, likeness, pictures)
            for generator in (case.evidence.edited, case.evidence.frozen)
        )
        judged = f"all {len(pictures)} pictures of the person" if len(pictures) > 1 else "the person's picture"
        return Recovery(edited, control, judged)

    def _starts(self, case: Case) -> Tensor:
        """Erased latents, then as often the mean latent: ``(2E, 1 or num_ws, w_dim)``; or the mean ones alone."""
        erased = erased_latents(case)
        mean = case.evidence.frozen.w_avg.expand_as(erased)
        starts = mean if self.start == "mean" else torch.cat([erased, mean])
        return starts.mean(1, keepdim=True) if self.shared else starts

    def _search(
        self, case: Case, generator: Generator, starts: Tensor, resemblance: Resemblance, pictures: Tensor
    ) -> Attempt:
        # In units of the latents' spread one learning rate suits every generator.
        random = case.evidence.frozen.sample_latents(_STATISTICS, case.evidence.stream("attack/spread"))
        spread = (random - case.evidence.frozen.w_avg).square().mean().sqrt().clamp_min(1e-8)
        trace = Trace(case, pictures)
        moves = torch.zeros_like(starts, requires_grad=True)
        adam = torch.optim.Adam([moves], lr=self.learning_rate)
        for step in range(self.steps):
            images = generator.render_front(self._latents(starts, spread * moves, generator))
            trace.see(images, [step] * len(images))
            (moves.grad,) = torch.autograd.grad(resemblance.loss(images).sum(), [moves])
            adam.param_groups[0]["lr"] = self.learning_rate * min(1.0, 4 * (self.steps - step) / self.steps)
            adam.step()
        with torch.no_grad():
            images = generator.render_front(self._latents(starts, spread * moves, generator))
        trace.see(images, [self.steps] * len(images))
        return trace.attempt(self.steps)

    @staticmethod
    def _latents(starts: Tensor, moved: Tensor, generator: Generator) -> Tensor:
        return (starts + moved).expand(-1, generator.num_ws, -1)


@attrs.define(eq=False)
class ReinversionW(Reinversion):
    """The search in W: one row for all layers, where the generator's own people live."""

    shared: ClassVar[bool] = True


@attrs.define(eq=False)
class ReinversionWPlus(Reinversion):
    """The search in W+: a row for each layer, far more than the generator's own people.

    W+ holds faces that the generator was never taught (Abdal et al., Image2StyleGAN, arXiv 1904.03189), so a long
    search ends with a likeness of almost anybody: read it beside the ceiling, and by its effort.
    """

    shared: ClassVar[bool] = False
