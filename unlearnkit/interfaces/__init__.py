"""The plugin API: abstract components, and the records that they exchange; nothing else.

Shapes: N pictures or latents, 3 colour channels, H = W = ``generator.resolution``; images in [-1, 1], RGB.
"""

from unlearnkit.interfaces.components import (
    Attack,
    Component,
    Generator,
    IdentityEncoder,
    Inverter,
    Loss,
    Method,
    Metric,
    Penalty,
    Perceptual,
    TargetSelector,
)
from unlearnkit.interfaces.launching import Launcher
from unlearnkit.interfaces.records import (
    About,
    Attempt,
    Base,
    Case,
    Evidence,
    Holds,
    Job,
    Measures,
    Number,
    Pairs,
    Person,
    Progress,
    Recovery,
    Rendering,
    Request,
    Step,
    StyleLayer,
    draw_people,
    unit,
)

__all__ = [
    "About", "Attack", "Attempt", "Base", "Case", "Component", "Evidence", "Generator", "Holds", "IdentityEncoder",
    "Inverter", "Job", "Launcher", "Loss", "Measures", "Method", "Metric", "Number", "Pairs", "Penalty", "Perceptual",
    "Person", "Progress", "Recovery", "Rendering", "Request", "Step", "StyleLayer", "TargetSelector", "draw_people",
    "unit",
]
