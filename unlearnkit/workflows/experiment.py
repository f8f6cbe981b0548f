"""An experiment in memory: load, find the people, unlearn, measure. No folder, no console.

    experiment = prepare(settings)      # load(settings) and find_people()
    experiment.unlearn(progress)
    outcome = experiment.measure()

Run directories, benchmark cases, audits and the Python API are thin shells around it, so that device, threads,
precision, random streams and CUDA graphs are handled here and nowhere else.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import Tensor

from unlearnkit.config import Settings
from unlearnkit.edits import file as edit_files
from unlearnkit.edits.chain import Chain
from unlearnkit.engine import freeze
from unlearnkit.engine.machine import applied
from unlearnkit.engine.precision import make_measures, trains_in_bfloat16
from unlearnkit.errors import ConfigError
from unlearnkit.interfaces import Evidence, Generator, Job, Measures, Person, Progress, Request
from unlearnkit.metrics.measuring import declared, measured
from unlearnkit.numbers import Number
from unlearnkit.ops.reduced import bfloat16_maps
from unlearnkit.people.latents import load_people
from unlearnkit.people.requests import Album, make_request, read_album
from unlearnkit.streams import stream
from unlearnkit.workflows.assembly import Parts, assemble, check_draws, pick_device

__all__ = ["Experiment", "Outcome", "load", "prepare"]


@attrs.frozen
class Outcome:
    """The results of the metrics: ``numbers`` by name, in the order in which they were measured.

    ``declared`` holds their titles, directions and so on; numbers that no metric declared are missing from it.
    """

    numbers: dict[str, float]
    declared: dict[str, Number]


@attrs.define(eq=False, slots=False)
class Experiment:
    """The components, people and state of one experiment.

    * ``parts``: all prepared components; ``parts.generator`` is the edited generator
    * ``frozen``: a copy of the generator before unlearning; ``original`` is the unmodified checkpoint if ``frozen`` has
      an earlier edit applied, otherwise None
    * ``request``, ``targets`` ``(P, num_ws, w_dim)``: available after :meth:`find_people`
    * ``seconds``: time of each phase; ``machine``: threads, allocator and precision as applied
    """

    settings: Settings
    device: torch.device
    parts: Parts
    frozen: Generator
    original: Generator | None = None
    chain: Chain | None = None
    album: Album | None = None
    seconds: dict[str, float] = attrs.field(factory=dict)
    machine: dict[str, Any] = attrs.field(factory=dict)
    _people: tuple[Request, Tensor] | None = None

    # ------------------------------------------------------------ state

    @property
    def edited(self) -> Generator:
        """The generator that is edited in place."""
        return self.parts.generator

    @property
    def request(self) -> Request:
        """The people, with their latents; available after :meth:`find_people`."""
        return self._request_and_targets[0]

    @property
    def targets(self) -> Tensor:
        """The target of each latent to erase ``(P, num_ws, w_dim)``."""
        return self._request_and_targets[1]

    @property
    def _request_and_targets(self) -> tuple[Request, Tensor]:
        if self._people is None:
            raise RuntimeError("the people are not known yet: call find_people() first")
        return self._people

    @cached_property
    def evidence(self) -> Evidence:
        """Input of metrics, attacks and reports; a single object, so that they share cached renderings."""
        return Evidence(
            self.frozen, self.edited, self.request, self.parts.judge, self.parts.perceptual, self.settings.seed,
            self.settings.samples, self.original,
        )

    @property
    def declared(self) -> dict[str, Number]:
        """The declarations of the metrics' numbers.

        :raises ConfigError: if two metrics declare the same one.
        """
        return declared(self.parts.metrics, self.evidence.about)

    # ------------------------------------------------------------ phases

    def find_people(self, known: tuple[Request, Tensor] | None = None) -> None:
        """Invert the pictures, draw the people given by seed, choose the targets.

        ``known``: a saved request and its targets, used as they are.

        :raises ConfigError: if the target selector returns another shape, or values that are not finite.
        """
        with self.phase("invert"):
            if known is not None:
                self._people = known
                self._fit_target(known[0].erased)
                return
            if self.album is None:
                self.album = read_album(self.settings.request, self.edited.resolution)
            earlier: tuple[Person, ...] = ()
            if self.chain is not None and self.chain.latents is not None:
                before = load_people(self.chain.latents, self.device)[0]
                earlier = (*before.earlier, *before.people)
            request = make_request(
                self.settings.request, self.album, self.edited, self.parts.inverter, self.settings.seed, self.device,
                earlier,
            )
        with self.phase("target"):
            self._people = request, self._choose_targets(request.erased)

    def unlearn(self, progress: Progress | None = None) -> None:
        """Run the method on the generator.

        :raises ConfigError: if no method was chosen.
        """
        if self.parts.method is None:
            raise ConfigError("no method is chosen; give --method NAME")
        with self.phase("unlearn"), self.frozen.drafting(), self.edited.drafting(), \
                bfloat16_maps(trains_in_bfloat16(self.settings.precision, self.device)):
            self.parts.method.unlearn(self.job(progress))

    def job(self, progress: Progress | None = None) -> Job:
        """The input of the method."""
        measures = make_measures(self.parts.perceptual, self.parts.identity, self.device, self.settings.precision)
        return Job(
            edited=self.edited, frozen=self.frozen, erased=self.request.erased, targets=self.targets,
            losses=self.parts.losses, measures=measures, rng=stream(self.settings.seed, "loop"), device=self.device,
            progress=progress or Progress(), selector=self.parts.target, cuda_graph=self.settings.cuda_graph,
            seed=self.settings.seed,
        )

    def measure(self, starting: Callable[[str], None] = lambda metric: None) -> Outcome:
        """Run each metric on the evidence; ``starting`` is called with its name before.

        :raises PluginError: if a metric returns a number declared by another one.
        """
        with self.phase("measure"):
            numbers = measured(self.parts.metrics, self.evidence, starting)
        return Outcome(numbers, self.declared)

    def save_edit(self, path: Path) -> int:
        """Write the changed tensors to a new file; returns their number.

        :raises EditError: if nothing changed.
        """
        generator, method = self.settings.generator, self.settings.method
        return edit_files.save_edit(
            path, self.frozen, self.edited, generator.name, "" if method is None else method.name,
            {} if method is None else method.options(), self.original, self.chain,
        )

    def put_on(self, edit: Path) -> None:
        """Apply a saved edit to the generator instead of unlearning.

        :raises EditError: if it was made for another base.
        """
        edit_files.put_on(self.edited, edit)
        for generator in (self.frozen, self.edited):
            freeze(generator.module)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Context manager that applies the machine settings (threads, memory, precision) and records the time."""
        started = time.monotonic()
        with applied(self.settings, self.device) as self.machine:
            yield
        self.seconds[name] = round(self.seconds.get(name, 0.0) + time.monotonic() - started, 3)

    # ------------------------------------------------------------ targets

    def _choose_targets(self, erased: Tensor) -> Tensor:
        """The targets ``(P, num_ws, w_dim)``; without a selector, the erased latents themselves."""
        selector, choice = self.parts.target, self.settings.target
        if selector is None or choice is None:
            return erased.clone()
        self._fit_target(erased)
        with torch.no_grad():
            targets = selector.select(erased, self.edited, stream(self.settings.seed, "target"))
        if targets.shape != erased.shape or not targets.isfinite().all():
            raise ConfigError(f"target {choice.name!r} returned {tuple(targets.shape)}, expected finite "
                              f"{tuple(erased.shape)}; choose another with --target NAME")
        return targets

    def _fit_target(self, erased: Tensor) -> None:
        """Fit the target selector, also on resume: losses may ask it for more targets."""
        if self.parts.target is not None:
            freeze(self.edited.module)
            measures = Measures(self.parts.perceptual, self.parts.identity)
            with self.edited.drafting():
                self.parts.target.fit(erased, self.edited, measures, stream(self.settings.seed, "target-fit"))


