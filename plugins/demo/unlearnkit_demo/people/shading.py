"""Light and colour per vertex: a soft key light, fill, sky, a little shine. VTK only fills the triangles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .surface import normalise


@dataclass(frozen=True)
class Light:
    """Direction to the key light, and to the camera (unit vectors)."""

    key: np.ndarray
    view: np.ndarray
    fill: np.ndarray


KEY, FILL, SKY, GROUND = 0.72, 0.16, 0.32, 0.17
WARM = np.array([1.03, 1.0, 0.96], np.float32)


def make_light(azimuth: float, height: float, view: np.ndarray) -> Light:
    """Key light at ``azimuth`` and ``height`` (radians) in front of the head, fill from the other side."""
    key = np.array([np.sin(azimuth) * np.cos(height), -np.cos(azimuth) * np.cos(height), np.sin(height)])
    return Light(
        key, view, normalise(np.array([-0.9 * np.sign(azimuth + 1e-9) * min(abs(azimuth) * 2, 1), -0.7, 0.1]))
    )


def irradiance(
    normals: np.ndarray, light: Light, occlusion: np.ndarray | float, wrap: np.ndarray
) -> np.ndarray:
    """Light (V, 3) arriving at the surface; ``wrap`` (3,) lets it reach around, as under skin."""
    facing = (normals @ light.key)[:, None]
    key = np.clip((facing + wrap) / (1 + wrap), 0, 1)
    fill = np.clip((normals @ light.fill)[:, None] * 0.5 + 0.5, 0, 1)
    sky = GROUND + (SKY - GROUND) * (0.5 + 0.5 * normals[:, 2:3])
    return KEY * WARM * key * (0.35 + 0.65 * occlusion) + (FILL * fill + sky) * occlusion


def shine(normals: np.ndarray, light: Light, power: float) -> np.ndarray:
    """Blinn's highlight (V, 1)."""
    half = normalise(light.key + light.view)
    return np.clip((normals @ half)[:, None], 0, 1) ** power


def strand_shine(normals: np.ndarray, light: Light, power: float) -> np.ndarray:
    """Highlight band (V, 1) of hair that runs down along the surface (Kajiya and Kay)."""
    down = np.array([0.0, 0.35, -1.0])
    along = normalise(down - normals * (normals @ down)[:, None])
    half = normalise(light.key + light.view)
    sine = np.sqrt(np.clip(1 - (along @ half) ** 2, 0, 1))
    return (sine**power * np.clip(normals @ light.view + 0.1, 0, 1))[:, None]
