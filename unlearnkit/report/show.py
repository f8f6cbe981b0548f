"""Draws the pictures of a run's report: the person, their other pictures, bystanders, random people; and grids."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from unlearnkit.errors import ConfigError, RunError
from unlearnkit.files.atomic import write_new
from unlearnkit.interfaces import Evidence, Generator, Person
from unlearnkit.metrics.gallery import Gallery
from unlearnkit.report.pictures import Picture, png, save_images
from unlearnkit.report.turn import depth_pictures, save_turns, turn, turn_gif
from unlearnkit.runs import Run

__all__ = ["save_grid", "save_turning_grid", "show_people"]

RANDOM_PEOPLE = 8


def show_people(run: Run, evidence: Evidence, targets: Tensor) -> None:
    """Write the pictures that the report shows; similarities are the judge's, to the person's reference."""
    entries: list[Picture] = []
    wanted = targets.split([len(person.latents[: person.n_erased]) for person in evidence.request.people])
    for person, target in zip(evidence.request.people, wanted, strict=True):
        # A method may have no target: then it is the latent itself.
        aimed = None if torch.equal(target, person.latents[: person.n_erased]) else target
        entries += _pictures(evidence, person, "erased", slice(person.n_erased), aimed)
        entries += _pictures(evidence, person, "others", slice(person.n_erased, None))
    entries += _earlier(evidence)
    for person in evidence.request.bystanders:
        entries += _pictures(evidence, person, "bystanders", slice(None))
    latents = Gallery.of(evidence).random(RANDOM_PEOPLE)
    entries += _pictures(evidence, Person("random", latents), "random", slice(None))
    entries += depth_pictures(evidence, (*evidence.request.people, *evidence.request.bystanders[:3]))
    save_images(run, entries)
    save_turns(run, evidence)


def _pictures(
    evidence: Evidence, person: Person, group: str, which: slice, target: Tensor | None = None
) -> Iterator[Picture]:
    sides = {"before": evidence.frozen, "after": evidence.edited}
    return _shown(evidence, person, group, which, sides, which.start or 0, target)


def _earlier(evidence: Evidence) -> Iterator[Picture]:
    """Who was erased by earlier edits: in the checkpoint, with those edits on it, and now."""
    if evidence.original is None:
        return
    sides = {"before": evidence.original, "then": evidence.frozen, "after": evidence.edited}
    start = 0
    for person in evidence.request.earlier:
        yield from _shown(evidence, person, "earlier", slice(person.n_erased), sides, start)
        start += person.n_erased  # people of different runs may have one name: their numbers tell them apart


def _shown(
    evidence: Evidence, person: Person, group: str, which: slice, sides: Mapping[str, Generator], start: int,
    target: Tensor | None = None,
) -> Iterator[Picture]:
    """Some latents of a person in each generator of ``sides``, by role, numbered from ``start``."""
    latents = person.latents[which]
    if not len(latents):
        return
    fronts = Gallery.of(evidence).fronts
    images = {role: fronts.images(generator, latents) for role, generator in sides.items()}
    faces = {role: fronts.seen(generator, latents)[0] for role, generator in sides.items()}
    reference, known = images["before"], faces["before"]
    if person.pictures is not None:
        reference = person.pictures[which]
        with torch.no_grad():
            known = evidence.judge.embed(reference)
    scores = {role: (seen * known.to(seen)).sum(1) for role, seen in faces.items()}
    wanted = None if target is None else fronts.images(evidence.frozen, target)
    for i in range(len(latents)):
        if person.pictures is not None:
            yield Picture(group, person.name, start + i, "picture", reference[i])
        if wanted is not None:
            yield Picture(group, person.name, start + i, "target", wanted[i])
        for role, seen in images.items():
            yield Picture(group, person.name, start + i, role, seen[i], float(scores[role][i]))


def save_grid(images: Tensor, path: Path, columns: int = 8) -> None:
    """Write images ``(N, 3, H, W)`` in [-1, 1] as one PNG, ``columns`` in a row; never over an existing file.

    :raises RunError: if the file exists or cannot be written.
    """
    _write(path, png(grid(images, columns)))


def save_turning_grid(generator: Generator, latents: Tensor, path: Path) -> None:
    """Write a GIF in which the heads of latents ``(N, num_ws, w_dim)`` turn together; never over an existing file.

    :raises ConfigError: if the generator has no views to turn in.
    :raises RunError: if the file exists or cannot be written.
    """
    heads = [turn(generator, latent) for latent in latents]
    turning = [head for head in heads if head is not None]
    if not turning:
        raise ConfigError(f"{path.name}: this generator has no views, so nothing turns; give a name in .png")
    _write(path, turn_gif(torch.stack([grid(frame) for frame in torch.stack(turning, 1)])))


def grid(images: Tensor, columns: int = 8) -> Tensor:
    """Images ``(N, 3, H, W)`` side by side, ``columns`` in a row, white where one is missing: ``(3, h, w)``."""
    columns = min(columns, len(images))
    missing = -len(images) % columns
    padded = torch.cat([images, images.new_ones(missing, *images.shape[1:])])
    return torch.cat([torch.cat(list(row), 2) for row in padded.split(columns)], 1)


def _write(path: Path, data: bytes) -> None:
    try:
        write_new(path, data)
    except FileExistsError:
        raise RunError(f"{path} exists and is never overwritten; give another name with --out") from None
    except OSError as error:
        raise RunError(f"{path} cannot be written ({error.strerror or error}); choose another folder") from error
