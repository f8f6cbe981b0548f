"""One case of the bench, in this process: settings as the command line resolves them, unlearn, measure, record."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import Tensor

from benchmarks.auditing import audit
from benchmarks.memory import PeakMemory
from benchmarks.profiles import Profile
from benchmarks.scenarios import Identity, identities
from unlearnkit.config import nest, resolve
from unlearnkit.errors import RunError, UnlearnkitError
from unlearnkit.interfaces import Evidence, Generator, Job, Measures, Request
from unlearnkit.metrics.gallery import Gallery
from unlearnkit.people import requests
from unlearnkit.plugins import registry
from unlearnkit.report.pictures import png
from unlearnkit.results import Budget, Hardware, Result, read_results
from unlearnkit.results.files import case_file
from unlearnkit.runs import manifest
from unlearnkit.streams import stream
from unlearnkit.workflows import assembly

__all__ = ["LEARNING_RATE", "Case", "cases", "finished", "run_case"]

ROOT = Path(__file__).parents[1]
TUNED = Path(__file__).with_name("tuned.json")
LEARNING_RATE = 1e-3
"""Of every method that has one and was not tuned."""
Around = Callable[[Callable[[], None]], object]


@attrs.frozen
class Case:
    """What is run once; ``tuned`` are settings of this method on this generator, ``trials`` how many were tried."""

    profile: Profile
    method: str
    generator: str
    scenario: str
    identity: Identity
    seed: int
    tuned: Mapping[str, Any] = attrs.field(factory=dict)
    trials: int = 0

    @property
    def id(self) -> str:
        """The same as that of its result."""
        return f"{self.generator}.{self.scenario}.{self.method}.{self.identity.name}.{self.seed}"

    @property
    def budget(self) -> Budget:
        """What every method is granted."""
        return Budget(self.profile.steps.get(self.generator), self.trials, self.profile.samples)

    def settings(self) -> dict[str, Any]:
        """Complete settings, resolved with the registry as the command line does."""
        said = nest({
            "method.name": self.method, "generator.name": self.generator, "seed": self.seed,
            "metrics.samples": self.profile.samples, **self.profile.settings,
        })
        said["request"] = dict(self.identity.request)
        said["method"] |= self._shared()
        for name, value in nest(dict(self.tuned)).items():
            said[name] = {**said.get(name, {}), **value} if isinstance(value, dict) else value
        return resolve(said, registry())

    def _shared(self) -> dict[str, Any]:
        """The same steps and, until it is tuned, the same learning rate for every method that has such an option."""
        options = attrs.fields_dict(registry().component_class("method", self.method))
        offered = {"steps": self.profile.steps.get(self.generator), "learning_rate": LEARNING_RATE}
        return {name: value for name, value in offered.items() if name in options and value is not None}


def cases(profile: Profile, methods: tuple[str, ...] | None = None) -> list[Case]:
    """Every case of a profile, people outermost: a bench that is stopped early has compared all methods on some."""
    tuned = json.loads(TUNED.read_text())["generators"] if TUNED.exists() and profile.name != "tune" else {}
    found = []
    for generator in profile.generators:
        for scenario in profile.scenarios:
            if scenario not in profile.only.get(generator, profile.scenarios):
                continue
            for identity in identities(scenario, generator, profile.identities.get(generator, 1)):
                for seed in range(profile.seeds):
                    for method in methods or tuple(registry().names("method")):
                        table = _tuned(tuned, generator, method)
                        found.append(Case(profile, method, generator, scenario, identity, seed, table["settings"],
                                          table["trials"]))
    return found


def _tuned(table: dict[str, Any], generator: str, method: str) -> dict[str, Any]:
    """What was chosen for a method; on a generator where nobody tuned, what was chosen on the other one."""
    known = [table.get(generator, {}), *table.values()]
    return next((methods[method] for methods in known if method in methods), {"settings": {}, "trials": 0})


def finished(folder: Path, case: Case) -> Result | None:
    """The result that a folder already has of this very case, or None.

    :raises RunError: if the folder's result was made with another profile, budget or settings.
    """
    path = case_file(folder, case.id)
    if not path.exists():
        return None
    result = read_results([path])[0].result
    if (result.profile, result.budget) != (case.profile.name, case.budget):
        raise RunError(f"{path} is of profile {result.profile} with {result.budget}, this is {case.profile.name} with "
                       f"{case.budget}; give a new folder with --results")
    if result.settings and result.settings != _portable(case.settings()):
        raise RunError(f"{path} was made with other settings than this case has now; remove it to do the case again, "
                       "or give a new folder with --results")
    return result


# ---------------------------------------------------------------- one case

def run_case(case: Case, around: Around = lambda work: work()) -> tuple[Result, dict[str, bytes]]:
    """Erase and measure; returns the result and its pictures as PNG by role.

    ``around`` is called with the unlearning itself, and must call it once: what it measures is that alone. A method
    that cannot do it (any UnlearnkitError) gives a result too, with the error in it; bugs are raised.
    """
    timings = assembly.Timings()
    facts = manifest.facts()
    fixed: dict[str, Any] = {
        "profile": case.profile.name, "method": case.method, "generator": case.generator, "scenario": case.scenario,
        "identity": case.identity.name, "seed": case.seed, "budget": case.budget,
        "versions": {**facts["plugins"], **facts["versions"]},
    }
    hardware = Hardware(facts["cpu"], facts["threads"], facts["platform"], "cpu")
    settings: dict[str, Any] = {}
    try:
        settings = case.settings()
        device = assembly.pick_device(settings["device"])
        hardware = attrs.evolve(hardware, device=str(device))
        found, pictures = _execute(case, settings, device, timings, around)
    except UnlearnkitError as error:
        found, pictures = {"error": " ".join(str(error).split())}, {}
    result = Result(**fixed, settings=_portable(settings), hardware=hardware, seconds=timings.seconds, **found)
    return result, pictures


def _execute(
    case: Case, settings: dict[str, Any], device: torch.device, timings: assembly.Timings, around: Around
) -> tuple[dict[str, Any], dict[str, bytes]]:
    with timings("load"):
        parts = assembly.assemble(settings, device)
        source = copy.deepcopy(parts.generator)
    request, timings.seconds["invert"] = _request(settings, parts, device)
    with timings("target"):
        targets = assembly.choose_targets(settings, parts, request.erased)
    job = Job(
        edited=parts.generator, frozen=source, erased=request.erased, targets=targets, losses=parts.losses,
        measures=Measures(parts.perceptual, parts.identity), rng=stream(case.seed, "loop"), seed=case.seed,
        device=device, selector=parts.target,
    )
    with PeakMemory(device) as peak, timings("unlearn"):
        around(lambda: parts.method.unlearn(job))
    evidence = Evidence(
        frozen=source, edited=parts.generator, request=request, judge=parts.judge, perceptual=parts.perceptual,
        seed=case.seed, samples=case.profile.samples,
    )
    with timings("measure"):
        numbers = {name: value for metric in parts.metrics.values() for name, value in metric.measure(evidence).items()}
    found: dict[str, Any] = {
        "metrics": {name: _finite(value) for name, value in numbers.items() if not name.startswith("n_")},
        "samples": {name.removeprefix("n_"): int(n) for name, n in numbers.items() if name.startswith("n_")},
        "embedding": _replacement(evidence), "peak_bytes": peak.bytes, "peak_source": peak.source,
    }
    if (case.generator, case.scenario) in case.profile.audited:
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
        pictures[role] = _front(generator, latents[:1])
    return {role: png(image) for role, image in pictures.items()}


def _front(generator: Generator, latent: Tensor) -> Tensor:
    return generator.render_front(latent)[0]


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _portable(value: Any) -> Any:
    """Paths below the repository become relative to it: results are kept, and nobody else has that folder."""
    if isinstance(value, dict):
        return {key: _portable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_portable(item) for item in value]
    return value.removeprefix(f"{ROOT}/") if isinstance(value, str) else value
