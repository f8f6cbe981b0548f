"""What is run: one case for each method, generator, scenario, person and seed of a profile, and its settings."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from unlearnkit.bench import drawn
from unlearnkit.bench.profiles import Profile
from unlearnkit.bench.scenarios import Identity, identities
from unlearnkit.bench.tuned import Table, Tuned, tuned_for
from unlearnkit.config import Settings, merge, nest, resolve
from unlearnkit.errors import ConfigError, RunError, UnlearnkitError
from unlearnkit.interfaces import Method
from unlearnkit.plugins import registry
from unlearnkit.results import Budget, Found, Result, read_results
from unlearnkit.results.files import case_file

__all__ = ["LEARNING_RATE", "Case", "cases", "check_same", "finished", "learning_rate", "portable"]

LEARNING_RATE = 1e-3
"""A usual one where weights are as large as StyleGAN2's, and what methods declare for tuning is meant for that."""


@attrs.frozen
class Case:
    """What is run once; ``tuned`` are settings of this method on this generator, and how many were tried."""

    profile: Profile
    method: str
    generator: str
    scenario: str
    identity: Identity
    seed: int
    tuned: Tuned = attrs.field(factory=Tuned)

    @property
    def id(self) -> str:
        """The same as that of its result."""
        return f"{self.generator}.{self.scenario}.{self.method}.{self.identity.name}.{self.seed}"

    @property
    def budget(self) -> Budget:
        """What every method is granted."""
        return Budget(self.profile.steps.get(self.generator), self.tuned.trials, self.profile.samples)

    @property
    def audited(self) -> bool:
        """True if the recovery attacks run on this case."""
        return (self.generator, self.scenario) in self.profile.audited

    def settings(self) -> Settings:
        """Complete settings, resolved with the registry as the command line does."""
        given = nest({
            "method.name": self.method, "generator.name": self.generator, "seed": self.seed,
            "metrics.samples": self.profile.samples,
        })
        given["request"] = dict(self.identity.request)
        profile = self.profile
        for table in (self._shared(), profile.settings, self._second_judge(), self.tuned.settings, profile.overrides):
            given = merge(given, nest(dict(table)))
        return resolve(given, registry())

    def _shared(self) -> dict[str, Any]:
        """The same steps and, until it is tuned, the same learning rate for every method that has such an option."""
        options, profile = attrs.fields_dict(registry().component_class("method", self.method)), self.profile
        offered = {"steps": profile.steps.get(self.generator), "learning_rate": learning_rate(self.method, profile)}
        return {f"method.{name}": value for name, value in offered.items() if name in options and value is not None}

    def _second_judge(self) -> dict[str, Any]:
        """The metric of the profile's second judge, where its file is and the user has not chosen otherwise."""
        judge, offered, chosen = self.profile.second_judge, self.profile.settings, self.profile.overrides
        taken = judge in (chosen.get("judge.name"), chosen.get("identity.name"))
        if judge is None or taken or "metrics.names" in chosen or not _is_here(judge):
            return {}
        return {"metrics.names": [*offered.get("metrics.names", ()), "second-judge"],
                "metric.second-judge.encoder": judge}


def learning_rate(method: str, profile: Profile) -> float:
    """A usual learning rate of a method: the profile's for the generator's weights.

    A method that adds modules of its own trains these, and they are as large in every generator.
    """
    cls: Any = registry().component_class("method", method)
    own_modules = cls.attach is not Method.attach
    return LEARNING_RATE if own_modules else profile.learning_rate


def _is_here(encoder: str) -> bool:
    """True if the files and packages of an identity encoder are there."""
    try:
        registry().component_class("identity", encoder)().check()
    except UnlearnkitError:
        return False
    return True


def cases(profile: Profile, methods: Sequence[str] = (), tuned: Table | None = None) -> list[Case]:
    """Every case of a profile, people outermost: a bench that is stopped early has compared all methods on some.

    The first person of every scenario comes first, then the second ones, and so on.

    ``methods``: all that are registered, unless some are named; ``tuned``: none but for :func:`read_tuned`'s.

    :raises PluginError: if a method or generator is not there; ConfigError: if there is nothing to do.
    """
    chosen = tuple(dict.fromkeys(methods)) or registry().names("method")
    for kind, names in (("method", chosen), ("generator", profile.generators)):
        for name in names:
            registry().get(kind, name)
    found = []
    for generator in profile.generators:
        people = [(place, scenario, identity) for scenario in profile.scenarios_of(generator) for place, identity in
                  enumerate(identities(scenario, generator, profile.identities.get(generator, 1)))]
        people.sort(key=lambda who: who[0])
        found += [
            Case(profile, method, generator, scenario, identity, seed, tuned_for(tuned or {}, generator, method))
            for _, scenario, identity in people for seed in range(profile.seeds) for method in chosen
        ]
    if not found:
        raise ConfigError(f"there is no case of {', '.join(profile.generators)} in {', '.join(profile.scenarios)}; "
                          "name another generator or scenario")
    return found


def finished(folder: Path, case: Case) -> Result | None:
    """The result that a folder already has of this very case, or None.

    :raises RunError: if the folder's result was made with another profile, budget or settings.
    """
    path = case_file(folder, case.id)
    if not path.exists():
        return None
    advice = "do it once more with --again, or give a new folder with --results"
    return check_same(read_results([path])[0], case, advice)


def check_same(found: Found, case: Case, advice: str) -> Result:
    """The result that was found, if it is of this very case; ``advice`` ends the message.

    :raises RunError: if it was made with another profile, budget or settings.
    """
    result, path = found.result, found.file
    if (result.profile, result.budget) != (case.profile.name, case.budget):
        raise RunError(f"{path} is of the profile {result.profile} ({result.budget}), this is {case.profile.name} "
                       f"({case.budget}); {advice}")
    if result.settings and result.settings != portable(case.settings().table()):
        raise RunError(f"{path} was made with other settings than this case has now; {advice}")
    return result


def portable(value: Any) -> Any:
    """Settings whose paths below the packages' folders are relative to these: nobody else has the same folders."""
    return _shortened(value, _roots())


def _shortened(value: Any, roots: tuple[str, ...]) -> Any:
    if isinstance(value, Mapping):
        return {key: _shortened(item, roots) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_shortened(item, roots) for item in value]
    if isinstance(value, str):
        return next((value.removeprefix(root) for root in roots if value.startswith(root)), value)
    return value


def _roots() -> tuple[str, ...]:
    """The folders that unlearnkit and the packages of its plugins lie in, and that of drawn people."""
    paths = (registration.path for plugin in registry().plugins for registration in plugin.registrations)
    packages = {"unlearnkit", *(path.partition(":")[0].partition(".")[0] for path in paths)}
    files = [getattr(sys.modules.get(name), "__file__", None) for name in sorted(packages)]
    roots = {f"{Path(file).parents[1]}/" for file in files if file} | {f"{drawn.folder().parent}/"}
    return tuple(sorted(roots, key=len, reverse=True))  # a plugin of a checkout lies below the checkout
