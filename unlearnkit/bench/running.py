"""One case of the bench, in this process: settings as the command line resolves them, unlearn, measure, record."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import attrs
import torch
from torch import Tensor

from unlearnkit.bench.auditing import audit
from unlearnkit.bench.cases import Case, portable
from unlearnkit.bench.memory import PeakMemory
from unlearnkit.engine.machine import applied
from unlearnkit.engine.precision import make_measures
from unlearnkit.errors import UnlearnkitError
from unlearnkit.interfaces import Evidence, Job, Request
from unlearnkit.metrics.gallery import Gallery
from unlearnkit.ops import native
from unlearnkit.people import requests
from unlearnkit.report.pictures import png
from unlearnkit.results import Hardware, Result
from unlearnkit.runs import manifest
from unlearnkit.streams import stream
from unlearnkit.workflows import assembly

__all__ = ["run_case"]

Around = Callable[[Callable[[], None]], object]


def run_case(case: Case, around: Around = lambda work: work()) -> tuple[Result, dict[str, bytes]]:
    """Erase and measure; returns the result and its pictures as PNG by role.

    ``around`` is called with the unlearning itself, and must call it once: what it measures is that alone. A method
    that cannot do it (any UnlearnkitError) gives a result too, with the error in it; bugs are raised.
    """
    timings = assembly.Timings()
    facts = manifest.facts()
    hardware = Hardware(facts["cpu"], facts["threads"], facts["platform"], "cpu")
    settings: dict[str, Any] = {}
    try:
        settings = case.settings()
        device = assembly.pick_device(settings["device"])
        with applied(settings) as used:
            kernels, instructions = native.in_use(device.type)
            hardware = attrs.evolve(
                hardware, threads=used["threads"], device=str(device), kernels=kernels, instructions=instructions)
            found, pictures = _execute(case, settings, device, timings, around)
    except UnlearnkitError as error:
        found, pictures = {"error": " ".join(str(error).split())}, {}
    result = Result(
        profile=case.profile.name, method=case.method, generator=case.generator, scenario=case.scenario,
        identity=case.identity.name, seed=case.seed, budget=case.budget, settings=portable(settings),
        versions={**facts["plugins"], **facts["versions"]}, hardware=hardware, seconds=timings.seconds, **found,
    )
    return result, pictures


def _execute(
    case: Case, settings: dict[str, Any], device: torch.device, timings: assembly.Timings, around: Around
) -> tuple[dict[str, Any], dict[str, bytes]]:
    with timings("load"):
        parts = assembly.assemble(settings, device)
        frozen = copy.deepcopy(parts.generator)
    request, timings.seconds["invert"] = _request(settings, parts, device)
    with timings("target"):
        targets = assembly.choose_targets(settings, parts, request.erased)
    job = Job(
        edited=parts.generator, frozen=frozen, erased=request.erased, targets=targets, losses=parts.losses,
        measures=make_measures(parts.perceptual, parts.identity, device, settings.get("precision")),
        rng=stream(case.seed, "loop"), seed=case.seed, device=device, selector=parts.target,
        cuda_graph=settings["cuda_graph"],
    )
    with PeakMemory(device) as peak, timings("unlearn"):
        around(lambda: parts.method.unlearn(job))
    evidence = Evidence(
        frozen=frozen, edited=parts.generator, request=request, judge=parts.judge, perceptual=parts.perceptual,
        seed=case.seed, samples=settings["metrics"]["samples"],
    )
    with timings("measure"):
        numbers = {name: value for metric in parts.metrics.values() for name, value in metric.measure(evidence).items()}
    found: dict[str, Any] = {
        "metrics": {name: _finite(value) for name, value in numbers.items() if not name.startswith("n_")},
        "samples": {name.removeprefix("n_"): int(n) for name, n in numbers.items() if name.startswith("n_")},
        "embedding": _replacement(evidence), "peak_bytes": peak.bytes, "peak_source": peak.source,
    }
    if case.audited:
        with timings("audit"):
            found["audit"] = audit(evidence, targets, parts.identity, device)
    return found, _pictures(evidence, targets)


_REQUESTS: dict[str, tuple[Request, float]] = {}


def _request(settings: Mapping[str, Any], parts: assembly.Parts, device: torch.device) -> tuple[Request, float]:
    """The people, and the seconds that it took to find them: all methods meet the same latents, so once is enough."""
    asked = [settings[name] for name in ("request", "generator", "inverter", "seed", "device") if name in settings]
    key = json.dumps(asked, sort_keys=True)
    if key not in _REQUESTS:
        if len(_REQUESTS) > 3:
            del _REQUESTS[next(iter(_REQUESTS))]
        timings = assembly.Timings()
        with timings("invert"):
            request = requests.make_request(
                settings["request"], parts.generator, parts.inverter, settings["seed"], device)
        _REQUESTS[key] = request, timings.seconds["invert"]
    return _REQUESTS[key]


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
