"""FFHQ alignment: crops the face out of a photo as FFHQ's training images were cropped.

The square (Karras et al. 2017, arXiv 1710.10196, appendix C, used for FFHQ in arXiv 1812.04948): with eyes
e0, e1 and mouth corners m0, m1, image-left first,

    x' = e1 - e0,  y' = (e0 + e1) / 2 - (m0 + m1) / 2
    c  = (e0 + e1) / 2 - 0.1 y',  s = max(4.0 |x'|, 3.6 |y'|)
    x  = (x' - rot(y')) / |x' - rot(y')|,  y = rot(x)

where c is the centre, s the side, x and y the directions of its edges, and rot rotates by 90 degrees such that
rot(y') is antiparallel to x' in an upright face. Two small differences from FFHQ's own script: MTCNN's five
landmarks instead of dlib's 68, and reflection padding outside the photo without a blur.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn import functional as F

from unlearnkit.errors import NoFaceError, ShapeError
from unlearnkit_faces.detection import Choice, Face, choose_face, detect_faces, sure_faces
from unlearnkit_faces.numbering import with_numbered_picture

__all__ = ["align_if_needed", "align_picture", "ffhq_square", "is_aligned", "sample_square", "similarity", "to_pixels"]

Points = NDArray[np.float64]
CORNERS = np.array([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]])
"""Upper left, upper right and lower left of a square, in units of half its side."""
CENTRE, SCALE, TILT = 0.1, 1.3, math.radians(12)
"""How far the square of an aligned picture's face may be from the whole picture: its centre, in sides; its side, as a
factor; its angle. Detectors differ by less, and crops of photos by more."""


def align_picture(
    image: Image.Image | NDArray[np.uint8], size: int, face: Choice = None, name: str = "the picture"
) -> Tensor:
    """Photo -> the face in it, upright and centred as in FFHQ: ``(3, size, size)``, RGB in [-1, 1].

    * ``image``: a PIL image (rotated by its EXIF orientation) or an array ``(H, W, 3)`` of 8-bit RGB
    * ``face``: of several faces, ``"largest"`` or a number from the left; None refuses a photo with several
    * ``name``: the photo's name in messages

    :raises NoFaceError: if there is no face, or several where one is required.
    :raises ShapeError: if ``image`` has another shape or type.
    """
    pixels = to_pixels(image)
    return _cut(pixels, size, detect_faces(pixels), face, name)


def align_if_needed(
    image: Image.Image | NDArray[np.uint8], size: int, face: Choice = None, name: str = "the picture"
) -> Tensor | None:
    """As :func:`align_picture`, but None if a face is in FFHQ's place already, or none is found.

    :raises NoFaceError: if there are several and none of them is in its place.
    """
    pixels = to_pixels(image)
    faces = detect_faces(pixels)
    sure = sure_faces(faces)
    if not sure or (face is None and any(is_aligned(found.landmarks, pixels.shape[1]) for found in sure)):
        return None
    return _cut(pixels, size, faces, face, name)


def _cut(pixels: NDArray[np.uint8], size: int, faces: list[Face], face: Choice, name: str) -> Tensor:
    with with_numbered_picture(pixels, faces, name):
        landmarks = choose_face(faces, face, name).landmarks
    try:
        centre, half = ffhq_square(landmarks)
    except NoFaceError as error:
        raise NoFaceError(f"{name}: {error}") from None
    return sample_square(pixels, centre, half, size)


def is_aligned(landmarks: Points, side: int) -> bool:
    """Whether FFHQ would have cut a square picture of this ``side`` as it is, from the face with these landmarks."""
    try:
        centre, half = ffhq_square(landmarks)
    except NoFaceError:
        return False
    scale = 2 * float(np.hypot(*half)) / side
    near = float(np.abs(centre / side - 0.5).max()) <= CENTRE
    return near and 1 / SCALE <= scale <= SCALE and abs(math.atan2(half[1], half[0])) <= TILT


def to_pixels(image: Image.Image | NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A PIL image or an array as 8-bit RGB ``(H, W, 3)``.

    :raises ShapeError: if it is neither.
    """
    if isinstance(image, Image.Image):
        return np.array(ImageOps.exif_transpose(image).convert("RGB"))
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ShapeError(
            f"a picture of shape {image.shape} and type {image.dtype} given, expected (H, W, 3), uint8")
    return image


