"""Methods with a rule on gradients: a mask over parameters (SalUn), and surgery between forgetting and retaining."""

from __future__ import annotations

import attrs
import torch
from torch import Tensor, nn
from unlearnkit_guide.method import Guide

from unlearnkit.config import option
from unlearnkit.engine import PairLoop, backward
from unlearnkit.interfaces import Job, Step

__all__ = ["RULES", "GradientSurgery", "Saliency", "combine_gradients", "saliency_mask"]

RULES = ("doco", "pcgrad", "project", "filter")
SCOPES = ("layer", "all")


# ---------------------------------------------------------------- a mask

def saliency_mask(slopes: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """True for the ``share`` of all numbers (rounded) whose absolute value is largest; shapes as in ``slopes``."""
    whole = torch.cat([slope.flatten() for slope in slopes.values()]).abs()
    chosen = torch.zeros_like(whole, dtype=torch.bool)
    chosen[whole.topk(round(share * len(whole)), sorted=False).indices] = True
    parts = chosen.split([slope.numel() for slope in slopes.values()])
    return {name: part.view_as(slope) for (name, slope), part in zip(slopes.items(), parts, strict=True)}


@attrs.define(eq=False)
class Saliency(PairLoop):
    """``L = P(I_u(w_u), I_s(w_r)) + L_global``, moving only the parameters that the forgetting loss pulls at hardest.

    SalUn (Fan et al., ICLR 2024; read in its released program): the mask is the top 50 % of ``|sum of gradients of the
    forgetting loss|`` of the original network. Its random label is here a random face at each step. Ours: the sum runs
    over ``draws`` steps' draws from a fixed seed, and retaining weighs as in the other baselines (the program's forget
    to retain ratio of 1 to 1e-3 belongs to a diffusion loss).
    """

    splits = True
    tuning = Guide.tuning

    losses: tuple[str, ...] = option(("random-face", "guide-global"), help="losses that are summed, by name")
    target: str | None = option(None, help="target selector, by name")  # random faces
    share: float = option(0.5, help="share of the parameters that may move", gt=0.0, le=1.0)
    draws: int = option(8, help="steps' worth of draws that the mask is made from", ge=1)
    _mask: dict[str, Tensor] = attrs.field(init=False, factory=dict, repr=False)

    def start(self, job: Job, parameters: dict[str, nn.Parameter]) -> None:
        """Make the mask, from the original parameters and a seed of its own: the same one on resume."""
        rng = job.stream("saliency")
        forgetting = {name: loss for name, loss in job.losses.items() if not loss.retains}
        asked = attrs.evolve(job, losses=forgetting, rng=rng)
        for index in range(self.draws):
            view = job.edited.sample_views(1, rng)
            step = Step(index, job.edited, job.erased, job.targets, view, rng, job.selector)
            backward(asked, step, {})
        slopes = {name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in parameters.items()}
        self._mask = saliency_mask({name: slope.detach() for name, slope in slopes.items()}, self.share)
        for parameter in parameters.values():
            parameter.grad = None

    def combine(self, forget: dict[str, Tensor], retain: dict[str, Tensor]) -> dict[str, Tensor]:
        """The sum, where the mask lets through."""
        return {name: (forget[name] + retain[name]) * self._mask[name] for name in forget}


# ---------------------------------------------------------------- surgery

def combine_gradients(forget: Tensor, retain: Tensor, rule: str) -> Tensor:
    """One gradient of two ``(n,)`` by one of ``RULES``; where they do not conflict, their sum (not for ``project``)."""
    if rule == "filter":
        return torch.where(forget * retain < 0, 0.0, forget) + retain
    dot = forget @ retain
    if rule == "project":
        return _off(forget, retain, dot) + retain
    conflict = dot.clamp_max(0)  # 0 takes nothing off; to ask whether it is 0 would make a GPU wait
    if rule == "doco":
        return _off(forget, retain, conflict) + retain
    return _off(forget, retain, conflict) + _off(retain, forget, conflict)


def _off(one: Tensor, other: Tensor, dot: Tensor) -> Tensor:
    """``one`` projected onto the plane normal to ``other``; as it is where ``other`` is zero."""
    return one - dot / (other @ other).clamp_min(torch.finfo(other.dtype).tiny) * other


@attrs.define(eq=False)
class GradientSurgery(PairLoop):
    """GUIDE's losses, where the forgetting gradient g_f gives way to the retaining one g_r before they are summed.

    * ``doco``: if <g_f, g_r> < 0, g_f loses its part along g_r (Wu et al., AAAI 2025; read in its released program,
      which normalises both first; here lengths stay, as nobody says what the sum is made of, and lambda is 1 as there)
    * ``pcgrad``: if <g_f, g_r> < 0, each loses its part along the other (Yu et al., NeurIPS 2020)
    * ``project``: g_f always loses its part along g_r (Bae et al., 2023, by its abstract; UNO's baseline S)
    * ``filter``: g_f loses each component whose sign is opposite to that of g_r (GED-Unlearning's released program
      keeps it only where g_r * g_f > 1e-8; before the first step g_r is 0 with constant noise, so nothing would ever
      move; here only opposite signs are dropped, and at every step instead of the first 400)

    The default is ``doco`` by ``layer``: retaining is never weakened, as it is by ``pcgrad``, nor is forgetting where
    both agree, as it is by ``project``; and its program works parameter by parameter. Losses and target are GUIDE's.
    """

    splits = True
    tuning = Guide.tuning

    losses: tuple[str, ...] = option(
        ("guide-local", "guide-adjacency", "guide-global"), help="losses that are summed, by name"
    )
    target: str = option("ufo", help="target selector, by name")
    rule: str = option("doco", help="how the two gradients are combined", choices=RULES)
    scope: str = option("layer", help="one dot product for each parameter tensor, or one over all", choices=SCOPES)

    def combine(self, forget: dict[str, Tensor], retain: dict[str, Tensor]) -> dict[str, Tensor]:
        """One gradient of two, by the rule."""
        if self.scope == "layer":
            return {
                name: combine_gradients(slope.flatten(), retain[name].flatten(), self.rule).view_as(slope)
                for name, slope in forget.items()
            }
        whole = [torch.cat([slope.flatten() for slope in side.values()]) for side in (forget, retain)]
        parts = combine_gradients(whole[0], whole[1], self.rule).split([slope.numel() for slope in forget.values()])
        return {name: part.view_as(slope) for (name, slope), part in zip(forget.items(), parts, strict=True)}
