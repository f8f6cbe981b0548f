"""How a check says what it expected: every failure reads "expected ..., got ...". Imports no pytest."""

from __future__ import annotations

import unittest
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor

__all__ = [
    "CheckFailed", "NotApplicable", "expect", "expect_close", "expect_tensor", "no_global_draws", "same_bits",
    "snapshot", "twice", "unchanged",
]

T = TypeVar("T")


class CheckFailed(AssertionError):
    """A component breaks a promise of its interface."""


class NotApplicable(unittest.SkipTest):
    """A check does not apply to this component; pytest shows it as skipped, with the reason."""


def expect(good: bool, expected: str, got: object) -> None:
    """Raise :class:`CheckFailed`, "expected ``expected``, got ``got``", unless ``good``."""
    if not good:
        raise CheckFailed(f"expected {expected}, got {got}")


def expect_tensor(what: str, value: Any, shape: tuple[int | str, ...], dtype: torch.dtype = torch.float32) -> None:
    """Expect a finite tensor of ``shape``; a letter in the shape stands for any positive number."""
    wanted = f"{what} to be a finite {str(dtype).removeprefix('torch.')} tensor ({', '.join(map(str, shape))})"
    expect(isinstance(value, Tensor), wanted, f"a {type(value).__name__}")
    fits = value.ndim == len(shape) and all(
        have > 0 if isinstance(want, str) else have == want for have, want in zip(value.shape, shape, strict=True)
    )
    expect(fits, wanted, f"the shape {tuple(value.shape)}")
    expect(value.dtype == dtype, wanted, f"the dtype {value.dtype}")
    bad = int((~torch.isfinite(value)).sum())
    expect(bad == 0, wanted, f"{bad} numbers that are NaN or infinite")


def expect_close(what: str, a: Tensor, b: Tensor, tolerance: float) -> None:
    """Expect two tensors that differ by at most ``tolerance`` times the largest number in ``b`` (at least 1)."""
    expect(a.shape == b.shape, f"{what}, so one shape", f"{tuple(a.shape)} and {tuple(b.shape)}")
    scale = max(1.0, float(b.detach().abs().max())) if b.numel() else 1.0
    gap = float((a.detach() - b.detach()).abs().max()) if b.numel() else 0.0
    expect(gap <= tolerance * scale, f"{what} (within {tolerance * scale:.2g})", f"a difference of {gap:.3g}")


def same_bits(a: Any, b: Any) -> bool:
    """Equal to the last bit, also inside dicts, lists and tuples."""
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and a.shape == b.shape and torch.equal(a.detach(), b.detach())
    if isinstance(a, Mapping):
        return isinstance(b, Mapping) and a.keys() == b.keys() and all(same_bits(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same_bits(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


@contextmanager
def no_global_draws() -> Iterator[None]:
    """Inside, nothing may draw from torch's global random number generator: the seed of a run decides everything."""
    before = torch.get_rng_state()
    yield
    expect(
        torch.equal(before, torch.get_rng_state()), "every random number to come from the rng that is given",
        "a draw from torch's global random number generator (pass generator=rng to torch.rand and the like)",
    )


def twice(make: Callable[[], T]) -> tuple[T, T]:
    """Call ``make`` twice, under two global seeds, neither of which it may draw from."""
    results = []
    with torch.random.fork_rng(devices=()):
        for seed in (1, 2):
            torch.manual_seed(seed)
            with no_global_draws():
                results.append(make())
    return results[0], results[1]


def snapshot(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies of tensors, to compare with later."""
    return {name: value.detach().clone() for name, value in tensors.items()}


@contextmanager
def unchanged(tensors: Callable[[], Mapping[str, Tensor]], what: str) -> Iterator[None]:
    """Inside, no tensor of ``tensors()`` may change; ``what`` names them all: "expected ``what`` to stay as it is"."""
    before = snapshot(tensors())
    yield
    after = tensors()
    changed = [name for name in before if name not in after or not same_bits(before[name], after[name])]
    expect(not changed, f"{what} to stay as it is", f"changes in {', '.join(changed[:4])}")
