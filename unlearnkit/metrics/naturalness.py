"""Is what is left still like a picture of this generator? Distances to its own pictures in feature space."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from unlearnkit.interfaces import Evidence, Number, Person
from unlearnkit.metrics.gallery import Gallery, slices

__all__ = ["strangeness", "strangeness_numbers"]


@torch.no_grad()
def strangeness(evidence: Evidence) -> dict[str, float]:
    """How far the strangest edited picture lies from the frozen generator's nearest random picture.

    In distances that the random pictures have to their own nearest: about 1 is an ordinary picture, and
    ``strangeness_most`` the least ordinary random one. ``erased_strangeness`` is of the erased latents,
    ``bystanders_strangeness`` of the people to keep; without random pictures that differ, nothing.
    """
    own = Gallery.of(evidence).sample.pooled_before
    among = torch.cdist(own, own).fill_diagonal_(torch.inf).amin(1)
    scale = float(among.mean())
    if not math.isfinite(scale) or scale <= 0:
        return {}
    numbers = {"strangeness_most": float(among.max()) / scale}
    groups = {"erased": [person.latents[: person.n_erased] for person in evidence.request.people],
              "bystanders": _first(evidence.request.bystanders)}
    for group, latents in groups.items():
        if latents:
            found = _pooled(evidence, torch.cat(latents))
            numbers[f"{group}_strangeness"] = float(torch.cdist(found, own).amin(1).max()) / scale
    return {name: value for name, value in numbers.items() if math.isfinite(value)}


def strangeness_numbers(label: str) -> tuple[Number, ...]:
    """Declares what :func:`strangeness` returns; ``label`` names the features."""
    most, unit = "strangeness_most", f"distance to the nearest own picture, {label} features"
    return (
        Number("erased_strangeness", f"Strangest erased picture after, {unit}", "lower",
               reference=most, least=0.0),
        Number("bystanders_strangeness", f"Strangest bystander after, {unit}", "lower",
               reference=most, least=0.0),
        Number(most, f"Strangest random picture before, {unit}", least=0.0),
    )


def _first(people: Sequence[Person]) -> list[Tensor]:
    return [person.latents[:1] for person in people if len(person.latents)]


def _pooled(evidence: Evidence, latents: Tensor) -> Tensor:
    """Feature vectors of the edited generator's pictures ``(N, D)`` float64 on the CPU."""
    images = Gallery.of(evidence).fronts.images(evidence.edited, latents)
    return torch.cat([evidence.perceptual.pooled(images[part]).cpu().double() for part in slices(len(images))])