def load(
    settings: Settings, chain: Chain | None = None, *, pictures: bool = True, unlearns: bool = True,
    measures: bool = True,
) -> Experiment:
    """Load networks and pictures, and apply an earlier edit: everything that can fail because of user input.

    * ``chain``: the earlier edits that ``settings.base`` names
    * ``pictures`` False: the people are known already, and their picture files may be gone
    * ``unlearns`` False: without method, target selector and losses, to evaluate an existing edit only
    * ``measures`` False: without inverter and metrics

    :raises UnlearnkitError: if a file is missing or damaged, or a picture shows no face.
    """
    started = time.monotonic()
    device = pick_device(settings.device)
    with applied(settings, device) as machine:
        parts = assemble(settings, device, unlearns=unlearns, measures=measures)
        original = None
        if chain is not None:
            original = copy.deepcopy(parts.generator)
            edit_files.put_on(parts.generator, chain.edit)
        check_draws(parts.generator)
        frozen = copy.deepcopy(parts.generator)
        album = read_album(settings.request, parts.generator.resolution) if pictures else None
    seconds = {"load": round(time.monotonic() - started, 3)}
    return Experiment(settings, device, parts, frozen, original, chain, album, seconds, machine)


def prepare(
    settings: Settings, chain: Chain | None = None, *, known: tuple[Request, Tensor] | None = None
) -> Experiment:
    """An experiment ready to unlearn: :func:`load`, then :meth:`Experiment.find_people`."""
    experiment = load(settings, chain, pictures=known is None)
    experiment.find_people(known)
    return experiment
