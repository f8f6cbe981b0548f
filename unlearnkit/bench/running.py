"""One case of the bench, in this process: an experiment in memory, and what is kept of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from unlearnkit.bench import drawn
from unlearnkit.bench.auditing import audit
from unlearnkit.bench.cases import Case, portable
from unlearnkit.bench.memory import PeakMemory
from unlearnkit.bench.remembering import RememberingInverter, remembered
from unlearnkit.config import Settings
from unlearnkit.errors import UnlearnkitError
from unlearnkit.interfaces import Evidence
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
        drawn.draw(case.identity.drawn)
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
    _find_people(experiment, bool(case.identity.drawn))
    with PeakMemory(experiment.device) as peak:
        around(experiment.unlearn)
    attacked, generator = experiment.evidence, experiment.settings.generator.table()
    experiment.evidence = evidence = remembered(attacked, repr((generator, experiment.settings.precision)))
    outcome = experiment.measure()
    numbers = outcome.numbers
    found: dict[str, Any] = {
        "metrics": {name: _finite(value) for name, value in numbers.items() if not name.startswith("n_")},
        "samples": {name.removeprefix("n_"): int(n) for name, n in numbers.items() if name.startswith("n_")},
        "numbers": outcome.declared, "peak_bytes": peak.bytes, "peak_source": peak.source,
    }
    targets = experiment.targets
    if case.audited:
        with experiment.phase("audit"):
            found["audit"] = audit(attacked, targets, experiment.parts.identity, experiment.device)
    with experiment.phase("measure"):
        found["embedding"] = _replacement(evidence)
        return found, _pictures(evidence, targets)


def _hardware(facts: dict[str, Any], experiment: Experiment | None) -> Hardware:
    """What it ran on: the threads that were applied, the kernels that were used."""
    device = torch.device("cpu") if experiment is None else experiment.device
    threads = facts["threads"] if experiment is None else experiment.machine["threads"]
    return Hardware(facts["cpu"], threads, facts["platform"], str(device), *native.in_use(device.type))


def _find_people(experiment: Experiment, drawn_people: bool) -> None:
    """The experiment's people; ``seconds["invert"]`` is what they took when their latents were found.

    The latents of ``drawn_people`` are kept on the disk: they take minutes.
    """
    settings, inverter = experiment.settings, experiment.parts.inverter
    if inverter is None or settings.inverter is None:
        experiment.find_people()
        return
    key = repr((settings.generator.table(), experiment.frozen.base.sha256, settings.inverter.table(),
                experiment.device, settings.precision))
    folder = drawn.folder() / "latents" if drawn_people else None
    experiment.parts.inverter = remembering = RememberingInverter(inverter, key, folder)
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
