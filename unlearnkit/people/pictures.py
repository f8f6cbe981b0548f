"""Pictures of people: read, checked, and resized to a generator's resolution."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from unlearnkit.errors import ConfigError, UnlearnkitError
from unlearnkit.plugins import registry

__all__ = ["check_picture", "load_picture"]

MAX_PIXELS = 64_000_000


def load_picture(
    path: Path, size: int, align: bool | Literal["auto"] = False, face: int | str | None = None
) -> Tensor:
    """Read a picture as ``(3, size, size)`` in [-1, 1], RGB; ``align`` detects the face and crops it as FFHQ does.

    ``"auto"`` leaves a square picture as it is if its face is in its place already or none is found; ``face`` says
    which of several is meant, ``"largest"`` or a number.

    :raises ConfigError: if the file is not a picture, or not square while ``align`` is off.
    :raises NoFaceError: if ``align`` finds no face, or several.
    """
    picture = _open(path)
    if align is not False:
        required = align is True or abs(picture.width - picture.height) > 1
        aligned = registry().align_picture(picture, size, str(path), face, required)
        if aligned is not None:
            return aligned
    picture = _square(path, picture)
    image = torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 127.5 - 1
    mode = "area" if picture.width > size else "bicubic"
    extra: dict[str, Any] = {} if mode == "area" else {"align_corners": False}
    return F.interpolate(image[None], size=(size, size), mode=mode, **extra)[0].clamp(-1, 1)


def check_picture(path: Path, align: bool | Literal["auto"] = False) -> None:
    """Refuse what :func:`load_picture` would refuse, short of detecting the face.

    :raises ConfigError: as :func:`load_picture`.
    """
    picture = _open(path)
    if align is False:
        _square(path, picture)


def _open(path: Path) -> Image.Image:
    """The decoded picture; decoding here catches truncated files."""
    try:
        with Image.open(path) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                raise ConfigError(f"{path} has {opened.width}×{opened.height} pixels; give at most {MAX_PIXELS:,}")
            opened.load()
            return opened.copy()
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError, SyntaxError, ValueError) as error:
        if isinstance(error, UnlearnkitError):
            raise
        raise ConfigError(f"{path} cannot be read as a picture ({error}); give a PNG or JPEG") from error


def _square(path: Path, opened: Image.Image) -> Image.Image:
    picture = ImageOps.exif_transpose(opened).convert("RGB")
    if abs(picture.width - picture.height) > 1:
        raise ConfigError(
            f"{path} is {picture.width}×{picture.height} pixels, but an aligned face is square; "
            "crop it as FFHQ does, or let unlearnkit do so with --set request.align=true"
        )
    return picture
