"""Is what is drawn a face at all? By a face detector, where a plugin has one for the generator's domain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import torch
from torch import Tensor

from unlearnkit.config import option
from unlearnkit.interfaces import About, Evidence, Generator, Metric, Number, Person
from unlearnkit.metrics.gallery import Gallery
from unlearnkit.plugins import registry

__all__ = ["SURE", "FacesFound", "find_faces"]

SURE = 0.9
"""Confidence from which a detection counts as a face."""


def find_faces(images: Tensor, generator: Generator) -> Tensor | None:
    """Confidence ``(N,)`` of the likeliest face in each image ``(N, 3, H, W)``; None without a detector for them."""
    found = registry().find_faces(images, generator.faces_domain())
    return None if found is None else found.detach().float().cpu()


@attrs.define
class FacesFound(Metric):
    """In how many pictures a face detector finds a face: of erased latents, bystanders, and random people.

    A detector says that there *is* a face, not whose, nor that it is a good one: a distorted face is found too. The
    same of random people before the edit tells what the detector is worth here. Nothing is sought where no plugin has
    a detector for the generator's domain, as in the bundled world; there, strangeness alone speaks
    (:mod:`unlearnkit.metrics.naturalness`).
    """

    random: int = option(16, help="random people of the sample to look at, before and after", ge=1)

    def measure(self, evidence: Evidence) -> dict[str, float]:
        """Faces found and looked for, and the lowest confidence in an erased picture."""
        groups = _latents(evidence, self.random)
        seen: dict[str, Tensor] = {}
        for name, (generator, latents) in groups.items():
            if not len(latents):
                continue
            found = find_faces(Gallery.of(evidence).fronts.images(generator, latents), generator)
            if found is None:
                return {"n_erased_faces_sought": 0.0}
            seen[name] = found
        numbers = {"erased_face_lowest": float(seen["erased"].min())} if "erased" in seen else {}
        for name, found in seen.items():
            numbers |= {f"{name}_faces": float((found >= SURE).sum()), f"n_{name}_faces_sought": float(len(found))}
        return numbers

    def numbers(self, about: About) -> tuple[Number, ...]:
        """A count for each group, and the lowest confidence."""
        titles: Mapping[str, str] = {
            "erased": "Erased pictures with a face, after", "bystanders": "Bystanders with a face, after",
            "random": "Random people with a face, after", "random_before": "Random people with a face, before",
        }
        counts = [Number(f"{name}_faces", title, "higher", count=f"n_{name}_faces_sought", least=0.0, digits=0)
                  for name, title in titles.items()]
        return (*counts, Number("erased_face_lowest", "Least certain face of an erased picture after, confidence",
                                "higher", least=0.0, most=1.0))


def _latents(evidence: Evidence, count: int) -> dict[str, tuple[Generator, Tensor]]:
    """By group: the generator, and the latents whose pictures of it are looked at."""
    request, random = evidence.request, Gallery.of(evidence).random(count)
    return {
        "erased": (evidence.edited, request.erased),
        "bystanders": (evidence.edited, _first(request.bystanders, random)),
        "random": (evidence.edited, random), "random_before": (evidence.frozen, random),
    }


def _first(people: Sequence[Person], like: Tensor) -> Tensor:
    return torch.cat([like[:0], *(person.latents[:1].to(like) for person in people)])
