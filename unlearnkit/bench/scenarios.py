"""The people of each scenario: pictures that ship, people who are drawn, and their bystanders. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs

from unlearnkit.bench.drawn import PHOTOREALISTIC, DrawnPicture, drawn_picture
from unlearnkit.errors import ConfigError
from unlearnkit.plugins import registry

__all__ = ["Identity", "identities"]

PEOPLE = Path(__file__).parent / "people"
"""Made by benchmarks/draw_people.py."""
BYSTANDERS = {"stylegan2": 6, "eg3d": 4}
"""On EG3D fewer: each is seen in eleven views."""
FIRST_SEED = {"random": 1000, "tune": 900, "inverted": 2000}
_PHOTOREALISTIC_SCENARIOS = ("random", "inverted", "tune")
_TUNE_PICTURED, _FIRST_BYSTANDER, _DRAWN_BYSTANDERS, _LOOKS = 950, 3000, 4, 3


@attrs.frozen
class Identity:
    """Somebody to erase: ``request`` is what ``[request]`` says of them; ``drawn``: which of its pictures to draw."""

    name: str
    request: dict[str, Any]
    drawn: tuple[DrawnPicture, ...] = ()


def identities(scenario: str, generator: str, count: int) -> list[Identity]:
    """The first ``count`` people of a scenario, with their bystanders; fewer where there are fewer pictures.

    Half of the tuning people are drawn, half have pictures, as far as there are any.
    """
    if generator in PHOTOREALISTIC or scenario == "inverted":
        known = generator in PHOTOREALISTIC and scenario in _PHOTOREALISTIC_SCENARIOS
        return _photorealistic(scenario, generator, count) if known else []
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


def _photorealistic(scenario: str, generator: str, count: int) -> list[Identity]:
    """People whom ``generator`` draws: as latents, or as pictures of several looks, the first of which is erased."""
    pictured = {"random": 0, "tune": count // 2}.get(scenario, count)
    found = _drawn(scenario, count - pictured)
    first = _TUNE_PICTURED if scenario == "tune" else FIRST_SEED.get(scenario, 0)
    for seed in range(first, first + pictured):
        looks = tuple(drawn_picture(generator, seed, look) for look in range(_LOOKS))
        name = f"{scenario}_seed_{seed}"
        found.append(Identity(name, {"name": name, "images": [str(picture.path) for picture in looks]}, looks))
    beside = tuple(drawn_picture(generator, _FIRST_BYSTANDER + i, 0) for i in range(_DRAWN_BYSTANDERS))
    others = {"bystanders": [str(picture.path) for picture in beside], "random_bystanders": 0}
    return [attrs.evolve(who, request=who.request | others, drawn=(*who.drawn, *beside)) for who in found]


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
