"""Synthetic people: a small renderer, used only to train the bundled networks.

Needs the extra dependencies anny, pyvista and vtk, which are imported when a renderer is made.
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
