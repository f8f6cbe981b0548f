"""The pair loop: gather the pairs of all losses, render each once, measure, step; resumes bit for bit.

Every unlearning loss says "the edited generator's rendering of a should look like the frozen one's rendering of b". So
the loop asks each loss for its pairs, renders the edited side once and the frozen side at most once (without a graph;
cached where it is constant), back-propagates each micro-batch, and steps.
"""

from __future__ import annotations

import base64
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import attrs
import torch
from torch import Tensor, nn

from unlearnkit.config import option
from unlearnkit.engine.graphs import Body, CudaRecorder, GraphedStep, reason_against
from unlearnkit.engine.step_numbers import StepNumbers, TermList, read_delay
from unlearnkit.errors import ConfigError, ShapeError
from unlearnkit.interfaces import Generator, Job, Loss, Method, Pairs, Rendering, Step

__all__ = ["PairLoop", "accumulate", "backward", "freeze", "micro_batch_size"]

CPU_PIXELS = 5 * 128 * 128
"""Pixels rendered at a time on a CPU, where batching gains nothing once a layer fills the caches: one image of 256
pixels, or the five pairs of a GUIDE step at 128 (×1.17 faster than four and one, measured)."""


def freeze(module: nn.Module) -> nn.Module:
    """Put a network into evaluation mode and disable gradients for all parameters."""
    return module.eval().requires_grad_(False)


