"""The loss terms of a step: computed on the device and copied to the host together, to synchronise only once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

from unlearnkit.errors import UnlearnkitError

__all__ = ["StepNumbers", "TermList", "read_delay"]

TermList = list[tuple[str, Tensor]]
"""The terms of a step's micro-batches: label and scalar on the device. ``total`` is among the labels."""


def read_delay(device: torch.device) -> int:
    """How many steps later the terms of a step are read: one on CUDA, so that the loop does not wait for them.

    A loss that is not finite is then noticed one step late, but always before a checkpoint is written.
    """
    return 1 if device.type == "cuda" else 0


class StepNumbers:
    """The terms of step ``index``, copied to the host asynchronously.

    :param sides: one ``TermList`` for each separate backward pass; each is summed by itself.
    """

    def __init__(self, index: int, sides: Sequence[TermList], device: torch.device) -> None:
        self.index = index
        self._labels = [[label for label, _ in terms] for terms in sides]
        numbers = [number.detach().reshape(()).to(device, non_blocking=True) for terms in sides for _, number in terms]
        self._host = torch.stack(numbers) if numbers else torch.zeros(0)
        self._arrived: torch.cuda.Event | None = None
        if self._host.device.type == "cuda":
            self._copy()

    def _copy(self) -> None:
        """Start the copy; only :meth:`check` waits for it."""
        values = self._host
        self._host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
        self._host.copy_(values, non_blocking=True)
        self._arrived = torch.cuda.current_stream(values.device).record_event()

    def check(self) -> dict[str, float]:
        """``total`` and each unweighted term, summed over its pairs; the first call waits for the copy.

        :raises UnlearnkitError: if the total is not finite.
        """
        sums = self._sums
        if not math.isfinite(sums["total"]):
            raise UnlearnkitError(
                f"the loss became {sums['total']} at step {self.index}: the edit is lost from here; try a smaller "
                "--set method.learning_rate or weaker losses"
            )
        return sums

    @cached_property
    def _sums(self) -> dict[str, float]:
        if self._arrived is not None:
            self._arrived.synchronize()
        values = iter(self._host.tolist())
        sums: dict[str, float] = {"total": 0.0}
        for labels in self._labels:
            side = {"total": 0.0}
            for label in labels:
                side[label] = side.get(label, 0.0) + next(values)
            sums |= {label: sums.get(label, 0.0) + value for label, value in side.items()}
        return sums
