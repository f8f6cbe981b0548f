"""How much the bench does: the numbers of the profiles, all in one place."""

from __future__ import annotations

from typing import Any

import attrs

__all__ = ["PROFILES", "Profile"]


@attrs.frozen
class Profile:
    """What every method is granted, and on how many people it is tried.

    * ``identities``: how many people of each scenario, by generator
    * ``steps``: of every method that takes steps, by generator
    * ``samples``: random pictures that each estimate is made from
    * ``settings``: for every method alike; dotted
    * ``only``: the scenarios of a generator that is too slow for all of them
    * ``audited``: (generator, scenario) on which the recovery attacks run, with their quick budgets
    """

    name: str
    generators: tuple[str, ...]
    scenarios: tuple[str, ...]
    identities: dict[str, int]
    seeds: int
    steps: dict[str, int]
    samples: int
    settings: dict[str, Any] = attrs.field(factory=dict)
    only: dict[str, tuple[str, ...]] = attrs.field(factory=dict)
    audited: tuple[tuple[str, str], ...] = ()


QUICK = Profile(
    name="quick", generators=("stylegan2",), scenarios=("ind",), identities={"stylegan2": 2, "eg3d": 2}, seeds=1,
    steps={"stylegan2": 10, "eg3d": 5}, samples=40,
    settings={"metrics.names": ["identity", "preservation", "distribution"]},
)
FULL = Profile(
    name="full", generators=("stylegan2", "eg3d"), scenarios=("random", "ind", "ood", "multi"),
    identities={"stylegan2": 3, "eg3d": 2}, seeds=1,
    steps={"stylegan2": 30, "eg3d": 20}, samples=100, only={"eg3d": ("ind",)}, audited=(("stylegan2", "ind"),),
)
TUNE = Profile(
    name="tune", generators=("stylegan2",), scenarios=("tune",), identities={"stylegan2": 2}, seeds=1,
    steps=FULL.steps, samples=40, settings=QUICK.settings,
)
PROFILES = {profile.name: profile for profile in (QUICK, FULL, TUNE)}
