"""A whole step as one CUDA graph: captured once, then replayed with new latents and views (``cuda_graph = true``).

With small layers a step is bound by kernel launches; a graph launches thousands of kernels at once. Captured are
rendering, terms, backward pass and Adam; random draws happen outside, as in eager mode, and are copied into static
buffers.

The CUDA-specific part, :class:`CudaRecorder`, follows torch's recipe ("CUDA graphs", whole-network capture) and has not
been run on a GPU yet. The rest is tested on a CPU with a recorder that re-runs the step.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Protocol

import torch
from torch import Tensor

from unlearnkit.engine.step_numbers import TermList
from unlearnkit.interfaces import Job, Loss, Pairs

__all__ = ["WARM_UP", "Body", "CudaRecorder", "GraphedStep", "Recorder", "StaticPairs", "reason_against"]

WARM_UP = 3
"""Eager warm-up steps before capture: Adam creates its state, cuDNN picks algorithms, constant pairs are rendered."""

Body = Callable[[Mapping[str, Pairs]], TermList]
"""A step as a function of its pairs: compute gradients and update with Adam."""


def reason_against(job: Job, adds_terms: bool, changes_rate: bool = False) -> str | None:
    """Why the steps of this job cannot be captured, as the end of a sentence; None if they can."""
    if job.device.type != "cuda":
        return f"the device is {job.device}"
    if adds_terms:
        return "the method adds to the gradients"
    if changes_rate:
        return "the method's learning rate changes from step to step"
    learning = [name for name, loss in job.losses.items() if type(loss).memory is not Loss.memory]
    if learning:
        return f"{', '.join(learning)} learns from step to step"
    penalties = [name for name, loss in job.losses.items() if type(loss).penalty is not Loss.penalty]
    return f"{', '.join(penalties)} penalises parameters directly" if penalties else None


class StaticPairs:
    """Pairs in static buffers on ``device``; :meth:`fill` copies new values into them."""

    def __init__(self, pairs_by_loss: Mapping[str, Pairs], device: torch.device) -> None:
        def buffer(tensor: Tensor) -> Tensor:
            return tensor.detach().to(device, copy=True, memory_format=torch.contiguous_format)

        self.pairs = {
            name: Pairs(buffer(pairs.edited), buffer(pairs.frozen),
                        None if pairs.views is None else buffer(pairs.views), pairs.constant)
            for name, pairs in pairs_by_loss.items()
        }

    def fits(self, pairs_by_loss: Mapping[str, Pairs]) -> bool:
        """True if losses, shapes and the ``constant`` flags match the buffers."""
        return _form(pairs_by_loss) == _form(self.pairs)

    def fill(self, pairs_by_loss: Mapping[str, Pairs]) -> None:
        """Copy these pairs into the buffers."""
        for name, pairs in pairs_by_loss.items():
            for there, here in zip(_tensors(self.pairs[name]), _tensors(pairs), strict=True):
                there.copy_(here, non_blocking=True)


def _tensors(pairs: Pairs) -> list[Tensor]:
    return [tensor for tensor in (pairs.edited, pairs.frozen, pairs.views) if tensor is not None]


def _form(pairs_by_loss: Mapping[str, Pairs]) -> list[tuple[object, ...]]:
    return [
        (name, pairs.constant, *(tensor.shape for tensor in _tensors(pairs))) for name, pairs in pairs_by_loss.items()
    ]


class Recorder(Protocol):
    """Runs warm-up steps and captures one; :class:`CudaRecorder` is the real implementation."""

    def aside(self, run: Callable[[], TermList]) -> TermList:
        """Run a step before capture."""

    def record(self, run: Callable[[], TermList]) -> tuple[TermList, Callable[[], None]]:
        """Capture a step without running it: the tensors that will hold its terms, and a function that replays it."""


class GraphedStep:
    """The steps of one job: eager warm-up, then capture and replay; falls back to eager with one warning."""

    def __init__(self, body: Body, job: Job, recorder: Recorder) -> None:
        self._body, self._job, self._recorder = body, job, recorder
        self._static: StaticPairs | None = None
        self._weights: dict[str, dict[str, float]] = {}
        self._terms: TermList = []
        self._replay: Callable[[], None] = lambda: None
        self._done, self._given_up = 0, False

    def step(self, pairs_by_loss: Mapping[str, Pairs]) -> TermList:
        """Do one step on these pairs; the next step overwrites the returned terms."""
        if not self._given_up and self._done < WARM_UP:
            self._done += 1
            return self._warm_up(pairs_by_loss)
        if not self._given_up and self._static is None:
            self._record(pairs_by_loss)
        if self._static is not None and not self._given_up:
            self._give_up(self._change(pairs_by_loss))
        if self._static is None or self._given_up:
            return self._body(pairs_by_loss)
        self._static.fill(pairs_by_loss)
        self._replay()
        return self._terms

    def _warm_up(self, pairs_by_loss: Mapping[str, Pairs]) -> TermList:
        before = self._job.rng.get_state()
        terms = self._recorder.aside(lambda: self._body(pairs_by_loss))
        if not torch.equal(before, self._job.rng.get_state()):
            self._give_up("rendering draws random numbers (noise or jitter)")
        return terms

    def _record(self, pairs_by_loss: Mapping[str, Pairs]) -> None:
        static = StaticPairs(pairs_by_loss, self._job.device)
        try:
            self._terms, self._replay = self._recorder.record(lambda: self._body(static.pairs))
        except RuntimeError as error:
            self._give_up(f"capture failed ({str(error).splitlines()[0]})")
            return
        self._static, self._weights = static, self._weigh()

    def _change(self, pairs_by_loss: Mapping[str, Pairs]) -> str | None:
        """What has changed since capture, or None."""
        if self._static is not None and not self._static.fits(pairs_by_loss):
            return "the shapes of the losses' pairs have changed"
        return None if self._weigh() == self._weights else "the weights of the losses have changed"

    def _weigh(self) -> dict[str, dict[str, float]]:
        return {name: dict(loss.weights()) for name, loss in self._job.losses.items()}

    def _give_up(self, reason: str | None) -> None:
        if reason is not None:
            self._given_up = True
            warnings.warn(f"no CUDA graph: {reason}; steps run one kernel at a time", stacklevel=2)


class CudaRecorder:
    """torch's recipe: warm up on a side stream, capture, replay. Not run on a GPU yet."""

    def aside(self, run: Callable[[], TermList]) -> TermList:
        """Run a step on a side stream, as required before capture."""
        side, current = torch.cuda.Stream(), torch.cuda.current_stream()
        side.wait_stream(current)
        with torch.cuda.stream(side):
            terms = run()
        current.wait_stream(side)
        return terms

    def record(self, run: Callable[[], TermList]) -> tuple[TermList, Callable[[], None]]:
        """Capture a step; it starts without gradients, so that they are allocated in the graph's memory pool."""
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            terms = run()
        return terms, graph.replay
