"""From what the user gives (pictures, a saved latent, a seed) to the people of a request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from unlearnkit.checkpoints import read_tensors, write_tensors
from unlearnkit.errors import ConfigError, ShapeError, UnlearnkitError
from unlearnkit.interfaces import Generator, Inverter, Person, Request
from unlearnkit.plugins import registry

__all__ = ["load_latent", "load_picture", "make_request", "save_latent"]

MAX_PIXELS = 64_000_000


def load_picture(path: Path, size: int, align: bool = False) -> Tensor:
    """Read a picture as ``(3, size, size)`` in [-1, 1], RGB; ``align`` finds the face and crops as FFHQ does.

    :raises ConfigError: if the file is no picture, or not square while ``align`` is off.
    :raises NoFaceError: if ``align`` finds no face, or several.
    """
    try:
        with Image.open(path) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                raise ConfigError(f"{path} has {opened.width}×{opened.height} pixels; give at most {MAX_PIXELS:,}")
            opened.load()
            picture = opened if align else ImageOps.exif_transpose(opened).convert("RGB")
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError, SyntaxError, ValueError) as error:
        if isinstance(error, UnlearnkitError):
            raise
        raise ConfigError(f"{path} cannot be read as a picture ({error}); give a PNG or JPEG") from error
    if align:
        return registry().align_picture(picture, size, str(path))
    if abs(picture.width - picture.height) > 1:
        raise ConfigError(
            f"{path} is {picture.width}×{picture.height} pixels, but an aligned face is square; "
            "crop it as FFHQ does, or let unlearnkit do so with --set request.align=true"
        )
    image = torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 127.5 - 1
    mode = "area" if picture.width > size else "bicubic"
    extra: dict[str, Any] = {} if mode == "area" else {"align_corners": False}
    return F.interpolate(image[None], size=(size, size), mode=mode, **extra)[0].clamp(-1, 1)


def save_latent(path: Path, latent: Tensor) -> None:
    """Write a latent ``(num_ws, w_dim)`` to a new safetensors file."""
    write_tensors(path, {"latent": latent.detach().cpu().contiguous()}, {"format": "unlearnkit-latent-1"})


def load_latent(path: Path, generator: Generator) -> Tensor:
    """Read a latent ``(num_ws, w_dim)`` from a safetensors file (as ``unlearnkit invert`` writes) or a ``.npy``.

    :raises ConfigError: if it has another shape or numbers that are not finite.
    """
    try:
        if path.suffix == ".npy":
            latent = torch.from_numpy(np.load(path, allow_pickle=False)).float()
        else:
            latent = read_tensors(path)[0]["latent"].float()
    except (KeyError, ValueError, OSError, TypeError) as error:
        if isinstance(error, UnlearnkitError):
            raise
        raise ConfigError(f"{path} holds no latent ({error}); give a file that 'unlearnkit invert' wrote") from error
    wanted = (generator.num_ws, generator.w_dim)
    if latent.shape == (generator.w_dim,):
        latent = latent.expand(wanted)
    if latent.shape == (1, *wanted):
        latent = latent[0]
    if latent.shape != wanted or not latent.isfinite().all():
        raise ConfigError(f"{path}: the latent has shape {tuple(latent.shape)}; this generator needs {wanted}, finite")
    return latent


def make_request(
    settings: Mapping[str, Any], generator: Generator, inverter: Inverter | None, seed: int, device: torch.device
) -> Request:
    """The person to erase and the bystanders, as ``[request]`` describes them (see RequestSettings)."""
    rng = torch.Generator().manual_seed(seed)
    person = _person(settings, generator, inverter, device)
    bystanders = [
        Person(path.stem, *_invert([path], settings, generator, inverter, device))
        for path in map(Path, settings.get("bystanders") or ())
    ]
    count = int(settings.get("random_bystanders") or 0)
    if count:
        z = torch.randn(count, generator.z_dim, generator=rng)
        with torch.no_grad():
            latents = generator.map(z.to(device))
        bystanders += [Person(f"random-{i}", latents[i : i + 1]) for i in range(count)]
    return Request((person,), tuple(bystanders))


def _person(
    settings: Mapping[str, Any], generator: Generator, inverter: Inverter | None, device: torch.device
) -> Person:
    name = str(settings.get("name") or "person")
    if images := [Path(path) for path in settings.get("images") or ()]:
        return Person(name, *_invert(images, settings, generator, inverter, device))
    if settings.get("latent") is not None:
        return Person(name, load_latent(Path(settings["latent"]), generator)[None].to(device))
    if settings.get("latent_seed") is None:
        raise ConfigError("nobody to erase: give --image PICTURE, --latent FILE or --latent-seed NUMBER")
    z = torch.randn(1, generator.z_dim, generator=torch.Generator().manual_seed(int(settings["latent_seed"])))
    with torch.no_grad():
        return Person(name, generator.map(z.to(device)))


def _invert(
    paths: Sequence[Path], settings: Mapping[str, Any], generator: Generator, inverter: Inverter | None,
    device: torch.device,
) -> tuple[Tensor, Tensor]:
    """Latents ``(M, num_ws, w_dim)`` and pictures ``(M, 3, H, W)``."""
    if inverter is None:
        raise ConfigError("a picture needs an inverter: give --inverter NAME ('unlearnkit plugins' lists them)")
    align = bool(settings.get("align"))
    pictures = torch.stack([load_picture(path, generator.resolution, align) for path in paths]).to(device)
    latents = inverter.invert(pictures, generator).detach()
    if latents.shape != (len(paths), generator.num_ws, generator.w_dim) or not latents.isfinite().all():
        raise ShapeError(
            f"the inverter returned {tuple(latents.shape)} for {len(paths)} pictures; this generator needs "
            f"finite latents {(len(paths), generator.num_ws, generator.w_dim)}"
        )
    return latents, pictures
