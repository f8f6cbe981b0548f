"""Attacks on the weights as they are, without gradients: mixtures of base and edit, rounding, pruning."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import attrs
import torch
from torch import Tensor

from unlearnkit.attacks.trace import Trace, erased_latents, judged_on, references
from unlearnkit.config import option
from unlearnkit.interfaces import Attack, Attempt, Case, Generator, Holds, Recovery
from unlearnkit.metrics.gallery import front_images

__all__ = ["Mixtures", "Rounding"]

_Weights = Iterator[tuple[str, dict[str, Tensor], bool]]
"""Variants: what was done, in words; the tensors that it puts into the generator; whether a likeness counts."""


@attrs.define(eq=False)
class Mixtures(Attack):
    """Mixes the weights of base and edit, as people merge models: how little of the base brings the person back?

    First theta_0 + lambda (theta_u - theta_0) for each of ``lambdas``, then swaps: the changed tensors in ``swaps``
    parts of about as many, in the order of the network; each part in turn is the base's while the others stay edited,
    and then the other way round.

    Whoever has the base has the person. So only mixtures that are at least half the edit count as recoveries (lambda >=
    0.5, one part of the base in the edit); the likeness in every other is in the remark.
    """

    holds: ClassVar[Holds] = Holds(base=True, photo=True)
    unit: ClassVar[str] = "mixtures tried"
    control: ClassVar[str] = "ceiling"
    control_is: ClassVar[str] = "the base with itself"
    quick: ClassVar[Mapping[str, Any]] = MappingProxyType({"swaps": 3})

    lambdas: list[float] = option(
        [1.0, 0.9, 1.1, 0.75, 1.25, 0.5, 1.5, 0.25, -0.25, -0.5], ge=-10.0, le=10.0,
        help="shares of the edit: 1 is the edited generator, 0 the base, above 1 goes further than the edit")
    swaps: int = option(6, ge=2, le=100, help="parts of the network to swap, one at a time, in both directions")

    @property
    def budget(self) -> int:
        """Mixtures that count: at least half the edit is in them."""
        return self.swaps + sum(share >= 0.5 for share in self.lambdas)

    def attack(self, case: Case) -> Recovery:
        """Mix base and edit, then the base with itself."""
        (edited, shown), (control, _) = (
            _try(case, generator, lambda made: self._mixed(case, made), self.budget)
            for generator in (case.evidence.edited, case.evidence.frozen)
        )
        return Recovery(edited, control, judged_on(references(case)), shown)

    def _mixed(self, case: Case, edited: Generator) -> _Weights:
        new = {name: tensor.clone() for name, tensor in edited.module.state_dict().items()
               if tensor.is_floating_point()}
        # A tensor that the base lacks belongs to an adapter, which does nothing where it is zero.
        base = case.evidence.frozen.module.state_dict()
        old = {name: base.get(name, torch.zeros_like(tensor)) for name, tensor in new.items()}
        for share in self.lambdas:
            yield f"lambda {share:g}", {name: old[name].lerp(new[name], share) for name in new}, share >= 0.5
        changed = [name for name in new if not torch.equal(new[name], old[name])]
        for part in range(self.swaps):
            names = changed[part * len(changed) // self.swaps : (part + 1) * len(changed) // self.swaps]
            where = f"part {part + 1} of {self.swaps}"
            for kept, put, what in ((new, old, f"the base's {where}"), (old, new, f"the edit's {where} in the base")):
                yield what, {name: put[name] if name in names else kept[name] for name in new}, kept is new


@attrs.define(eq=False)
class Rounding(Attack):
    """Rounds and prunes the editable weights, as whoever deploys a generator does: does the person come back?

    In turn: float16, bfloat16, 8 bits and 4 bits (a tensor's numbers as whole multiples of its largest / (2^(b-1) -
    1)), then ``pruned``: in each tensor this share of the numbers, those nearest to zero, are zero. Edits that are
    small against the weights are rounded away.
    """

    holds: ClassVar[Holds] = Holds(photo=True)
    unit: ClassVar[str] = "roundings tried"
    control: ClassVar[str] = "ceiling"
    control_is: ClassVar[str] = "the original generator, rounded likewise"

    pruned: list[float] = option([0.1, 0.2, 0.3, 0.5], ge=0.0, le=1.0,
                                 help="shares of the weights to set to zero")

    @property
    def budget(self) -> int:
        """Roundings tried."""
        return 4 + len(self.pruned)

    def attack(self, case: Case) -> Recovery:
        """Round the edited generator, then the original one."""
        (edited, shown), (control, _) = (
            _try(case, generator, self._rounded, self.budget)
            for generator in (case.evidence.edited, case.evidence.frozen)
        )
        return Recovery(edited, control, judged_on(references(case)), shown)

    def _rounded(self, generator: Generator) -> _Weights:
        weights = {name: value.detach().clone() for name, value in generator.editable_parameters().items()}
        for text, kind in (("float16", torch.float16), ("bfloat16", torch.bfloat16)):
            yield text, {name: value.to(kind).to(value.dtype) for name, value in weights.items()}, True
        for bits in (8, 4):
            yield f"{bits} bits", {name: _whole(value, bits) for name, value in weights.items()}, True
        for share in self.pruned:
            yield f"{100 * share:g} % pruned", {name: _prune(value, share) for name, value in weights.items()}, True


def _whole(value: Tensor, bits: int) -> Tensor:
    step = value.abs().max().clamp_min(1e-30) / (2 ** (bits - 1) - 1)
    return (value / step).round() * step


def _prune(value: Tensor, share: float) -> Tensor:
    count = int(share * value.numel())
    kept = value.flatten().clone()
    kept[value.abs().flatten().topk(count, largest=False).indices] = 0
    return kept.reshape(value.shape)


@torch.no_grad()
def _try(
    case: Case, generator: Generator, variants: Callable[[Generator], _Weights], budget: int
) -> tuple[Attempt, str]:
    """Show the erased latents with each variant of a copy; also a sentence with the likeness in each."""
    made, latents = copy.deepcopy(generator), erased_latents(case)
    trace, effort, shown = Trace(case, references(case)), 0, []
    for what, tensors, counts in variants(made):
        whole = made.module.state_dict()
        for name, tensor in tensors.items():
            whole[name].copy_(tensor)
        faces = front_images(made, latents)
        shown.append(f"{what} {float(trace.likeness(faces).max()):.2f}")
        if counts:
            effort += 1
            trace.see(faces, [effort] * len(faces))
    return trace.attempt(budget, sampled=True), f"Likeness at the erased latent: {'; '.join(shown)}."
