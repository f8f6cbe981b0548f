"""Face detection with five landmarks, by MTCNN (Zhang et al. 2016, arXiv 1604.02878).

The network and its weights (2 MB) ship in facenet-pytorch: nothing is downloaded.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
from numpy.typing import NDArray

from unlearnkit.errors import ConfigError, NoFaceError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "Choice", "Face", "SeveralFacesError", "choose_face", "confidences", "count_faces", "detect_faces",
    "from_the_left", "image_pixels", "is_installed", "most_likely", "sure_faces",
]

Choice = int | str | None
"""Which face is meant: None (there must be one only), ``"largest"``, or a number from the left, from 1."""
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
    shrink = max(1.0, max(height, width) / LONGEST_SIDE)
    if min(height, width) / shrink < SMALLEST_SIDE:  # also a very long picture, which shrinks to a line
        return []
    boxes, probabilities, landmarks = _detector(thresholds).detect(_shrunk(pixels, shrink), landmarks=True)
    if boxes is None:
        return []
    faces = [
        Face(_scaled(box, shrink), float(probability), np.asarray(points, np.float64) * shrink)
        for box, probability, points in zip(boxes, probabilities, landmarks, strict=True)
    ]
    return sorted(faces, key=lambda face: face.height, reverse=True)


def image_pixels(image: Tensor) -> NDArray[np.uint8]:
    """An image ``(3, H, W)`` in [-1, 1], clamped, as :func:`detect_faces` takes it: ``(H, W, 3)``, 8-bit RGB."""
    pixels: NDArray[np.uint8] = ((image.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).cpu().numpy()
    return pixels


def confidences(images: Tensor) -> Tensor:
    """Confidence in [0, 1] of the likeliest face in each image ``(N, 3, H, W)``, 0 for none: ``(N,)``."""
    import torch

    found = [detect_faces(image_pixels(image)) for image in images.detach().nan_to_num(0.0)]
    return torch.tensor([max((face.probability for face in faces), default=0.0) for faces in found])


class SeveralFacesError(NoFaceError):
    """A picture shows several faces and nobody said which."""


def choose_face(faces: list[Face], choice: Choice = None, name: str = "the picture") -> Face:
    """The face that ``choice`` means; a picture with one face shows that one, whatever ``choice`` is.

    :raises NoFaceError: if there is none, or several where one is required, or not as many as ``choice`` says.
    """
    sure = sure_faces(faces)
    if not sure:
        raise NoFaceError(
            f"{name}: shows no face that MTCNN detects; give a picture in which the face looks towards the "
            "camera and is at least 60 pixels high, or one that is aligned already")
    near = from_the_left(sure)
    if len(near) == 1 or choice == "largest":
        return sure[0]
    if isinstance(choice, int) and choice <= len(near):
        return near[choice - 1]
    places = ", ".join(f"{number} at x {face.box[0]:.0f} to {face.box[2]:.0f}" for number, face in enumerate(near, 1))
    wanted = "expected one" if choice is None else f"none has the number {choice}"
    raise SeveralFacesError(f"{name}: shows {len(near)} faces ({places}), {wanted}; give --face largest or --face N, "
                            "or crop to the person")


def sure_faces(faces: list[Face]) -> list[Face]:
    """The confident ones of detected faces, largest first as they came."""
    return [face for face in faces if face.probability >= SURE]


def from_the_left(sure: list[Face]) -> list[Face]:
    """Confident faces outside the background in the order in which they are numbered."""
    return sorted(_near(sure), key=lambda face: face.box[0])


def is_installed() -> bool:
    """Whether the detector's package is there."""
    return importlib.util.find_spec("facenet_pytorch") is not None


def count_faces(faces: list[Face]) -> int:
    """Number of people in an image: confident faces outside the background; if none is, 1 for the likeliest face."""
    sure = sure_faces(faces)
    return len(_near(sure)) if sure else min(len(faces), 1)


def most_likely(faces: list[Face]) -> Face | None:
    """The largest confident face, else the likeliest one, else None."""
    sure = sure_faces(faces)
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
    try:
        from facenet_pytorch import MTCNN
    except ImportError as error:
        raise ConfigError(f"faces are found by MTCNN of facenet-pytorch, which cannot be imported ({error}); install "
                          "facenet-pytorch, or crop the picture as FFHQ does and give --align no") from error

    return MTCNN(keep_all=True, thresholds=list(thresholds)).eval().requires_grad_(False)