def ffhq_square(landmarks: Points) -> tuple[Points, Points]:
    """Landmarks ``(5, 2)`` -> centre ``(2,)`` and the vector to the middle of the right edge ``(2,)``, in pixels.

    :raises NoFaceError: if eyes and mouth coincide, so that the orientation is undefined.
    """
    left, right, _, *mouth = landmarks
    across = right - left
    eyes = (left + right) / 2
    up = eyes - (mouth[0] + mouth[1]) / 2
    edge = across + np.array([-up[1], up[0]])
    length = float(np.hypot(*edge))
    if not math.isfinite(length) or length < 1e-3:
        raise NoFaceError("the detected eyes and mouth coincide; give another picture")
    side = max(4.0 * float(np.hypot(*across)), 3.6 * float(np.hypot(*up)))
    return eyes - 0.1 * up, edge / length * side / 2


def sample_square(pixels: NDArray[np.uint8], centre: Points, half: Points, size: int) -> Tensor:
    """A rotated square of an image as ``(3, size, size)`` in [-1, 1], antialiased, with reflection padding.

    * ``centre``, ``half``: as returned by :func:`ffhq_square`
    """
    down = np.array([-half[1], half[0]])
    corners = centre + CORNERS[:, :1] * half + CORNERS[:, 1:] * down
    picture, corners = _crop(pixels, corners)
    side = 2 * float(np.hypot(*half))
    shrink = max(1, int(side / (2 * size)))
    if shrink > 1:
        picture = F.avg_pool2d(picture, shrink, ceil_mode=True)
        corners = corners / shrink
    finer = max(1, math.ceil(side / shrink / size))
    warped = warp(picture, torch.from_numpy(corners)[None], size * finer, "reflection")
    return F.avg_pool2d(warped, finer)[0]


def warp(images: Tensor, corners: Tensor, size: int, padding: str = "zeros") -> Tensor:
    """Bilinear samples ``(N, 3, size, size)`` of parallelograms; differentiable in ``images``.

    * ``corners`` ``(N, 3, 2)``: upper left, upper right and lower left, in pixels of ``images``
    """
    height, width = images.shape[2:]
    places = corners / corners.new_tensor([width, height]) * 2 - 1
    across, down = (places[:, 1] - places[:, 0]) / 2, (places[:, 2] - places[:, 0]) / 2
    theta = torch.stack([across, down, places[:, 0] + across + down], dim=2).to(images)
    grid = F.affine_grid(theta, [len(images), 3, size, size], align_corners=False)
    return F.grid_sample(images, grid, padding_mode=padding, align_corners=False)


def similarity(landmarks: Points, template: Points) -> Points:
    """Least-squares similarity transform ``(2, 3)`` that maps ``template`` to ``landmarks``, both ``(K, 2)``.

    In complex numbers: landmark = a * template + b, without reflection.
    """
    source, goal = template @ [1, 1j], landmarks @ [1, 1j]
    spread = source - source.mean()
    a = np.vdot(spread, goal - goal.mean()) / np.vdot(spread, spread)
    b = goal.mean() - a * source.mean()
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def _crop(pixels: NDArray[np.uint8], corners: Points) -> tuple[Tensor, Points]:
    """The region of a photo that a square needs, as ``(1, 3, h, w)`` in [-1, 1]: photos can be huge."""
    fourth = corners[1] + corners[2] - corners[0]
    every = np.vstack([corners, fourth])
    limit = np.array([pixels.shape[1], pixels.shape[0]])
    low = np.clip(np.floor(every.min(0)) - 2, 0, limit - 1).astype(int)
    high = np.clip(np.ceil(every.max(0)) + 2, low + 1, limit).astype(int)
    part = np.ascontiguousarray(pixels[low[1]:high[1], low[0]:high[0]])
    return torch.from_numpy(part).permute(2, 0, 1)[None].float() / 127.5 - 1, corners - low
