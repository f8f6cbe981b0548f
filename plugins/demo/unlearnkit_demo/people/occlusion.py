"""Ambient occlusion of the template, once: how much of the sky each vertex sees."""

from __future__ import annotations

from typing import Any

import numpy as np


def ambient_occlusion(
    points: np.ndarray, normals: np.ndarray, triangles: np.ndarray, directions: int = 96, pixels: int = 320
) -> np.ndarray:
    """Share (V,), cosine weighted, of directions from which each vertex is visible (depth images by VTK)."""
    import pyvista as pv

    plotter: Any = pv.Plotter(off_screen=True, window_size=[pixels, pixels], lighting="none")
    faces = np.concatenate([np.full((len(triangles), 1), 3), triangles], 1).ravel()
    plotter.add_mesh(pv.PolyData(points.astype(np.float32), faces), lighting=False)
    plotter.camera.parallel_projection = True
    centre, radius = points.mean(0), np.linalg.norm(points - points.mean(0), axis=1).max()
    seen, total = np.zeros(len(points)), np.zeros(len(points))
    for toward in _sphere(directions):
        weight = np.clip(normals @ toward, 0, None)
        seen += weight * _visible(plotter, points, toward, centre, radius)
        total += weight
    plotter.close()
    return (seen / np.maximum(total, 1e-9)).astype(np.float32)


def _sphere(count: int) -> np.ndarray:
    """Evenly spread directions (a Fibonacci spiral)."""
    i = np.arange(count) + 0.5
    z, turn = 1 - 2 * i / count, np.pi * (1 + 5**0.5) * i
    return np.stack([np.sqrt(1 - z * z) * np.cos(turn), np.sqrt(1 - z * z) * np.sin(turn), z], 1)


def _visible(
    plotter: Any,
    points: np.ndarray,
    toward: np.ndarray,
    centre: np.ndarray,
    radius: float,
    bias: float = 0.0025,
) -> np.ndarray:
    """Soft 0..1 visibility of the vertices from far along ``toward``."""
    hint = np.array([0.0, 0.0, 1.0]) if abs(toward[2]) < 0.9 else np.array([0.0, 1.0, 0.0])
    right = np.cross(hint, toward)
    right /= np.linalg.norm(right)
    up = np.cross(toward, right)
    camera = plotter.camera
    camera.focal_point, camera.position, camera.up = centre, centre + 3 * radius * toward, up
    camera.parallel_scale, camera.clipping_range = radius, (radius, 5 * radius)
    plotter.render_window.Render()
    depth = depth_buffer(plotter.render_window)
    size = depth.shape[0]
    rel = points - centre
    column = ((rel @ right / radius * 0.5 + 0.5) * size).astype(int).clip(0, size - 1)
    row = ((rel @ up / radius * 0.5 + 0.5) * size).astype(int).clip(0, size - 1)
    front = 3 * radius - (
        radius + depth[row, column] * 4 * radius
    )  # height along ``toward`` of the nearest surface
    behind = front - rel @ toward
    return 1 - np.clip((behind - bias) / bias, 0, 1)


def depth_buffer(window: Any) -> np.ndarray:
    """The window's z-buffer (height, width), bottom row first, 0 at the near and 1 at the far plane."""
    import vtk
    from vtk.util.numpy_support import vtk_to_numpy

    width, height = window.GetSize()
    buffer = vtk.vtkFloatArray()
    window.GetZbufferData(0, 0, width - 1, height - 1, buffer)
    return vtk_to_numpy(buffer).reshape(height, width)
