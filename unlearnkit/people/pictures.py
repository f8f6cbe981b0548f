"""Pictures of people: read, checked, and resized to a generator's resolution."""

from __future__ import annotations

import warnings
from pathlib import Path
from struct import error as struct_error
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from unlearnkit.errors import ConfigError, UnlearnkitError
from unlearnkit.files.reading import check_regular
from unlearnkit.plugins import registry

__all__ = ["check_picture", "load_picture"]

MAX_PIXELS = 64_000_000
MIN_SIDE = 4
"""Below this, nothing is a picture: 1×1 is what a failed download or a tracking pixel leaves."""

_HEIF = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"avif", b"avis")


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
    _check_square(path, picture)
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
        _check_square(path, picture)


def _open(path: Path) -> Image.Image:
    """The decoded picture, upright, 8-bit RGB; decoding here catches truncated files."""
    try:
        check_regular(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit here is lower
            with Image.open(path) as opened:
                _check_size(path, opened)
                opened.load()
                return _rgb(path, ImageOps.exif_transpose(opened))
    except Image.DecompressionBombError as error:
        raise ConfigError(f"{path} has too many pixels ({error}); give at most {MAX_PIXELS:,}") from error
    except MemoryError as error:
        raise ConfigError(f"{path} needs more memory than is free; make the picture smaller") from error
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError, TypeError, EOFError, KeyError, IndexError,
            OverflowError, struct_error) as error:
        if isinstance(error, UnlearnkitError):
            raise
        raise ConfigError(_unreadable(path, error)) from error


def _check_size(path: Path, opened: Image.Image) -> None:
    if opened.width * opened.height > MAX_PIXELS:
        raise ConfigError(f"{path} has {opened.width}×{opened.height} pixels; give at most {MAX_PIXELS:,}")
    if min(opened.size) < MIN_SIDE:
        raise ConfigError(f"{path} has {opened.width}×{opened.height} pixels, too few to show a face; give a larger "
                          "picture")
    frames = getattr(opened, "n_frames", 1)
    if frames > 1 and opened.format != "MPO":  # a phone's JPEG with a second exposure: the first is the photo
        raise ConfigError(f"{path} holds {frames} pictures (animated, or of several pages); save the one that shows "
                          "the person as PNG or JPEG")


def _rgb(path: Path, picture: Image.Image) -> Image.Image:
    """8-bit RGB: deep greys and floats scaled rather than clipped, what is transparent on white."""
    if picture.mode.startswith("I") or picture.mode == "F":
        return Image.fromarray(_deep_grey(path, np.asarray(picture), picture.mode)).convert("RGB")
    if picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info:
        seen = picture.convert("RGBA")
        if np.asarray(seen)[..., 3].max() == 0:
            raise ConfigError(f"{path} is transparent everywhere; give a picture that shows a face")
        white = Image.new("RGBA", seen.size, "white")
        return Image.alpha_composite(white, seen).convert("RGB")
    return picture.convert("RGB")


def _deep_grey(path: Path, values: np.ndarray[Any, Any], mode: str) -> np.ndarray[Any, Any]:
    """Grey values of more than 8 bits as 8 bits; the scale is that of the type, or the one that the values fit."""
    values = values.astype(np.float64)
    low, high = float(values.min()), float(values.max())  # both NaN if one value is
    scales = (65535.0,) if mode.startswith("I;16") else (1.0, 255.0) if mode == "F" else (255.0, 65535.0)
    scale = next((scale for scale in scales if low >= 0 and high <= scale), None)
    if scale is None:
        raise ConfigError(f"{path} has grey values from {low:.6g} to {high:.6g}, whose scale is not known; save it as "
                          "8-bit PNG")
    grey: np.ndarray[Any, Any] = np.rint(values * (255 / scale)).astype(np.uint8)
    return grey


def _check_square(path: Path, picture: Image.Image) -> None:
    if abs(picture.width - picture.height) > 1:
        raise ConfigError(
            f"{path} is {picture.width}×{picture.height} pixels, but an aligned face is square; "
            "crop it as FFHQ does, or let unlearnkit do so with --set request.align=true"
        )


def _unreadable(path: Path, error: Exception) -> str:
    """Why a file is no picture, and what to do."""
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    try:
        check_regular(path)
        with path.open("rb") as file:
            head = file.read(12)
    except OSError:
        return f"{path} cannot be read as a picture ({reason}); give a PNG or JPEG"
    if head[4:8] == b"ftyp" and head[8:12] in _HEIF:
        return (f"{path} is a HEIC or AVIF photo, which cannot be read here; save it as JPEG or PNG first "
                "(heif-convert photo.heic photo.png, or 'export' on the phone)")
    return f"{path} cannot be read as a picture ({reason}); give a PNG or JPEG"
