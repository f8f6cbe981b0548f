"""A picture that numbers the faces in a photo, for whoever must say which of them is meant."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from unlearnkit_faces.detection import Face, SeveralFacesError, from_the_left, sure_faces

__all__ = ["numbered", "with_numbered_picture"]

LONGEST_SIDE = 1600
ATTEMPTS = 20
"""File names that are tried before the picture is left out."""


@contextlib.contextmanager
def with_numbered_picture(pixels: NDArray[np.uint8], faces: list[Face], name: str) -> Iterator[None]:
    """Add to the error about several faces the path of a picture beside the photo ``name`` that numbers them.

    :raises SeveralFacesError: the one that was raised inside, with the path if the picture could be written.
    """
    try:
        yield
    except SeveralFacesError as error:
        path = _write(numbered(pixels, from_the_left(sure_faces(faces))), Path(name))
        if path is None:
            raise
        raise SeveralFacesError(f"{error} ({path} shows the numbers)") from None


def numbered(pixels: NDArray[np.uint8], faces: list[Face]) -> Image.Image:
    """A photo ``(H, W, 3)`` with a box and a number around each face, at most 1600 pixels wide or high."""
    shrink = max(1.0, max(pixels.shape[:2]) / LONGEST_SIDE)
    picture = Image.fromarray(pixels)
    picture = picture.resize((round(picture.width / shrink), round(picture.height / shrink)))
    draw = ImageDraw.Draw(picture)
    for number, face in enumerate(faces, 1):
        left, top, right, bottom = (edge / shrink for edge in face.box)
        size = max(14, round((bottom - top) / 4))
        draw.rectangle((left, top, right, bottom), outline="yellow", width=max(2, size // 10))
        font = ImageFont.load_default(size)
        place = (max(0.0, left), max(0.0, top - 1.3 * size))
        draw.rectangle(draw.textbbox(place, str(number), font=font), fill="black")
        draw.text(place, str(number), fill="yellow", font=font)
    return picture


def _write(picture: Image.Image, photo: Path) -> Path | None:
    """Write ``me-faces.png`` beside ``me.jpg``, for its owner alone and never over another file; None if impossible."""
    if not photo.is_file():
        return None
    held = io.BytesIO()
    picture.save(held, "PNG")
    for attempt in range(1, ATTEMPTS + 1):
        path = photo.with_name(f"{photo.stem}-faces{'' if attempt == 1 else f'-{attempt}'}.png")
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            if _holds(path, held.getvalue()):
                return path
            continue
        except OSError:  # a folder that cannot be written
            return None
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(held.getvalue())
        except OSError:  # a full disk
            path.unlink()
            return None
        return path
    return None


def _holds(path: Path, content: bytes) -> bool:
    with contextlib.suppress(OSError):
        return path.is_file() and path.read_bytes() == content
    return False
