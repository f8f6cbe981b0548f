"""Two sides of one work, turn by turn: ours, the authors', ours, ... on the same numbers."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence

import attrs
from torch import Tensor

__all__ = ["Different", "Phase", "Side", "Turn", "interleave", "operation_side"]

VALUE_TOLERANCE = 1e-4
GRADIENT_TOLERANCE = 1e-3
"""Relative. Gradients of deep networks differ more by rounding alone: a ReLU's input near 0 falls to either side."""


class Different(AssertionError):
    """The two sides did not compute the same, so that their times cannot be compared."""


@attrs.frozen(eq=False)
class Turn:
    """What one side did once: seconds by phase, and the numbers that came out.

    ``peak_bytes``: the most memory that its process ever held, where it has one of its own.
    """

    seconds: Mapping[str, float]
    values: Mapping[str, Tensor]
    gradients: Mapping[str, Tensor] = attrs.field(factory=dict)
    peak_bytes: float | None = None


Side = Callable[[], Turn]


@attrs.frozen
class Phase:
    """Seconds (or bytes, of ``peak``) of both sides in one phase of a work, in the order in which they were taken."""

    name: str
    ours: tuple[float, ...]
    authors: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """How many times faster we are: the authors' median by ours."""
        return statistics.median(self.authors) / statistics.median(self.ours)


def interleave(ours: Side, authors: Side, repeats: int) -> list[Phase]:
    """Time both sides alternately, after one turn each that is compared and not timed.

    :raises Different: if that turn's numbers are not the same on both sides.
    """
    sides = {"ours": ours, "authors": authors}
    _compare(*(side() for side in sides.values()))
    taken: dict[str, list[Mapping[str, float]]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, side in sides.items():
            gc.collect()
            turn = side()
            peak = {} if turn.peak_bytes is None else {"peak": turn.peak_bytes}
            taken[name].append({**turn.seconds, **peak})
    return [
        Phase(phase, *(tuple(seconds[phase] for seconds in taken[name]) for name in sides))
        for phase in taken["ours"][0]
    ]


def operation_side(function: Callable[..., Tensor], inputs: Sequence[Tensor], probe: Tensor) -> Side:
    """Forward, with a graph, and backward of ``(function(*inputs) * probe).sum()`` to every input that wants it."""

    def side() -> Turn:
        leaves = [x.detach().requires_grad_(x.requires_grad) for x in inputs]
        started = time.perf_counter()
        value = function(*leaves)
        between = time.perf_counter()
        value.backward(probe)
        ended = time.perf_counter()
        gradients = {f"input {i}": x.grad for i, x in enumerate(leaves) if x.grad is not None}
        return Turn({"forward": between - started, "backward": ended - between}, {"value": value.detach()}, gradients)

    return side


def _compare(ours: Turn, authors: Turn) -> None:
    for what, limit in (("values", VALUE_TOLERANCE), ("gradients", GRADIENT_TOLERANCE)):
        found, wanted = getattr(ours, what), getattr(authors, what)
        if found.keys() != wanted.keys():
            raise Different(f"{what}: ours are {sorted(found)}, the authors' {sorted(wanted)}")
        for name, value in wanted.items():
            difference = float((found[name] - value).norm() / value.norm().clamp_min(1e-12))
            if not difference <= limit:
                raise Different(f"{what}, {name}: relative difference {difference:.1e}, at most {limit:.0e} expected")
