"""A DCGAN of faces as a generator of unlearnkit. Imports no torch."""

from collections.abc import Mapping
from typing import Any

from unlearnkit.plugins import Register, RegisterWeights, hookimpl
from unlearnkit.weights import WeightFile

WEIGHTS = WeightFile(
    name="dcgan-digiface",
    purpose="generator dcgan",
    file_name="gan_face_generate_1.1.1_weights.tar",
    licence="MIT (the package's); trained on DigiFace-1M, which Microsoft releases for non-commercial research only",
    size=14_322_251,
    sha256="0c3b90b138cfc4e8a73310b9fd5ce2a8f1f3a542a037de277412307fcd28771f",
    package="gan-face-generate==1.1.1",
    member="gan_face_generate/weights.tar",
    package_sha256="24102f4be41d164e44251168ede0458a45e498a888c81493e2aea48529640569",
    setting="--set generator.checkpoint=FILE",
)

# z ~ N(0, I) of 100 numbers lies 10 from the origin, where no face is: a target is one mean distance beyond, a
# neighbour nearer than half of that.
_LATENTS = {"target.distance": 1.0, "target.unit": "mean-radius", "loss.guide-adjacency.alpha_max": 5.0}
_NETWORKS = {"identity.name": "sface", "perceptual.name": "st-lpips", "judge.name": "dlib", "inverter.name": "optimise"}


@hookimpl
def unlearnkit_register_generators(register: Register) -> None:
    register("dcgan", "unlearnkit_dcgan.generator:Dcgan", "DCGAN, 64 pixels, z is its latent")


@hookimpl
def unlearnkit_register_weights(register: RegisterWeights) -> None:
    register(WEIGHTS)


@hookimpl
def unlearnkit_defaults(settings: Mapping[str, Any]) -> Mapping[str, Any] | None:
    if settings.get("generator", {}).get("name") != "dcgan":
        return None
    return _NETWORKS | (_LATENTS if settings.get("method", {}).get("name") else {})
