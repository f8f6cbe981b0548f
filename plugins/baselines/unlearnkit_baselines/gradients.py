"""Methods that modify gradients: a saliency mask (SalUn), and surgery between forget and retain gradients."""

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


# ---------------------------------------------------------------- saliency mask

def saliency_mask(gradients: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """True for the ``share`` of all entries (rounded) with the largest magnitude; shapes as in ``gradients``."""
    magnitudes = torch.cat([gradient.flatten() for gradient in gradients.values()]).abs()
    chosen = torch.zeros_like(magnitudes, dtype=torch.bool)
    chosen[magnitudes.topk(round(share * len(magnitudes)), sorted=False).indices] = True
    parts = chosen.split([gradient.numel() for gradient in gradients.values()])
    return {name: part.view_as(gradient) for (name, gradient), part in zip(gradients.items(), parts, strict=True)}


@attrs.define(eq=False)
class Saliency(PairLoop):
    """``L = P(I_u(w_u), I_s(w_r)) + L_global``, over the parameters with the largest forget gradients only.

    SalUn (Fan et al., ICLR 2024; values from its released code): the mask is the top 50 % of ``|sum of gradients of the
    forget loss|`` of the original network. Its random label becomes a random face at each step. Ours: the sum runs
    over the draws of ``draws`` steps from a fixed seed, and the retain loss is weighted as in the other baselines (the
    released forget-to-retain ratio of 1 to 1e-3 belongs to a diffusion loss).
    """

    splits = True
    tuning = Guide.tuning

    losses: tuple[str, ...] = option(("random-face", "guide-global"), help="losses that are summed, by name")
    target: str | None = option(None, help="target selector, by name")  # random faces
    share: float = option(0.5, help="fraction of the parameters that may change", gt=0.0, le=1.0)
    draws: int = option(8, help="steps whose gradients are summed for the mask", ge=1)
    _mask: dict[str, Tensor] = attrs.field(init=False, factory=dict, repr=False)

    def start(self, job: Job, parameters: dict[str, nn.Parameter]) -> None:
        """Compute the mask from the original parameters and its own stream, so that a resumed run gets the same one."""
        rng = job.stream("saliency")
        forgetting = {name: loss for name, loss in job.losses.items() if not loss.retains}
        forget_job = attrs.evolve(job, losses=forgetting, rng=rng)
        for index in range(self.draws):
            view = job.edited.sample_views(1, rng)
            step = Step(index, job.edited, job.erased, job.targets, view, rng, job.selector)
            backward(forget_job, step, {})
        gradients = {name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in parameters.items()}
        self._mask = saliency_mask({name: gradient.detach() for name, gradient in gradients.items()}, self.share)
        for parameter in parameters.values():
            parameter.grad = None

    def combine(self, forget: dict[str, Tensor], retain: dict[str, Tensor]) -> dict[str, Tensor]:
        """The masked sum of both gradients."""
        return {name: (forget[name] + retain[name]) * self._mask[name] for name in forget}


# ---------------------------------------------------------------- gradient surgery

def combine_gradients(forget: Tensor, retain: Tensor, rule: str) -> Tensor:
    """Combine two gradients ``(n,)`` by one of ``RULES``; their sum where they do not conflict (but ``project``)."""
    if rule == "filter":
        return torch.where(forget * retain < 0, 0.0, forget) + retain
    dot = forget @ retain
    if rule == "project":
        return _off(forget, retain, dot) + retain
    conflict = dot.clamp_max(0)  # 0 projects nothing off; branching on it would synchronise with the GPU
    if rule == "doco":
        return _off(forget, retain, conflict) + retain
    return _off(forget, retain, conflict) + _off(retain, forget, conflict)


def _off(gradient: Tensor, other: Tensor, dot: Tensor) -> Tensor:
    """``gradient`` with its component along ``other`` removed; unchanged if ``other`` is zero."""
    return gradient - dot / (other @ other).clamp_min(torch.finfo(other.dtype).tiny) * other


@attrs.define(eq=False)
class GradientSurgery(PairLoop):
    """GUIDE's losses, with the forget gradient g_f projected against the retain gradient g_r before they are summed.

    * ``doco``: if <g_f, g_r> < 0, removes g_f's component along g_r (Wu et al., AAAI 2025; its released code normalises
      both first; here magnitudes are kept, since the paper leaves the sum unspecified, and lambda is 1 as there)
    * ``pcgrad``: if <g_f, g_r> < 0, removes each one's component along the other (Yu et al., NeurIPS 2020)
    * ``project``: always removes g_f's component along g_r (Bae et al., 2023, by its abstract; UNO's baseline S)
    * ``filter``: zeroes the entries of g_f whose sign is opposite to g_r's (GED-Unlearning's released code keeps them
      only where g_r * g_f > 1e-8; before the first step g_r is 0 with constant noise, so nothing would ever move; here
      only opposite signs are dropped, and at every step instead of the first 400)

    The default is ``doco`` per ``layer``: it never weakens retaining, as ``pcgrad`` does, nor forgetting where both
    agree, as ``project`` does; and its released code works per parameter. Losses and target are GUIDE's.
    """

    splits = True
    tuning = Guide.tuning

    losses: tuple[str, ...] = option(
        ("guide-local", "guide-adjacency", "guide-global"), help="losses that are summed, by name"
    )
    target: str = option("ufo", help="target selector, by name")
    rule: str = option("doco", help="how the two gradients are combined", choices=RULES)
    scope: str = option("layer", help="one dot product per parameter tensor, or one over all", choices=SCOPES)

    def combine(self, forget: dict[str, Tensor], retain: dict[str, Tensor]) -> dict[str, Tensor]:
        """Combine the two gradients by the chosen rule."""
        if self.scope == "layer":
            return {
                name: combine_gradients(gradient.flatten(), retain[name].flatten(), self.rule).view_as(gradient)
                for name, gradient in forget.items()
            }
        flat = [torch.cat([gradient.flatten() for gradient in side.values()]) for side in (forget, retain)]
        combined = combine_gradients(flat[0], flat[1], self.rule)
        parts = combined.split([gradient.numel() for gradient in forget.values()])
        return {name: part.view_as(gradient) for (name, gradient), part in zip(forget.items(), parts, strict=True)}
