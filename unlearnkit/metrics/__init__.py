"""The metrics that ship: is the person gone, is everybody else still there? A plugin like any other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unlearnkit.metrics.files import INCEPTION
from unlearnkit.plugins import Register, RegisterWeights, hookimpl


@hookimpl
def unlearnkit_register_metrics(register: Register) -> None:
    """Register the metrics that ship."""
    register("identity", "unlearnkit.metrics.identity:Identity",
             "Is the person still recognised, and is everybody else still themselves")
    register("earlier", "unlearnkit.metrics.earlier:Earlier",
             "Are the people whom earlier edits erased still gone")
    register("neighbours", "unlearnkit.metrics.neighbours:Neighbours",
             "How far around the erased latent people change")
    register("distribution", "unlearnkit.metrics.distribution:Distribution",
             "Distance between all that the generator made before and all that it makes now")
    register("preservation", "unlearnkit.metrics.preservation:Preservation",
             "Does each random latent still give the same picture and the same person")
    register("prdc", "unlearnkit.metrics.prdc:PRDC",
             "Precision, recall, density and coverage: do pictures stay plausible, do they stay diverse")
    register("faces", "unlearnkit.metrics.faces:FacesFound",
             "Is what is drawn still a face (where a plugin has a detector for such faces)")
    register("second-judge", "unlearnkit.metrics.second_judge:SecondJudge",
             "What another identity encoder says of the same pictures")
    register("geometry", "unlearnkit.metrics.geometry:Geometry",
             "Do heads keep their shape (for generators that know depth)")
    register("fid", "unlearnkit.metrics.fid:FID",
             "FID and KID with Inception's own weights, which are the user's")


@hookimpl
def unlearnkit_register_weights(register: RegisterWeights) -> None:
    """Register the file that FID reads."""
    register(INCEPTION)


@hookimpl
def unlearnkit_defaults(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """All but those that need files, unless somebody asks for less."""
    return {"metrics.names": ["identity", "earlier", "neighbours", "distribution", "preservation", "prdc", "faces",
                              "geometry"]}
