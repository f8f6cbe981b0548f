"""Finely tessellated eyeballs: the template's have too few vertices for a round iris."""

from __future__ import annotations

from typing import Any

import numpy as np

from .parameters import unit
from .surface import normalise

SECTORS = 48
# Polar angles from the pupil; dense where the colour changes (pupil's rim and the limbal ring).
RINGS = np.concatenate(
    [
        np.linspace(0.0, 0.13, 4),
        np.linspace(0.15, 0.21, 4),
        np.linspace(0.25, 0.37, 5),
        np.linspace(0.385, 0.46, 6),
        np.linspace(0.52, 1.6, 12),
    ]
)
PUPIL, IRIS = 0.175, 0.42
SCLERA = np.array([0.89, 0.865, 0.845])
# Stations of the eye colour scale: dark brown, brown, hazel, green, grey-blue, blue.
IRIS_COLOURS = np.array(
    [
        [0.16, 0.09, 0.05],
        [0.30, 0.17, 0.09],
        [0.40, 0.29, 0.15],
        [0.36, 0.42, 0.25],
        [0.36, 0.46, 0.50],
        [0.33, 0.50, 0.68],
    ]
)


def ramp(stations: np.ndarray, t: float) -> np.ndarray:
    """Colour at ``t`` in [0, 1] along evenly spaced stations."""
    at = np.linspace(0, 1, len(stations))
    return np.array([np.interp(t, at, stations[:, i]) for i in range(3)])


def smoothstep(x: Any, low: float, high: float) -> Any:
    """0 below ``low``, 1 above ``high``, smooth between."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


class Eyes:
    """Both eyeballs as one mesh, looking along a given direction."""

    def __init__(self) -> None:
        angle, around = np.meshgrid(RINGS, np.arange(SECTORS) * (2 * np.pi / SECTORS), indexing="ij")
        self.polar = np.tile(angle.ravel(), 2).astype(np.float32)
        self.around = np.tile(around.ravel(), 2).astype(np.float32)
        # In the eye's own frame: x to the side, y up, z along the gaze.
        self.unit = np.stack(
            [
                np.sin(self.polar) * np.cos(self.around),
                np.sin(self.polar) * np.sin(self.around),
                np.cos(self.polar),
            ],
            axis=1,
        )
        one = _grid(len(RINGS), SECTORS)
        self.triangles = np.concatenate([one, one + len(self.unit) // 2])

    def place(self, centres: np.ndarray, radius: float, gaze: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Vertices and normals for eyes at ``centres`` (2, 3) looking along the unit vector ``gaze``."""
        side = normalise(np.cross(gaze, [0.0, 0.0, 1.0]))
        frame = np.stack([side, np.cross(side, gaze), gaze])
        normals = self.unit @ frame
        half = len(normals) // 2
        bulge = 1 + 0.05 * np.exp(-((self.polar / 0.42) ** 4))[:, None]  # the cornea
        points = normals * radius * bulge
        points[:half] += centres[0]
        points[half:] += centres[1]
        return points, normals

    def albedo(self, eye_colour: float) -> np.ndarray:
        """Colours (V, 3) for the eye colour parameter."""
        colour = ramp(IRIS_COLOURS, float(unit(eye_colour, 0.8)))
        streaks = 1 + 0.10 * np.sin(self.around * 11) + 0.07 * np.sin(self.around * 17 + 1)
        glow = 0.85 + 0.45 * smoothstep(0.5 - np.abs(self.polar - 0.26) * 3, 0.0, 0.5)
        iris = colour * (streaks * glow)[:, None]
        limbus = smoothstep(self.polar, 0.33, 0.41)[:, None]
        iris = iris * (1 - 0.65 * limbus)
        white = SCLERA * (1 - 0.16 * smoothstep(self.polar, 0.7, 1.1)[:, None] * np.array([0.4, 1, 1]))
        out = iris + (white - iris) * smoothstep(self.polar, IRIS - 0.02, IRIS + 0.035)[:, None]
        return out * smoothstep(self.polar, PUPIL - 0.03, PUPIL + 0.02)[:, None] + 0.012

    def lid_shadow(self) -> np.ndarray:
        """Factor (V, 1) darkening the upper part of the eye, below the lid and its lashes."""
        return (
            1 - 0.62 * smoothstep(self.unit[:, 1], 0.10, 0.42) - 0.12 * smoothstep(-self.unit[:, 1], 0.2, 0.5)
        )[:, None]

    def highlight(self, light_side: float) -> np.ndarray:
        """Brightness (V, 1) added by the key light's reflection, up and towards the light."""
        at = normalise(np.array([0.17 * light_side, 0.17, 1.0]))
        distance = np.linalg.norm(self.unit - at, axis=1)
        return 0.85 * np.exp(-((distance / 0.085) ** 2))[:, None]


def _grid(rows: int, columns: int, closed: bool = True) -> np.ndarray:
    """Triangles of a rows x columns grid of vertices; the columns wrap around if ``closed``."""
    r, c = np.meshgrid(np.arange(rows - 1), np.arange(columns if closed else columns - 1), indexing="ij")
    a, b = (r * columns + c).ravel(), (r * columns + (c + 1) % columns).ravel()
    return np.concatenate([np.stack([a, b, a + columns], 1), np.stack([b, b + columns, a + columns], 1)])


grid_triangles = _grid
