"""One case of the bench, in this process: an experiment in memory, and what is kept of it."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from unlearnkit.bench.auditing import audit
from unlearnkit.bench.cases import Case, portable
from unlearnkit.bench.memory import PeakMemory
from unlearnkit.config import Settings
from unlearnkit.errors import UnlearnkitError
from unlearnkit.interfaces import Evidence, Generator, Inverter
from unlearnkit.metrics.gallery import Gallery
from unlearnkit.ops import native
from unlearnkit.report.pictures import png
from unlearnkit.results import Hardware, Result
from unlearnkit.runs import manifest
from unlearnkit.workflows.experiment import Experiment, load

__all__ = ["run_case"]

Around = Callable[[Callable[[], None]], object]


def run_case(case: Case, around: Around = lambda work: work()) -> tuple[Result, dict[str, bytes]]:
    """Erase and measure; returns the result and its pictures as PNG by role.

    ``around`` is called with the unlearning itself, and must call it once: what it measures is that alone. A method
    that cannot do it (any UnlearnkitError) gives a result too, with the error in it; bugs are raised.
    """
    facts = manifest.facts()
    settings: Settings | None = None
    experiment: Experiment | None = None
    pictures: dict[str, bytes] = {}
    try:
        settings = case.settings()
        experiment = load(settings)
        found, pictures = _execute(case, experiment, around)
    except UnlearnkitError as error:
        found = {"error": " ".join(str(error).split())}
    result = Result(
        profile=case.profile.name, method=case.method, generator=case.generator, scenario=case.scenario,
        identity=case.identity.name, seed=case.seed, budget=case.budget,
        settings={} if settings is None else portable(settings.table()),
        versions={**facts["plugins"], **facts["versions"]}, hardware=_hardware(facts, experiment),
        seconds={} if experiment is None else experiment.seconds, **found,
    )
    return result, pictures


def _execute(case: Case, experiment: Experiment, around: Around) -> tuple[dict[str, Any], dict[str, bytes]]:
    _find_people(experiment)
    with PeakMemory(experiment.device) as peak:
        around(experiment.unlearn)
    outcome = experiment.measure()
    numbers = outcome.numbers
    found: dict[str, Any] = {
        "metrics": {name: _finite(value) for name, value in numbers.items() if not name.startswith("n_")},
        "samples": {name.removeprefix("n_"): int(n) for name, n in numbers.items() if name.startswith("n_")},
        "numbers": outcome.declared, "peak_bytes": peak.bytes, "peak_source": peak.source,
    }
    evidence, targets = experiment.evidence, experiment.targets
    if case.audited:
        with experiment.phase("audit"):
            found["audit"] = audit(evidence, targets, experiment.parts.identity, experiment.device)
    with experiment.phase("measure"):
        found["embedding"] = _replacement(evidence)
        return found, _pictures(evidence, targets)


def _hardware(facts: dict[str, Any], experiment: Experiment | None) -> Hardware:
    """What it ran on: the threads that were applied, the kernels that were used."""
    device = torch.device("cpu") if experiment is None else experiment.device
    threads = facts["threads"] if experiment is None else experiment.machine["threads"]
    return Hardware(facts["cpu"], threads, facts["platform"], str(device), *native.in_use(device.type))


# ---------------------------------------------------------------- latents are found once

_FOUND: dict[str, tuple[Tensor, float]] = {}
"""Latents of pictures, and the seconds that it took to find them."""


class _Remembering(Inverter):
    """An inverter that does not look again for what it found before: all methods meet the same latents, to the bit.

    ``saved``: the seconds that the latents took the first time which were remembered.
    """

    def __init__(self, inverter: Inverter, key: str) -> None:
        self._inverter, self._key, self.saved = inverter, key, 0.0

    def invert(self, images: Tensor, generator: Generator) -> Tensor:
        """Latents ``(N, num_ws, w_dim)`` of images ``(N, 3, H, W)``."""
        digest = hashlib.sha256(images.cpu().numpy().tobytes()).hexdigest()
        known = _FOUND.get(self._key + digest)
        if known is not None:
            self.saved += known[1]
            return known[0].clone()
        started = time.monotonic()
        latents = self._inverter.invert(images, generator).detach()
        _FOUND[self._key + digest] = latents.clone(), time.monotonic() - started
        return latents


def _find_people(experiment: Experiment) -> None:
    """The experiment's people; ``seconds["invert"]`` is what they took when their latents were found."""
    settings, inverter = experiment.settings, experiment.parts.inverter
    if inverter is None or settings.inverter is None:
        experiment.find_people()
        return
    key = repr((settings.generator.table(), settings.inverter.table(), experiment.device, settings.precision))
    experiment.parts.inverter = remembering = _Remembering(inverter, key)
    experiment.find_people()
    experiment.seconds["invert"] = round(experiment.seconds["invert"] + remembering.saved, 3)


# ---------------------------------------------------------------- what is kept

def _replacement(evidence: Evidence) -> tuple[float, ...] | None:
    """The judge's unit embedding of who took the first person's place, from the front."""
    seen = Gallery.of(evidence).faces(evidence.request.people[0]).after[0]
    front = torch.nn.functional.normalize(seen[len(seen) // 2].double(), dim=0)
    return tuple(round(value, 6) for value in front.tolist()) if front.isfinite().all() else None


@torch.no_grad()
def _pictures(evidence: Evidence, targets: Tensor) -> dict[str, bytes]:
    person = evidence.request.people[0]
    pictures = {} if person.pictures is None else {"picture": person.pictures[0]}
    for role, generator, latents in (
        ("before", evidence.frozen, person.latents), ("target", evidence.frozen, targets),
        ("after", evidence.edited, person.latents),
    ):
        pictures[role] = generator.render_front(latents[:1])[0]
    return {role: png(image) for role, image in pictures.items()}


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
