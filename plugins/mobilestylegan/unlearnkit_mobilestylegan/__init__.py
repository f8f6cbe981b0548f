"""MobileStyleGAN of FFHQ: photorealistic faces from a package registry. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unlearnkit.plugins import Register, RegisterWeights, hookimpl
from unlearnkit_mobilestylegan.files import FILES

# Most of the offset of a portrait in W+ is not common to its rows, and leads off what this generator can draw. Along
# the common part, at distance 20, targets are ordinary faces.
_UFO = {"target.rows": "mean", "target.distance": 20.0}
# Its weights have a standard deviation of 0.04 where StyleGAN2's have 1, so a step of 2e-4 here is one of 1e-3 there,
# and 20 of them suffice. A picture costs half a second of one core: few are measured by default.
_LOOP = {"method.steps": 20, "method.learning_rate": 2e-4, "loss.guide-adjacency.samples": 1,
         "loss.guide-global.samples": 1}
# Lighter than its defaults, for the cost; the step is that of the one run in docs/lethe.md (heavier, and shorter).
_LETHE = {"method.learning_rate": 4e-4, "loss.lethe-erase.samples": 1, "loss.lethe-seek.samples": 2,
          "loss.lethe-seek.pool": 4, "loss.lethe-seek.pull_steps": 8, "loss.lethe-seek.pull": 0.2,
          "loss.lethe-keep.samples": 4, "loss.lethe-keep.mixtures": 2}
_FEW = {"metrics.samples": 16, "metrics.names": ["identity", "earlier", "distribution", "preservation", "faces"],
        "metric.faces.random": 8, "request.random_bystanders": 4, "inverter.name": "mobilestylegan-encoder"}


@hookimpl
def unlearnkit_register_generators(register: Register) -> None:
    """Register the generator."""
    register("mobilestylegan", "unlearnkit_mobilestylegan.generator:MobileStyleGAN",
             "MobileStyleGAN of FFHQ, photorealistic faces, 1024 pixels; research only ('unlearnkit fetch photoreal')")


@hookimpl
def unlearnkit_register_inverters(register: Register) -> None:
    """Register the encoder that ships."""
    register("mobilestylegan-encoder", "unlearnkit_mobilestylegan.inverter:EncoderInverter",
             "Encoder of mobilestylegan that ships, refined in 40 s; needs 'unlearnkit fetch photoreal'")


@hookimpl
def unlearnkit_register_weights(register: RegisterWeights) -> None:
    """Register the files of the package that holds it."""
    for file in FILES:
        register(file)


@hookimpl
def unlearnkit_defaults(settings: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Settings for a run of some minutes on two cores."""
    if settings.get("generator", {}).get("name") != "mobilestylegan":
        return None
    chosen = {section: settings.get(section, {}).get("name") for section in ("method", "target")}
    return (_FEW | (_UFO if chosen["target"] == "ufo" else {}) | (_LOOP if chosen["method"] else {})
            | (_LETHE if chosen["method"] == "lethe" else {}))
