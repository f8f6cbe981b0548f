"""One off-screen VTK window that fills vertex-coloured triangles; drawn large and averaged down."""

from __future__ import annotations

from typing import Any

import numpy as np

from .camera import Camera
from .occlusion import depth_buffer


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

    def draw(
        self, points: np.ndarray, colours: np.ndarray, camera: Camera, background: np.ndarray
    ) -> np.ndarray:
        """One picture (size, size, 3), uint8; colours (V, 3) in 0..1, sRGB."""
        self.load(points, colours, background)
        return self.look(camera)

    def load(self, points: np.ndarray, colours: np.ndarray, background: np.ndarray) -> None:
        """Take over a scene, to be looked at from one camera or several."""
        self.mesh.points = points.astype(np.float32)
        self.mesh.point_data["colour"][:] = (colours * 255 + 0.5).astype(np.uint8)
        self.mesh.GetPointData().GetScalars().Modified()
        self.plotter.set_background([float(c) for c in background])

    def look(self, camera: Camera) -> np.ndarray:
        """The loaded scene as ``camera`` sees it: (size, size, 3), uint8."""
        view = self.plotter.camera
        view.view_angle = camera.view_angle
        view.position, view.focal_point, view.up = camera.position, camera.focus, camera.up
        self._clipping = clipping(camera)
        view.clipping_range = self._clipping
        self.plotter.render_window.Render()
        return self._averaged(self._pixels())

    def depth(self) -> np.ndarray:
        """Of the last look, distance along the camera's axis (side, side), side = size × oversampling; inf: nothing."""
        near, far = self._clipping
        z = depth_buffer(self.plotter.render_window)[::-1]
        return np.where(z < 1, near * far / (far - z * (far - near)), np.inf)

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


def clipping(camera: Camera) -> tuple[float, float]:
    """Nearest and farthest distance that is drawn."""
    distance = float(np.linalg.norm(camera.position - camera.focus))
    return 0.5 * distance, 2.0 * distance
