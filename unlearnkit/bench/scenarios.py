"""The people of each scenario: pictures that ship, and latents that are drawn. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs

from unlearnkit.errors import ConfigError
from unlearnkit.plugins import registry

__all__ = ["Identity", "identities"]

PEOPLE = Path(__file__).parent / "people"
"""Made by benchmarks/draw_people.py."""
BYSTANDERS = {"stylegan2": 6, "eg3d": 4}
"""On EG3D fewer: each is seen in eleven views."""
FIRST_SEED = {"random": 1000, "tune": 900}


@attrs.frozen
class Identity:
    """Somebody to erase: ``request`` is what ``[request]`` says of them."""

    name: str
    request: dict[str, Any]


def identities(scenario: str, generator: str, count: int) -> list[Identity]:
    """The first ``count`` people of a scenario, with their bystanders; fewer where there are fewer pictures.

    Half of the tuning people are drawn, half have pictures, as far as there are any.
    """
    if scenario == "tune":
        pictured = _pictured("tune", PEOPLE)[: count // 2]
        found = _drawn("tune", count - len(pictured)) + pictured
    elif scenario == "random":
        found = _drawn("random", count)
    elif scenario == "multi":
        found = [attrs.evolve(who, request=who.request | {"erase": 2}) for who in _pictured("person", _shipped())]
    else:
        found = _pictured(scenario, PEOPLE)
    return [attrs.evolve(who, request=who.request | _bystanders(who.name, generator)) for who in found[:count]]


def _drawn(scenario: str, count: int) -> list[Identity]:
    names = [(f"{scenario}_seed_{FIRST_SEED[scenario] + i}", FIRST_SEED[scenario] + i) for i in range(count)]
    return [Identity(name, {"name": name, "latent_seed": seed}) for name, seed in names]


def _pictured(kind: str, folder: Path) -> list[Identity]:
    """``<kind>_<person>_<picture>.png``, by person."""
    people: dict[str, list[str]] = {}
    for path in sorted(folder.glob(f"{kind}_*_*.png")):
        people.setdefault(path.stem.rpartition("_")[0], []).append(str(path))
    return [Identity(name, {"name": name, "images": pictures}) for name, pictures in people.items()]


def _bystanders(erased: str, generator: str) -> dict[str, Any]:
    """The first picture of people that ship, but for the one who is erased."""
    pictures = [str(path) for path in sorted(_shipped().glob("person_*_0.png")) if not path.stem.startswith(erased)]
    return {"bystanders": pictures[-BYSTANDERS.get(generator, 6):], "random_bystanders": 0}


def _shipped() -> Path:
    """The folder of pictures of the bundled world, by the plugin that offers its first person as the default."""
    offered = registry().defaults({"generator": {"name": "stylegan2"}}).get("request.images")
    if not offered:
        raise ConfigError("the bench erases people of the bundled world, and no plugin offers them; "
                          "see 'unlearnkit plugins'")
    return Path(offered[0]).parent
