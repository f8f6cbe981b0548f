"""Shoulders in a plain shirt, so that the neck does not end in the air."""

from __future__ import annotations

import numpy as np

from .eyes import grid_triangles
from .surface import normalise

COLOURS = np.array([[0.33, 0.38, 0.46], [0.50, 0.33, 0.33], [0.34, 0.43, 0.37]])
RADII = np.array([0.215, 0.090, 0.085])


class Shirt:
    """An ellipsoid below the neck."""

    def __init__(self) -> None:
        polar, around = np.meshgrid(
            np.linspace(0.02, 1.7, 24), np.arange(48) * (2 * np.pi / 48), indexing="ij"
        )
        polar, around = polar.ravel(), around.ravel()
        self.unit = np.stack(
            [np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), np.cos(polar)], 1
        )
        self.normals = normalise(self.unit / RADII)
        self.triangles = grid_triangles(24, 48)

    def place(self, neck: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Vertices and normals below a neck that ends at the point ``neck``."""
        centre = neck + np.array([0.0, -0.005, -0.069])
        return self.unit * RADII + centre, self.normals

    @staticmethod
    def albedo(q: dict[str, float]) -> np.ndarray:
        """A muted colour that goes with the backdrop (no parameter of its own: the world is kept small)."""
        weights = np.exp(
            np.array([q["background_warmth"], -q["background_warmth"], q["background_green"]]) * 0.8
        )
        return (weights / weights.sum()) @ COLOURS
