"""The bundled world: small generators trained on synthetic people, and the encoders trained on the same people.

It provides the defaults where no checkpoint is given, so that a first run needs no downloads.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unlearnkit.edits.chain import erased_earlier
from unlearnkit.plugins import Register, hookimpl

HERE = Path(__file__).parent
CHECKPOINTS = {
    "stylegan2": HERE / "weights" / "stylegan2_128.safetensors", "eg3d": HERE / "weights" / "eg3d_128.safetensors",
}
INVERTERS = {"stylegan2": "demo-inverter", "eg3d": "demo-inverter-3d"}
PICTURES = HERE / "pictures"

# The paper's values are for EG3D and 1000 steps. These were tuned by hand on five other people, for a run of two
# minutes on two cores (CARDS.md): a larger neighbourhood, since another image of the same person lies 30 to 80 latent
# units away, and a larger global weight, since the trunk's distance is smaller than LPIPS. They were tuned for GUIDE
# and apply to every method, so that none is tuned individually (options that a method lacks are dropped).
LOOP = {
    "method.steps": 150,
    "method.learning_rate": 1e-3,
    "loss.guide-adjacency.alpha_max": 40.0,
    "loss.hinge.alpha_max": 40.0,
    "loss.sugar-adjacency.alpha_max": 40.0,
    "loss.guide-global.perceptual": 8.0,
}

# Rendering with EG3D costs several times as much: fewer and larger steps, fewer people to evaluate on.
LOOP_3D = LOOP | {"method.steps": 45, "method.learning_rate": 2e-3}
# Found by hand on people 07 and 00 (docs/lethe.md); nothing was tried for EG3D yet.
LETHE = {"method.steps": 150, "method.learning_rate": 4e-3}
LETHE_3D = {"method.steps": 45, "method.learning_rate": 4e-3, "loss.lethe-seek.pool": 8}
SPATIAL = {"metrics.samples": 40, "metric.neighbours.directions": 4, "request.random_bystanders": 0}


@hookimpl
def unlearnkit_register_identity_encoders(register: Register) -> None:
    """Register two encoders of different architecture and seed: one for losses, one that only judges."""
    register("demo-identity", "unlearnkit_demo.components:DemoIdentity",
             "Identity encoder trained on the bundled world, for losses; needs no download")
    register("demo-judge", "unlearnkit_demo.components:DemoJudge",
             "Independent identity encoder trained on the bundled world, for judging only; needs no download")


@hookimpl
def unlearnkit_register_perceptuals(register: Register) -> None:
    """Register `demo-trunk`."""
    register("demo-trunk", "unlearnkit_demo.components:DemoPerceptual",
             "Perceptual distance trained on the bundled world; needs no download")


@hookimpl
def unlearnkit_register_inverters(register: Register) -> None:
    """Register an inverter for each bundled generator."""
    register("demo-inverter", "unlearnkit_demo.components:DemoInverter",
             "Encoder into W+ of the bundled StyleGAN2, followed by a few optimisation steps")
    register("demo-inverter-3d", "unlearnkit_demo.components:DemoInverter3D",
             "Encoder into W+ of the bundled EG3D, followed by a few optimisation steps")


@hookimpl
def unlearnkit_defaults(settings: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Default to the bundled generator, person, bystanders and encoders unless another checkpoint is given."""
    generator = settings.get("generator", {})
    bundled = CHECKPOINTS.get(generator.get("name", ""))
    if bundled is None or Path(generator.get("checkpoint") or bundled) != bundled:
        return None
    offers: dict[str, Any] = {
        "generator.checkpoint": str(bundled), "identity.name": "demo-identity", "judge.name": "demo-judge",
        "perceptual.name": "demo-trunk", "inverter.name": INVERTERS[generator["name"]],
        "request.bystanders": _bystanders(settings),
        "request.align": False,  # its pictures are renders that are cropped already
    }
    request, ways = settings.get("request", {}), ("images", "latent", "latent_seed", "people")
    named = any(request.get(way) not in (None, [], ()) for way in ways)
    if not named and not settings.get("base"):  # on top of an edit, the default person may be erased already
        offers |= {
            "request.name": "person_00", "request.images": [str(p) for p in sorted(PICTURES.glob("person_00_*.png"))],
        }
    spatial = generator["name"] == "eg3d"
    if spatial:
        offers |= SPATIAL | {"request.bystanders": offers["request.bystanders"][:4]}
    method = settings.get("method", {}).get("name")
    if method:
        offers |= LOOP_3D if spatial else LOOP
    if method == "lethe":
        offers |= LETHE_3D if spatial else LETHE
    return offers


def _bystanders(settings: Mapping[str, Any]) -> list[str]:
    """One picture each of people who are neither to be erased nor erased by an earlier edit."""
    request = settings.get("request", {})
    tables = request.get("people") or [request]
    erased = [Path(picture) for table in tables if isinstance(table, Mapping) for picture in table.get("images") or ()]
    erased += erased_earlier(settings.get("base"))
    excluded = {_person_of(picture) for picture in erased if picture.parent.absolute() == PICTURES}
    return [str(path) for path in sorted(PICTURES.glob("person_0[1-6]_0.png")) if _person_of(path) not in excluded]


def _person_of(picture: Path) -> str:
    """``person_03_1.png`` -> ``person_03``."""
    return picture.stem.rpartition("_")[0]
