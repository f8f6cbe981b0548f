"""Build the people of a request from pictures, saved latents and seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import attrs
import torch
from torch import Tensor

from unlearnkit.config.settings import PersonSettings, RequestSettings
from unlearnkit.engine import micro_batch_size
from unlearnkit.errors import ConfigError, ShapeError
from unlearnkit.files.atomic import sha256_file
from unlearnkit.interfaces import Generator, Inverter, Person, Request, draw_people
from unlearnkit.people.latent_files import load_latent, person_of_seed
from unlearnkit.people.pictures import load_picture
from unlearnkit.streams import stream
from unlearnkit.ticks import tick

__all__ = ["Album", "check_request", "invert_pictures", "make_request", "read_album"]


_NOBODY = "nobody to erase: give --image PICTURE, --latent FILE, --latent-seed NUMBER or --person NAME=PICTURE"


@attrs.frozen(eq=False)
class Album:
    """The pictures of a request, each ``(3, H, W)``: all of each person to erase, and one of each bystander."""

    people: tuple[tuple[Tensor, ...], ...]
    bystanders: tuple[Tensor, ...]


def check_request(request: RequestSettings, earlier: Callable[[Path], bool] | None = None) -> None:
    """Check a request before any network is loaded; ``earlier`` is true of pictures of people erased by earlier edits.

    :raises ConfigError: if nobody is to be erased, a person has fewer pictures than ``erase``, or a bystander's picture
        shows a person who is or was erased.
    """
    for person in request.erased:
        if not person.ways:
            raise ConfigError(_NOBODY)
        available = len(person.images) or 1
        if available < request.erase:
            raise ConfigError(f"request.erase: got {request.erase}, but {person.name} has {available}; give more "
                              f"pictures of {person.name}, or at most {available}")
    erased = {sha256_file(path): path for path in (request.pictures if request.bystanders else ())}
    for path in request.bystanders:
        sha = sha256_file(path)
        if sha in erased or (earlier is not None and earlier(path)):
            when = f"is also a picture to erase ({erased[sha]})" if sha in erased else "was erased by an earlier edit"
            raise ConfigError(f"bystander {path} {when}, and nobody can be both; leave it out of the bystanders")


def read_album(request: RequestSettings, size: int) -> Album:
    """Read every picture of a request as ``(3, size, size)`` in [-1, 1], aligned if the request says so.

    :raises ConfigError: for a file that is not a picture.
    :raises NoFaceError: if a face is to be aligned and not found.
    """
    people = tuple(
        tuple(load_picture(path, size, request.align, request.face) for path in person.images)
        for person in request.erased
    )
    return Album(people, tuple(load_picture(path, size, request.align, request.face) for path in request.bystanders))


def make_request(
    request: RequestSettings, album: Album, generator: Generator, inverter: Inverter | None, seed: int,
    device: torch.device, earlier: tuple[Person, ...] = (),
) -> Request:
    """The people to erase and the bystanders, with their latents; ``earlier`` are people erased by earlier edits.

    Random bystanders are never one of either.

    :raises ConfigError: if nobody is to be erased, or a picture needs an inverter and there is none.
    """
    invert = _Inversion(generator, inverter, device)
    people = tuple(
        _person(person, pictures, request.erase, invert)
        for person, pictures in zip(request.erased, album.people, strict=True)
    )
    bystanders = _bystanders([path.stem for path in request.bystanders], album.bystanders, invert)
    if request.random_bystanders:
        gone = Request(people, earlier=earlier).gone
        latents = draw_people(generator, request.random_bystanders, stream(seed, "bystanders"), gone)
        bystanders += [Person(f"random-{i}", latents[i : i + 1]) for i in range(len(latents))]
    return Request(people, tuple(bystanders), earlier)


def invert_pictures(
    paths: Sequence[Path], request: RequestSettings, generator: Generator, inverter: Inverter | None,
    device: torch.device,
) -> tuple[Tensor, Tensor] | None:
    """Latents ``(M, num_ws, w_dim)`` and pictures ``(M, 3, H, W)`` of more files, read as the request says; or None.

    :raises ConfigError: for a file that is not a picture, or without an inverter.
    """
    pictures = tuple(load_picture(path, generator.resolution, request.align, request.face) for path in paths)
    return _Inversion(generator, inverter, device)(pictures) if pictures else None


def _person(person: PersonSettings, pictures: tuple[Tensor, ...], erase: int, invert: _Inversion) -> Person:
    if pictures:
        return Person(person.name, *invert(pictures), erase)
    if person.latent is not None:
        return Person(person.name, load_latent(person.latent, invert.generator)[None].to(invert.device))
    if person.latent_seed is None:
        raise ConfigError(_NOBODY)
    return Person(person.name, person_of_seed(invert.generator, person.latent_seed))


def _bystanders(names: list[str], pictures: tuple[Tensor, ...], invert: _Inversion) -> list[Person]:
    """One person per picture; pictures are inverted in batches sized for a CPU."""
    people: list[Person] = []
    size = micro_batch_size(torch.device("cpu"), invert.generator.resolution, len(pictures))
    for start in range(0, len(pictures), size):
        tick(start, len(pictures))
        latents, images = invert(pictures[start : start + size])
        people += [Person(names[start + i], latents[i : i + 1], images[i : i + 1]) for i in range(len(latents))]
    return people


@attrs.frozen(eq=False)
class _Inversion:
    """Pictures -> their latents, by the run's inverter."""

    generator: Generator
    inverter: Inverter | None
    device: torch.device

    def __call__(self, pictures: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Latents ``(M, num_ws, w_dim)`` and pictures ``(M, 3, H, W)``."""
        if self.inverter is None:
            raise ConfigError("a picture needs an inverter: give --inverter NAME ('unlearnkit plugins' lists them)")
        images = torch.stack(pictures).to(self.device)
        latents = self.inverter.invert(images, self.generator).detach()
        expected = (len(pictures), self.generator.num_ws, self.generator.w_dim)
        if latents.shape != expected or not latents.isfinite().all():
            raise ShapeError(f"the inverter returned {tuple(latents.shape)} for {len(pictures)} pictures; this "
                             f"generator needs finite latents {expected}")
        return latents, images
