"""How much the bench does: the numbers of the profiles, all in one place. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from unlearnkit.errors import ConfigError, nearest

__all__ = ["FULL", "PHOTOREAL", "PHOTOREAL_TUNE", "PROFILES", "QUICK", "SCENARIOS", "TUNE", "Profile", "adjusted"]

SCENARIOS = {
    "random": "a latent that is drawn; there are no other pictures of this person",
    "ind": "somebody whose pictures the generator was trained on; one picture is erased, two judge",
    "ood": "somebody unlike all whom the generator was trained on; one picture is erased, two judge",
    "multi": "two pictures of somebody held out are erased together, two judge",
    "inverted": "a photorealistic person who is drawn; one picture is inverted and erased, two of other looks judge",
    "tune": "people on whom settings are tuned, and nothing is judged",
}


@attrs.frozen
class Profile:
    """What every method is granted, and on how many people it is tried.

    * ``identities``: how many people of each scenario, by generator
    * ``steps``: of every method that takes steps, by generator; without a number each method takes its own
    * ``samples``: random pictures that each estimate is made from
    * ``learning_rate``: of methods that have one and were not tuned; what tuning tries is in proportion to it
    * ``second_judge``: an identity encoder that judges too, if its file is here; never one that a loss uses
    * ``settings``: for every method alike; dotted. What was tuned for a method goes before them
    * ``overrides``: what the user sets, dotted; it goes before everything else
    * ``only``: the scenarios of a generator that is too slow for all of them
    * ``audited``: (generator, scenario) on which the recovery attacks run, with their quick budgets
    """

    name: str
    generators: tuple[str, ...]
    scenarios: tuple[str, ...]
    identities: Mapping[str, int]
    seeds: int
    steps: Mapping[str, int]
    samples: int
    settings: Mapping[str, Any] = attrs.field(factory=dict)
    only: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict)
    audited: tuple[tuple[str, str], ...] = ()
    overrides: Mapping[str, Any] = attrs.field(factory=dict)
    learning_rate: float = 1e-3
    second_judge: str | None = None

    @property
    def tunes(self) -> bool:
        """True if settings are tried and nothing is judged."""
        return "tune" in self.scenarios

    def scenarios_of(self, generator: str) -> tuple[str, ...]:
        """The scenarios that are done on a generator."""
        return tuple(name for name in self.scenarios if name in self.only.get(generator, self.scenarios))


QUICK = Profile(
    name="quick", generators=("stylegan2",), scenarios=("ind",), identities={"stylegan2": 2, "eg3d": 2}, seeds=1,
    steps={"stylegan2": 10, "eg3d": 5}, samples=40,
    settings={"metrics.names": ["identity", "preservation", "distribution"]},
)
FULL = Profile(
    name="full", generators=("stylegan2", "eg3d"), scenarios=("random", "ind", "ood", "multi"),
    identities={"stylegan2": 3, "eg3d": 2}, seeds=1,
    steps={"stylegan2": 30, "eg3d": 20}, samples=100, only={"eg3d": ("ind",)},
    audited=(("stylegan2", "ind"), ("eg3d", "ind")),
)
TUNE = Profile(
    name="tune", generators=("stylegan2",), scenarios=("tune",), identities={"stylegan2": 2}, seeds=1,
    steps=FULL.steps, samples=40, settings=QUICK.settings,
)
PHOTOREAL = Profile(
    name="photoreal", generators=("mobilestylegan",), scenarios=("random", "inverted"),
    identities={"mobilestylegan": 8}, seeds=1, steps={"mobilestylegan": 20}, samples=8, learning_rate=2e-4,
    second_judge="mobilefacenet",
    settings={
        # A picture takes half a second of one core, and a step of GUIDE two or three: few are drawn, and methods train
        # on drafts, for 20 steps as a run there does.
        "generator.output_size": 256, "generator.training_resolution": 256, "request.align": False,
        "identity.name": "sface", "perceptual.name": "st-lpips", "judge.name": "dlib",
        "inverter.name": "mobilestylegan-encoder",
        "metrics.names": ["identity", "preservation", "distribution", "faces"],
    },
)
"""Photorealistic people, drawn when they are first needed; the user has fetched generator and networks."""
PHOTOREAL_TUNE = attrs.evolve(
    PHOTOREAL, name="photoreal-tune", scenarios=("tune",), identities={"mobilestylegan": 2}, second_judge=None,
    settings={**PHOTOREAL.settings, "metrics.names": ["identity", "preservation"]},
)
PROFILES = {profile.name: profile for profile in (QUICK, FULL, TUNE, PHOTOREAL, PHOTOREAL_TUNE)}


def adjusted(
    profile: Profile, *, generators: Sequence[str] = (), scenarios: Sequence[str] = (), identities: int | None = None,
    seeds: int | None = None, steps: int | None = None, samples: int | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Profile:
    """The profile with what a user changes in it.

    :raises ConfigError: for a scenario that does not exist.
    """
    for name in scenarios:
        if name not in SCENARIOS:
            raise ConfigError(f"scenarios: got {name!r}, expected {', '.join(SCENARIOS)}{nearest(name, SCENARIOS)}")
    changes: dict[str, Any] = {
        "generators": tuple(generators), "scenarios": tuple(scenarios), "seeds": seeds, "samples": samples,
        "overrides": overrides,
    }
    if scenarios:
        changes["only"] = {generator: tuple(scenarios) for generator in profile.only}
    for name, number in (("steps", steps), ("identities", identities)):
        if number is not None:
            changes[name] = dict.fromkeys(generators or profile.generators, number)
    return attrs.evolve(profile, **{name: value for name, value in changes.items() if value})
