"""One off-screen VTK window that fills vertex-coloured triangles; drawn large and averaged down."""

from __future__ import annotations

from typing import Any

import numpy as np

from .camera import VIEW_ANGLE, Camera


class Raster:
    """Fixed triangles, new vertices and colours for every picture."""

    def __init__(self, triangles: np.ndarray, vertices: int, size: int, oversampling: int) -> None:
        import pyvista as pv

        self.size, self.oversampling = size, oversampling
        side = size * oversampling
        self.plotter: Any = pv.Plotter(off_screen=True, window_size=[side, side], lighting="none")
        faces = np.concatenate([np.full((len(triangles), 1), 3), triangles], 1).ravel()
        self.mesh: Any = pv.PolyData(np.zeros((vertices, 3), np.float32), faces)
        self.mesh.point_data["colour"] = np.zeros((vertices, 3), np.uint8)
        self.plotter.add_mesh(self.mesh, scalars="colour", rgb=True, lighting=False)
        window: Any = self.plotter.render_window
        window.SetMultiSamples(0)  # we average ourselves
        self.plotter.camera.view_angle = VIEW_ANGLE

    def draw(
        self, points: np.ndarray, colours: np.ndarray, camera: Camera, background: np.ndarray
    ) -> np.ndarray:
        """One picture (size, size, 3), uint8; colours (V, 3) in 0..1, sRGB."""
        self.mesh.points = points.astype(np.float32)
        self.mesh.point_data["colour"][:] = (colours * 255 + 0.5).astype(np.uint8)
        self.mesh.GetPointData().GetScalars().Modified()
        self.plotter.set_background([float(c) for c in background])
        view = self.plotter.camera
        view.position, view.focal_point, view.up = camera.position, camera.focus, (0.0, 0.0, 1.0)
        distance = np.linalg.norm(camera.position - camera.focus)
        view.clipping_range = (0.5 * distance, 2.0 * distance)
        self.plotter.render_window.Render()
        return self._averaged(self._pixels())

    def _pixels(self) -> np.ndarray:
        import vtk
        from vtk.util.numpy_support import vtk_to_numpy

        side = self.size * self.oversampling
        buffer = vtk.vtkUnsignedCharArray()
        self.plotter.render_window.GetPixelData(0, 0, side - 1, side - 1, 0, buffer, 0)
        return vtk_to_numpy(buffer).reshape(side, side, 3)[::-1]

    def _averaged(self, large: np.ndarray) -> np.ndarray:
        k, n = self.oversampling, self.size
        return (large.reshape(n, k, n, k, 3).astype(np.float32).mean((1, 3)) + 0.5).astype(np.uint8)
