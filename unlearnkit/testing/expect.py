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
    """A component does not do what its interface promises."""


class NotApplicable(unittest.SkipTest):
    """A check has nothing to look at in this component; pytest shows it as skipped, with the reason."""


def expect(good: bool, expected: str, got: object) -> None:
    """Raise :class:`CheckFailed` with both halves of the sentence unless ``good``."""
    if not good:
        raise CheckFailed(f"expected {expected}, got {got}")


def expect_tensor(what: str, value: Any, shape: tuple[int | str, ...], dtype: torch.dtype = torch.float32) -> None:
    """``value`` is a finite tensor of ``shape``; a letter in the shape stands for any positive number."""
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
    """Two tensors agree within ``tolerance`` times their size (at least 1)."""
    expect(a.shape == b.shape, f"{what}, so one shape", f"{tuple(a.shape)} and {tuple(b.shape)}")
    scale = max(1.0, float(b.detach().abs().max())) if b.numel() else 1.0
    gap = float((a.detach() - b.detach()).abs().max()) if b.numel() else 0.0
    expect(gap <= tolerance * scale, f"{what} (within {tolerance * scale:.2g})", f"a difference of {gap:.3g}")


def same_bits(a: Any, b: Any) -> bool:
    """Equal to the last bit, through dicts, lists and records of tensors."""
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and a.shape == b.shape and torch.equal(a.detach(), b.detach())
    if isinstance(a, Mapping):
        return isinstance(b, Mapping) and a.keys() == b.keys() and all(same_bits(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same_bits(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


@contextmanager
def no_global_draws() -> Iterator[None]:
    """Inside, torch's global random numbers stay where they are: a run is reproducible by its own seed only."""
    before = torch.get_rng_state()
    yield
    expect(
        torch.equal(before, torch.get_rng_state()), "all random numbers to come from the rng that is given",
        "a draw from torch's global random numbers (pass generator=rng to torch.rand and the like)",
    )


def twice(make: Callable[[], T]) -> tuple[T, T]:
    """Call ``make`` under two global seeds; it may use up neither."""
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
def unchanged(tensors: Callable[[], Mapping[str, Tensor]], why: str) -> Iterator[None]:
    """Inside, no tensor that ``tensors()`` names changes; ``why`` ends the sentence "expected ... to stay"."""
    before = snapshot(tensors())
    yield
    after = tensors()
    changed = [name for name in before if name not in after or not same_bits(before[name], after[name])]
    expect(not changed, f"{why} to stay as it is", f"changes in {', '.join(changed[:4])}")
