"""A DCGAN of faces as a generator of unlearnkit. Imports no torch."""

from collections.abc import Mapping
from typing import Any

from unlearnkit.plugins import Register, RegisterWeights, hookimpl
from unlearnkit.weights import WeightFile

WEIGHTS = WeightFile(
    name="dcgan-digiface",
    purpose="generator dcgan",
    file_name="gan_face_generate_1.1.1_weights.tar",
    licence="MIT (the package's); trained on Microsoft's DigiFace-1M, whose own terms see there",
    size=14_322_251,
    sha256="0c3b90b138cfc4e8a73310b9fd5ce2a8f1f3a542a037de277412307fcd28771f",
    package="gan-face-generate==1.1.1",
    member="gan_face_generate/weights.tar",
    package_sha256="24102f4be41d164e44251168ede0458a45e498a888c81493e2aea48529640569",
    setting="--set generator.checkpoint=FILE",
)

# z ~ N(0, I) of 100 numbers lies about 10 from the origin, and faces are nowhere else: so does a target, and neighbours
# are near. Options that a method does not have are dropped.
_LATENTS = {
    "target.distance": 10.0, "loss.guide-adjacency.alpha_max": 5.0, "loss.sugar-adjacency.alpha_max": 5.0,
    "loss.hinge.alpha_max": 5.0, "loss.sugar-ewc.distance": 10.0, "method.steps": 60, "method.learning_rate": 3e-4,
}
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
