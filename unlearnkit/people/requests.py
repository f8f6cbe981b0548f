"""From what the user gives (pictures, a saved latent, a seed) to the people of a request."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from unlearnkit.checkpoints import read_tensors, write_tensors
from unlearnkit.engine import micro_batch_size
from unlearnkit.errors import ConfigError, ShapeError, UnlearnkitError
from unlearnkit.files.atomic import sha256_file
from unlearnkit.interfaces import Generator, Inverter, Person, Request, draw_people
from unlearnkit.people.names import erased_names, erased_pictures, erased_tables
from unlearnkit.plugins import registry
from unlearnkit.streams import stream

__all__ = ["check_request", "load_latent", "load_picture", "make_request", "person_of_seed", "save_latent"]

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


def person_of_seed(generator: Generator, seed: int) -> Tensor:
    """The latent ``(1, num_ws, w_dim)`` of the random person whom ``seed`` stands for, whatever else is drawn."""
    return generator.sample_latents(1, stream(seed, "person"))


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
    """The people to erase and the bystanders, as ``[request]`` describes them (see RequestSettings).

    :raises ConfigError: if nobody is to be erased, or ``erase`` asks for more pictures than somebody has.
    """
    _check_erase(settings)
    people = tuple(_person(table, settings, generator, inverter, device) for table in erased_tables(settings))
    bystanders = _bystanders([Path(path) for path in settings.get("bystanders") or ()], settings, generator, inverter,
                             device)
    count = int(settings.get("random_bystanders") or 0)
    if count:
        erased = Request(people).erased
        latents = draw_people(generator, count, stream(seed, "bystanders"), erased)
        bystanders += [Person(f"random-{i}", latents[i : i + 1]) for i in range(count)]
    return Request(people, tuple(bystanders))


def _bystanders(
    paths: Sequence[Path], settings: Mapping[str, Any], generator: Generator, inverter: Inverter | None,
    device: torch.device,
) -> list[Person]:
    """One person a picture; so many small pictures are inverted together as fill a processor."""
    found: list[Person] = []
    size = micro_batch_size(torch.device("cpu"), generator.resolution, len(paths))
    for start in range(0, len(paths), size):
        together = paths[start : start + size]
        latents, pictures = _invert(together, settings, generator, inverter, device)
        found += [Person(path.stem, latents[i : i + 1], pictures[i : i + 1]) for i, path in enumerate(together)]
    return found


def check_request(settings: Mapping[str, Any], earlier: Collection[str] = ()) -> None:
    """Refuse what can be seen before any network is loaded; ``earlier`` are the SHA-256 of pictures erased before.

    :raises ConfigError: if somebody has fewer pictures than ``erase``, or a bystander's picture is that of somebody
        who is or was erased.
    """
    _check_erase(settings)
    gone = {sha256_file(path): path for path in erased_pictures(settings)}
    for path in map(Path, settings.get("bystanders") or ()):
        known = sha256_file(path)
        if known in gone or known in earlier:
            when = f"is also a picture to erase ({gone[known]})" if known in gone else "was erased by an earlier edit"
            raise ConfigError(f"bystander {path} {when}, and nobody can be both; leave it out of the bystanders")


def _check_erase(settings: Mapping[str, Any]) -> None:
    wanted = int(settings.get("erase") or 1)
    for name, table in zip(erased_names(settings), erased_tables(settings), strict=True):
        there = len(table.get("images") or ()) or 1
        if there < wanted:
            raise ConfigError(
                f"request.erase: got {wanted}, but {name} has {there}; give more pictures of {name}, or at most {there}"
            )


def _person(
    table: Mapping[str, Any], settings: Mapping[str, Any], generator: Generator, inverter: Inverter | None,
    device: torch.device,
) -> Person:
    name, erased = str(table.get("name") or "person"), int(settings.get("erase") or 1)
    if images := [Path(path) for path in table.get("images") or ()]:
        return Person(name, *_invert(images, settings, generator, inverter, device), erased)
    if table.get("latent") is not None:
        return Person(name, load_latent(Path(table["latent"]), generator)[None].to(device))
    if table.get("latent_seed") is None:
        raise ConfigError(
            "nobody to erase: give --image PICTURE, --latent FILE, --latent-seed NUMBER or --person NAME=PICTURE"
        )
    return Person(name, person_of_seed(generator, int(table["latent_seed"])))


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