def micro_batch_size(device: torch.device, resolution: int, pairs: int) -> int:
    """Number of pairs to render at a time: all on an accelerator, ``CPU_PIXELS`` worth of them on a CPU."""
    if device.type != "cpu":
        return pairs
    return max(1, min(pairs, CPU_PIXELS // resolution**2))


@attrs.define(eq=False)
class PairLoop(Method):
    """A method that minimises losses over latent pairs with Adam; most methods are this with other losses.

    A method that modifies gradients sets ``splits`` and overrides :meth:`combine`; one with its own parameters
    (adapters) overrides :meth:`parameters`; :meth:`start` is for preparation before the first step.
    """

    splits: ClassVar[bool] = False
    """True: forget and retain losses are back-propagated separately, and :meth:`combine` merges the two gradients."""

    losses: tuple[str, ...] = option((), help="losses that are summed, by name")
    target: str | None = option("average", help="target selector, by name; None for a method without")
    steps: int = option(1000, help="optimiser steps", ge=1)
    learning_rate: float = option(1e-4, help="Adam's learning rate", gt=0.0, le=1e3)

    def unlearn(self, job: Job) -> None:
        """Train ``job.edited``'s editable parameters; resumes from ``job.progress`` if it holds a checkpoint.

        :raises ConfigError: without losses.
        """
        if not job.losses:
            raise ConfigError(f"{type(self).__name__} has no losses: name some with --set 'method.losses=[\"...\"]'")
        freeze(job.frozen.module)
        parameters = self.parameters(job)
        freeze(job.edited.module)
        for parameter in parameters.values():
            parameter.requires_grad_(True)
        graphed = self._graphed(job)
        adam = self.optimiser(job, parameters, capturable=graphed and job.device.type == "cuda")
        try:
            self._loop(job, parameters, adam, graphed)
        finally:
            freeze(job.edited.module)

    def parameters(self, job: Job) -> dict[str, nn.Parameter]:
        """The parameters to train, by name in the module; by default all that the generator makes editable."""
        return job.edited.editable_parameters()

    def start(self, job: Job, parameters: dict[str, nn.Parameter]) -> None:
        """Prepare before the first step, and again on resume; must be deterministic and not use ``job.rng``."""

    def optimiser(self, job: Job, parameters: dict[str, nn.Parameter], capturable: bool) -> torch.optim.Adam:
        """What makes the steps, with one group of parameters, at :meth:`rate`; by default Adam on all."""
        return torch.optim.Adam(parameters.values(), lr=self.learning_rate, capturable=capturable)

    def rate(self, index: int) -> float:
        """The learning rate of step ``index``, 0-based; by default the same at all of them."""
        return self.learning_rate

    def combine(self, forget: dict[str, Tensor], retain: dict[str, Tensor]) -> dict[str, Tensor]:
        """Merge the two gradients, by parameter; only called if ``splits`` is set. By default their sum."""
        return {name: forget[name] + retain[name] for name in forget}

    def extra_terms(self, job: Job) -> dict[str, Tensor]:
        """Weighted terms that the method itself adds to the loss; called after each micro-batch is rendered.

        * one value per pair of the micro-batch, ``(n,)``: summed over all pairs of the step
        * a scalar, ``()``: counts once per step regardless of micro-batching, as the mean over pairs
        """
        return {}

    def _graphed(self, job: Job) -> bool:
        """True if CUDA graphs are requested and possible; warns if they are not possible."""
        if not job.cuda_graph:
            return False
        changes = type(self).rate is not PairLoop.rate
        reason = reason_against(job, self.splits or type(self).extra_terms is not PairLoop.extra_terms, changes)
        if reason is not None:
            warnings.warn(f"no CUDA graph: {reason}; steps run one kernel at a time", stacklevel=2)
        return reason is None

    def _loop(self, job: Job, parameters: dict[str, nn.Parameter], adam: torch.optim.Adam, graphed: bool) -> None:
        cache: dict[Any, Rendering] = {}
        for loss in job.losses.values():
            loss.begin(job)
        self.start(job, parameters)
        saved = job.progress.load()
        start = 0 if saved is None else _restore(*saved, parameters, adam, job)
        graph = GraphedStep(_whole_step(job, cache, parameters, adam), job, CudaRecorder()) if graphed else None
        delay = read_delay(job.device)
        waiting: deque[StepNumbers] = deque()
        for index in range(start, self.steps):
            view = job.edited.sample_views(1, job.rng)
            step = Step(index, job.edited, job.erased, job.targets, view, job.rng, job.selector)
            if graph is not None:
                waiting.append(StepNumbers(index, [graph.step(_name_pairs(job, step))], job.device))
            else:
                adam.zero_grad(set_to_none=True)
                waiting.append(StepNumbers(index, self._gradients(job, step, cache, parameters), job.device))
                if not delay:
                    waiting[-1].check()  # before updating with gradients that are not finite
                adam.param_groups[0]["lr"] = self.rate(index)
                adam.step()
            self._report(job, waiting, delay)
            if job.progress.due() or index + 1 == self.steps:
                self._report(job, waiting, 0)  # first: the log may be ahead of the checkpoint, never behind
                job.progress.save(*_snapshot(index + 1, parameters, adam, job))

    def _report(self, job: Job, waiting: deque[StepNumbers], keep: int) -> None:
        """Read and report the oldest steps until ``keep`` steps are pending."""
        while len(waiting) > keep:
            numbers = waiting.popleft()
            job.progress.step(numbers.index, self.steps, numbers.check())

    def _gradients(
        self, job: Job, step: Step, cache: dict[Any, Rendering], parameters: dict[str, nn.Parameter]
    ) -> list[TermList]:
        """Compute the gradients of a step; returns its terms, one list per side if it ``splits``."""
        if not self.splits:
            return [accumulate(job, _name_pairs(job, step), cache, parameters, self.extra_terms)]
        terms: list[TermList] = []
        sides: list[dict[str, Tensor]] = []
        pairs_by_loss = _name_pairs(job, step)
        count = _count(pairs_by_loss)
        for retains in (False, True):
            losses = {name: loss for name, loss in job.losses.items() if loss.retains == retains}
            side = attrs.evolve(job, losses=losses)
            pairs = {name: pairs_by_loss[name] for name in losses}
            terms.append(accumulate(side, pairs, cache, parameters, self.extra_terms, count))
            sides.append({name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in parameters.items()})
            for parameter in parameters.values():
                parameter.grad = None
        for name, gradient in self.combine(*sides).items():
            parameters[name].grad = gradient
        return terms


# ---------------------------------------------------------------- one step

@attrs.frozen(eq=False)
class Segment:
    """Consecutive pairs of one loss that are rendered in one micro-batch."""

    name: str
    loss: Loss
    pairs: Pairs
    start: int

    @property
    def key(self) -> tuple[str, int, int] | None:
        """Cache key of its frozen rendering; None if that changes from step to step.

        Includes the length: if another loss names more pairs at a later step, this one is split elsewhere.
        """
        return (self.name, self.start, len(self.pairs)) if self.pairs.constant else None


def backward(
    job: Job, step: Step, cache: dict[Any, Rendering], parameters: Mapping[str, Tensor] = MappingProxyType({}),
) -> dict[str, float]:
    """Accumulate the gradient of all losses at this step; returns each unweighted term's sum and the total.

    :raises UnlearnkitError: if the total is not finite.
    """
    return StepNumbers(step.index, [accumulate(job, _name_pairs(job, step), cache, parameters)], job.device).check()


def _whole_step(
    job: Job, cache: dict[Any, Rendering], parameters: Mapping[str, Tensor], adam: torch.optim.Adam
) -> Body:
    """A step as a function of its pairs alone, as :mod:`unlearnkit.engine.graphs` captures it."""

    def body(pairs_by_loss: Mapping[str, Pairs]) -> TermList:
        adam.zero_grad(set_to_none=True)
        terms = accumulate(job, pairs_by_loss, cache, parameters)
        adam.step()
        return terms

    return body


def _name_pairs(job: Job, step: Step) -> dict[str, Pairs]:
    """The pairs of each loss at this step, in order."""
    return {name: loss.pairs(step) for name, loss in job.losses.items()}


def accumulate(
    job: Job, pairs_by_loss: Mapping[str, Pairs], cache: dict[Any, Rendering],
    parameters: Mapping[str, Tensor] = MappingProxyType({}),
    extra_terms: Callable[[Job], dict[str, Tensor]] = lambda job: {}, pairs_in_step: int | None = None,
) -> TermList:
    """Accumulate the gradient of all losses on the pairs of each, by name, without device synchronisation.

    Equal to the gradient of the summed loss: terms add up over pairs, so micro-batching does not change it. A scalar
    from ``extra_terms`` counts once per ``pairs_in_step`` pairs (by default those given).
    """
    count = _count(pairs_by_loss)
    size = micro_batch_size(job.device, job.edited.resolution, count)
    terms: TermList = []
    for batch in _micro_batches(job.losses, pairs_by_loss, size):
        value = torch.zeros((), device=job.device)
        frozen = _render_frozen(job, batch, cache)
        edited = _render(job.edited, batch, "edited", job.rng)
        share = sum(len(segment.pairs) for segment in batch) / (pairs_in_step or count)
        for name, extra in extra_terms(job).items():
            number = _extra_term(name, extra, batch, share)
            value = value + number
            terms.append((name, number.detach()))
        for segment, a, b in zip(batch, edited, frozen, strict=True):
            weights = segment.loss.weights()
            for name, numbers in segment.loss.terms(a, b, job.measures).items():
                _check_term(segment, name, numbers, weights)
                value = value + weights[name] * numbers.sum()
                terms.append((f"{segment.name}/{name}", numbers.detach().sum()))
        value.backward()
        terms.append(("total", value.detach()))
    return terms + _penalties(job, parameters)


def _count(pairs_by_loss: Mapping[str, Pairs]) -> int:
    return sum(len(pairs) for pairs in pairs_by_loss.values())


def _extra_term(name: str, extra: Tensor, batch: list[Segment], share: float) -> Tensor:
    """A method's extra term for one micro-batch: the sum of its per-pair values, or its share of a scalar."""
    if extra.shape == ():
        return share * extra
    count = sum(len(segment.pairs) for segment in batch)
    if extra.shape != (count,):
        raise ShapeError(f"extra term {name!r} has shape {tuple(extra.shape)}, expected a scalar, (), or one value per "
                         f"rendered pair, ({count},)")
    return extra.sum()


def _penalties(job: Job, parameters: Mapping[str, Tensor]) -> TermList:
    """Accumulate the gradient of the losses' parameter penalties."""
    value: Tensor | None = None
    terms: TermList = []
    for label, loss in job.losses.items():
        weights = loss.weights()
        for name, number in loss.penalty(parameters).items():
            if name not in weights or number.shape != ():
                raise ShapeError(
                    f"loss {label!r}: penalty {name!r} has shape {tuple(number.shape)} and weight {weights.get(name)}; "
                    "each must be a scalar, (), with a weight of the same name"
                )
            value = weights[name] * number + (0.0 if value is None else value)
            terms.append((f"{label}/{name}", number.detach()))
    if value is None:
        return terms
    if value.requires_grad:
        value.backward()
    return [*terms, ("total", value.detach())]


def _check_term(segment: Segment, name: str, numbers: Tensor, weights: dict[str, float]) -> None:
    if name not in weights or numbers.shape != (len(segment.pairs),):
        raise ShapeError(
            f"loss {segment.name!r}: term {name!r} has shape {tuple(numbers.shape)} and weight {weights.get(name)}; "
            f"each term needs one value per pair, ({len(segment.pairs)},), and a weight of the same name"
        )


def _micro_batches(losses: Any, pairs_by_loss: Mapping[str, Pairs], size: int) -> Iterator[list[Segment]]:
    """Split the pairs of all losses, in order, into micro-batches of at most ``size``."""
    batch: list[Segment] = []
    room = size
    for name, pairs in pairs_by_loss.items():
        start = 0
        while start < len(pairs):
            taken = min(room, len(pairs) - start)
            batch.append(Segment(name, losses[name], _cut(pairs, start, start + taken), start))
            start, room = start + taken, room - taken
            if room == 0:
                yield batch
                batch, room = [], size
    if batch:
        yield batch


def _cut(pairs: Pairs, start: int, stop: int) -> Pairs:
    views = None if pairs.views is None else pairs.views[start:stop]
    return Pairs(pairs.edited[start:stop], pairs.frozen[start:stop], views, pairs.constant)


def _render(generator: Generator, batch: list[Segment], side: str, rng: torch.Generator) -> list[Rendering]:
    """One forward pass for all segments, split by segment."""
    latents = torch.cat([getattr(segment.pairs, side) for segment in batch])
    views = None
    if batch[0].pairs.views is not None:
        views = torch.cat([segment.pairs.views for segment in batch if segment.pairs.views is not None])
    rendering = generator.render(latents, views, rng)
    sizes = [len(segment.pairs) for segment in batch]
    parts = zip(rendering.image.split(sizes), rendering.features.split(sizes), strict=True)
    return [Rendering(image, features) for image, features in parts]


def _render_frozen(job: Job, batch: list[Segment], cache: dict[Any, Rendering]) -> list[Rendering]:
    """The frozen side, without a graph. Cached segments are rendered on their own: rounding depends on the batch, and a
    resumed run must reproduce the same bits although it fills its cache at another step."""
    fresh = [segment for segment in batch if segment.key is None]
    with torch.no_grad():
        rendered = iter(_render(job.frozen, fresh, "frozen", job.rng) if fresh else [])
        for segment in batch:
            if segment.key is not None and segment.key not in cache:
                cache[segment.key] = _render(job.frozen, [segment], "frozen", job.rng)[0]
    return [next(rendered) if segment.key is None else cache[segment.key] for segment in batch]


# ---------------------------------------------------------------- resume

def _snapshot(
    done: int, parameters: dict[str, nn.Parameter], adam: torch.optim.Adam, job: Job
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    tensors = {f"parameter/{name}": value.detach() for name, value in parameters.items()}
    for name, parameter in parameters.items():
        tensors.update({f"adam/{key}/{name}": value for key, value in adam.state[parameter].items()})
    for label, loss in job.losses.items():
        tensors.update({f"loss/{label}/{key}": value.detach() for key, value in loss.memory().items()})
    state = base64.b64encode(bytes(job.rng.get_state().tolist())).decode()
    return tensors, {"step": done, "rng": state}


def _restore(
    tensors: dict[str, Tensor], values: dict[str, Any], parameters: dict[str, nn.Parameter],
    adam: torch.optim.Adam, job: Job,
) -> int:
    """Restore the state after ``values['step']`` steps; returns that number."""
    on_device = adam.defaults["capturable"]  # then Adam keeps its step count on the device
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(tensors[f"parameter/{name}"])
            adam.state[parameter] = {
                key: tensors[f"adam/{key}/{name}"].clone().to(
                    "cpu" if key == "step" and not on_device else parameter.device
                )
                for key in ("step", "exp_avg", "exp_avg_sq") if f"adam/{key}/{name}" in tensors
            }
            if not adam.state[parameter]:
                del adam.state[parameter]  # it never had a gradient
    for label, loss in job.losses.items():
        start = f"loss/{label}/"
        memory = {key.removeprefix(start): value for key, value in tensors.items() if key.startswith(start)}
        if memory:
            loss.recall(memory)
    job.rng.set_state(torch.tensor(list(base64.b64decode(values["rng"])), dtype=torch.uint8))
    return int(values["step"])
