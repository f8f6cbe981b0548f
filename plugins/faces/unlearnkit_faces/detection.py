"""Face detection with five landmarks, by MTCNN (Zhang et al. 2016, arXiv 1604.02878).

The network and its weights (2 MB) ship in facenet-pytorch: nothing is downloaded.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

import attrs
import numpy as np
from numpy.typing import NDArray

from unlearnkit.errors import NoFaceError

__all__ = ["Choice", "Face", "choose_face", "count_faces", "detect_faces", "most_likely"]

Choice = Literal["only", "largest"]
LONGEST_SIDE = 1024
"""Larger images are downscaled before detection: the faces that matter are large in them."""
SMALLEST_SIDE = 24
"""Smaller images have no window for the first stage."""
SURE = 0.9
"""Probability from which a detection counts as a face."""
BYSTANDER = 1 / 3
"""Faces below this height, relative to the largest, count as background and are ignored."""


@attrs.frozen(eq=False)
class Face:
    """One detected face, in pixels: x right, y down, pixel centres at half-integers.

    * ``box``: left, top, right, bottom
    * ``landmarks`` ``(5, 2)``: eyes, tip of the nose, mouth corners; image-left first
    """

    box: tuple[float, float, float, float]
    probability: float
    landmarks: NDArray[np.float64]

    @property
    def height(self) -> float:
        """Height of the box."""
        return self.box[3] - self.box[1]


def detect_faces(
    pixels: NDArray[np.uint8], thresholds: tuple[float, float, float] = (0.6, 0.7, 0.7)
) -> list[Face]:
    """All faces in an image ``(H, W, 3)``, 8-bit RGB, largest first; runs on the CPU.

    ``thresholds`` are those of MTCNN's three stages (defaults from its authors).
    """
    height, width = pixels.shape[:2]
    if min(height, width) < SMALLEST_SIDE:
        return []
    shrink = max(1.0, max(height, width) / LONGEST_SIDE)
    boxes, probabilities, landmarks = _detector(thresholds).detect(_shrunk(pixels, shrink), landmarks=True)
    if boxes is None:
        return []
    faces = [
        Face(_scaled(box, shrink), float(probability), np.asarray(points, np.float64) * shrink)
        for box, probability, points in zip(boxes, probabilities, landmarks, strict=True)
    ]
    return sorted(faces, key=lambda face: face.height, reverse=True)


def choose_face(faces: list[Face], choice: Choice = "only", name: str = "the picture") -> Face:
    """The only face of an image, or the largest for ``choice="largest"``.

    :raises NoFaceError: if there is none, or several where one is required.
    """
    sure = [face for face in faces if face.probability >= SURE]
    if not sure:
        raise NoFaceError(
            f"{name}: shows no face that MTCNN detects; give a picture in which the face looks towards the "
            "camera and is at least 60 pixels high, or one that is aligned already")
    near = _near(sure)
    if len(near) > 1 and choice == "only":
        places = ", ".join(f"at x {face.box[0]:.0f} to {face.box[2]:.0f}" for face in near)
        raise NoFaceError(f"{name}: shows {len(near)} faces ({places}), expected one; crop the "
                          "photo to the person")
    return sure[0]


def count_faces(faces: list[Face]) -> int:
    """Number of people in an image: confident faces outside the background; if none is, 1 for the likeliest face."""
    sure = [face for face in faces if face.probability >= SURE]
    return len(_near(sure)) if sure else min(len(faces), 1)


def most_likely(faces: list[Face]) -> Face | None:
    """The largest confident face, else the likeliest one, else None."""
    sure = [face for face in faces if face.probability >= SURE]
    return sure[0] if sure else max(faces, key=lambda face: face.probability, default=None)


def _near(sure: list[Face]) -> list[Face]:
    """Faces outside the background; ``sure`` is sorted largest first."""
    return [face for face in sure if face.height >= BYSTANDER * sure[0].height]


def _scaled(box: NDArray[np.float64], factor: float) -> tuple[float, float, float, float]:
    left, top, right, bottom = (float(edge) * factor for edge in box)
    return left, top, right, bottom


def _shrunk(pixels: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    # An array, never a PIL image: facenet-pytorch 2.5.3 fails on those under numpy 2.4.
    if factor <= 1:
        return np.ascontiguousarray(pixels)
    from PIL import Image

    size = round(pixels.shape[1] / factor), round(pixels.shape[0] / factor)
    return np.array(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))


@cache
def _detector(thresholds: tuple[float, float, float]) -> Any:
    from facenet_pytorch import MTCNN

    return MTCNN(keep_all=True, thresholds=list(thresholds)).eval().requires_grad_(False)
