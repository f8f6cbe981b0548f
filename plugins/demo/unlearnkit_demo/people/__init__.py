"""Synthetic people: a small renderer, used only to train the bundled networks.

Needs the extra dependencies anny, pyvista and vtk, imported when a renderer is created.
"""

from .parameters import (
    IDENTITY_NAMES,
    NUISANCE,
    NUM_IDENTITY,
    NUM_NUISANCE,
    NUM_PARAMETERS,
    PARAMETER_NAMES,
    parameters_from_z,
    redraw_nuisance,
)

__all__ = [
    "IDENTITY_NAMES",
    "NUISANCE",
    "NUM_IDENTITY",
    "NUM_NUISANCE",
    "NUM_PARAMETERS",
    "PARAMETER_NAMES",
    "parameters_from_z",
    "redraw_nuisance",
]
