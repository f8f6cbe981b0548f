"""Photorealistic people for the bench: drawn from seeds by the user's own generator, into a cache folder.

Nothing of them ships: the generator's licence does not allow it. The same seed and generator give the same picture.
Imports no torch until something is drawn.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import attrs

from unlearnkit.building import cache_folder
from unlearnkit.files import atomic
from unlearnkit.plugins import registry

__all__ = ["FINE_ROW", "PHOTOREALISTIC", "DrawnPicture", "draw", "drawn_picture", "folder"]

PHOTOREALISTIC = ("mobilestylegan",)
"""Generators of photographs: people of the bundled world are nobody to them, so theirs are drawn."""
FINE_ROW = 12
"""The first row of W+ (the last convolution at 64 pixels) that other looks of a person have from another draw.

Of five people the judge dlib sees two looks as alike (0.85) as it sees two photographs of one person (0.85); SFace 0.84
(0.82), MobileFaceNet 0.83 (0.82). From row 10 on it is 0.76, from row 13 on 0.92.
"""


@attrs.frozen
class DrawnPicture:
    """A picture of the person with ``seed``: look 0 as drawn, the others with the fine rows of another draw each."""

    generator: str
    seed: int
    look: int
    path: Path


def folder() -> Path:
    """Where drawn pictures, and the latents that were found of them, are kept from one bench to the next."""
    return cache_folder() / "bench"


def drawn_picture(generator: str, seed: int, look: int) -> DrawnPicture:
    """The picture of a person, by name; :func:`draw` makes it."""
    name = f"seed_{seed}" + (f"_look_{look}_from_row_{FINE_ROW}" if look else "")
    return DrawnPicture(generator, seed, look, folder() / "pictures" / generator / f"{name}.png")


def draw(pictures: Iterable[DrawnPicture]) -> None:
    """Draw those that are not there yet, as PNG files.

    :raises UnlearnkitError: if the generator was not fetched.
    """
    missing = [picture for picture in pictures if not picture.path.is_file()]
    if not missing:
        return
    import torch

    from unlearnkit.people.latent_files import person_of_seed
    from unlearnkit.report.pictures import png
    from unlearnkit.streams import stream

    generators: dict[str, Any] = {}
    for picture in missing:
        if picture.generator not in generators:
            generators[picture.generator] = registry().component_class("generator", picture.generator)()
            generators[picture.generator].prepare(torch.device("cpu"))
        generator = generators[picture.generator]
        latent = person_of_seed(generator, picture.seed).clone()
        if picture.look:
            other = generator.sample_latents(1, stream(picture.seed, "look", picture.look))
            latent[:, FINE_ROW:] = other[:, FINE_ROW:]
        with torch.no_grad():
            image = generator.render_front(latent)[0]
        with atomic.plain_errors("write", picture.path):
            atomic.write_bytes(picture.path, png(image))
