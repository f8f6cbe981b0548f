"""Place the camera so that everybody's eyes and mouth fall on the same heights of the picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

VIEW_ANGLE = 13.0  # degrees; a portrait lens from about a metre
EYE_HEIGHT, MOUTH_HEIGHT = 0.445, 0.730  # from the top, as a fraction of the picture


@dataclass(frozen=True)
class Camera:
    """Where the camera stands and looks; ``back`` points from the scene to the camera."""

    position: np.ndarray
    focus: np.ndarray
    back: np.ndarray
    right: np.ndarray
    view_angle: float = VIEW_ANGLE

    @property
    def up(self) -> np.ndarray:
        """The picture's upward direction."""
        return np.cross(self.back, self.right)


def aligned_camera(
    eyes: np.ndarray, mouth: np.ndarray, yaw: float, pitch: float, view_angle: float = VIEW_ANGLE
) -> Camera:
    """Camera seeing the point ``eyes`` at EYE_HEIGHT and ``mouth`` at MOUTH_HEIGHT, turned by yaw and pitch.

    In camera axes a point at (u, v) with depth w is seen at v = t (d - w) above the centre, so two points
    give two linear equations for the distance d and the height of the axis.
    """
    back = np.array([np.sin(yaw) * np.cos(pitch), -np.cos(yaw) * np.cos(pitch), np.sin(pitch)])
    right = np.array([np.cos(yaw), np.sin(yaw), 0.0])
    up = np.cross(back, right)
    half = np.tan(np.deg2rad(view_angle) / 2)
    t_eyes, t_mouth = (1 - 2 * EYE_HEIGHT) * half, (1 - 2 * MOUTH_HEIGHT) * half
    w_eyes, w_mouth = eyes @ back, mouth @ back
    distance = (eyes @ up - mouth @ up + t_eyes * w_eyes - t_mouth * w_mouth) / (t_eyes - t_mouth)
    height = eyes @ up - t_eyes * (distance - w_eyes)
    # Half-way between the points across, which keeps the hair in the picture when the head is turned.
    across = 0.5 * (eyes + mouth) @ right
    focus = across * right + height * up
    return Camera(focus + distance * back, focus, back, right, view_angle)
