"""A whole step as one CUDA graph: recorded once, then replayed with new latents and views (``cuda_graph = true``).

A step of small layers is bound by the launching of thousands of kernels, which a graph launches together. Recorded are
rendering, terms, backward pass and Adam; what a step draws is drawn outside, as ever, and copied into buffers.

The part that is CUDA's own, :class:`CudaRecorder`, follows torch's recipe ("CUDA graphs", whole-network capture) and
has not been run on a GPU yet. The rest is tested on a CPU with a recorder that runs the step anew.
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
"""Steps that run as ever before one is recorded: Adam makes its state, cuDNN chooses, what is constant is rendered."""

Body = Callable[[Mapping[str, Pairs]], TermList]
"""A step as a function of its pairs: gradients anew, and Adam's step."""


def reason_against(job: Job, adds_terms: bool) -> str | None:
    """Why the steps of this job cannot be recorded, as the end of a sentence; None if they can."""
    if job.device.type != "cuda":
        return f"the device is {job.device}"
    if adds_terms:
        return "the method adds to the gradients"
    named = [name for name, loss in job.losses.items() if type(loss).penalty is not Loss.penalty]
    return f"{', '.join(named)} looks at the parameters" if named else None


class StaticPairs:
    """Pairs in buffers on ``device`` that stay where they are; :meth:`fill` puts other numbers into them."""

    def __init__(self, asked: Mapping[str, Pairs], device: torch.device) -> None:
        def buffer(tensor: Tensor) -> Tensor:
            return tensor.detach().to(device, copy=True, memory_format=torch.contiguous_format)

        self.pairs = {
            name: Pairs(buffer(pairs.edited), buffer(pairs.frozen),
                        None if pairs.views is None else buffer(pairs.views), pairs.constant)
            for name, pairs in asked.items()
        }

    def fits(self, asked: Mapping[str, Pairs]) -> bool:
        """True where losses, shapes, and what is constant are the same as in the buffers."""
        return _form(asked) == _form(self.pairs)

    def fill(self, asked: Mapping[str, Pairs]) -> None:
        """Copy these pairs into the buffers."""
        for name, pairs in asked.items():
            for there, here in zip(_tensors(self.pairs[name]), _tensors(pairs), strict=True):
                there.copy_(here, non_blocking=True)


def _tensors(pairs: Pairs) -> list[Tensor]:
    return [tensor for tensor in (pairs.edited, pairs.frozen, pairs.views) if tensor is not None]


def _form(asked: Mapping[str, Pairs]) -> list[tuple[object, ...]]:
    return [(name, pairs.constant, *(tensor.shape for tensor in _tensors(pairs))) for name, pairs in asked.items()]


class Recorder(Protocol):
    """Runs steps beside a recording, and records one; :class:`CudaRecorder` is the true one."""

    def aside(self, run: Callable[[], TermList]) -> TermList:
        """Run a step before recording."""

    def record(self, run: Callable[[], TermList]) -> tuple[TermList, Callable[[], None]]:
        """Record a step without running it: the tensors that will hold its numbers, and what replays it."""


class GraphedStep:
    """Steps of one job: a few as ever, then recorded; as ever again, with one warning, where a recording cannot be."""

    def __init__(self, body: Body, job: Job, recorder: Recorder) -> None:
        self._body, self._job, self._recorder = body, job, recorder
        self._static: StaticPairs | None = None
        self._weights: dict[str, dict[str, float]] = {}
        self._terms: TermList = []
        self._replay: Callable[[], None] = lambda: None
        self._done, self._given_up = 0, False

    def step(self, asked: Mapping[str, Pairs]) -> TermList:
        """Do one step on these pairs; its numbers are overwritten by the next."""
        if not self._given_up and self._done < WARM_UP:
            self._done += 1
            return self._warm_up(asked)
        if not self._given_up and self._static is None:
            self._record(asked)
        if self._static is not None and not self._given_up:
            self._give_up(self._change(asked))
        if self._static is None or self._given_up:
            return self._body(asked)
        self._static.fill(asked)
        self._replay()
        return self._terms

    def _warm_up(self, asked: Mapping[str, Pairs]) -> TermList:
        before = self._job.rng.get_state()
        terms = self._recorder.aside(lambda: self._body(asked))
        if not torch.equal(before, self._job.rng.get_state()):
            self._give_up("rendering draws random numbers (noise or jitter)")
        return terms

    def _record(self, asked: Mapping[str, Pairs]) -> None:
        static = StaticPairs(asked, self._job.device)
        try:
            self._terms, self._replay = self._recorder.record(lambda: self._body(static.pairs))
        except RuntimeError as error:
            self._give_up(f"recording failed ({str(error).splitlines()[0]})")
            return
        self._static, self._weights = static, self._weigh()

    def _change(self, asked: Mapping[str, Pairs]) -> str | None:
        """What is not as it was recorded, or None."""
        if self._static is not None and not self._static.fits(asked):
            return "the losses ask for other shapes than before"
        return None if self._weigh() == self._weights else "the losses weigh otherwise than before"

    def _weigh(self) -> dict[str, dict[str, float]]:
        return {name: dict(loss.weights()) for name, loss in self._job.losses.items()}

    def _give_up(self, reason: str | None) -> None:
        if reason is not None:
            self._given_up = True
            warnings.warn(f"no CUDA graph: {reason}; steps run one kernel at a time", stacklevel=2)


class CudaRecorder:
    """torch's recipe: warm up on a stream of its own, record, replay. Not run on a GPU yet."""

    def aside(self, run: Callable[[], TermList]) -> TermList:
        """Run a step on a side stream, as work before a recording must."""
        side, here = torch.cuda.Stream(), torch.cuda.current_stream()
        side.wait_stream(here)
        with torch.cuda.stream(side):
            terms = run()
        here.wait_stream(side)
        return terms

    def record(self, run: Callable[[], TermList]) -> tuple[TermList, Callable[[], None]]:
        """Record a step: gradients that it makes lie in the graph's own memory, since it begins without any."""
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            terms = run()
        return terms, graph.replay
