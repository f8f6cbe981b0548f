"""How far pictures lie apart, by the perceptual distance: bystanders before and after, pictures and their inversion."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from unlearnkit.interfaces import Evidence, Number, Person
from unlearnkit.metrics.gallery import Gallery, slices

__all__ = ["look_numbers", "looks"]

_STRANGERS = 4
"""Random people beside each picture, to see how far apart two different people are."""


def looks(evidence: Evidence) -> dict[str, float]:
    """Perceptual distances, from the front; nothing where there are neither bystanders nor pictures.

    * ``bystanders_distance``, ``bystanders_distance_worst`` (with ``_number``, from 1): G(w) to G'(w) of each bystander
    * ``erased_fit_worst``: the erased person's picture to the frozen generator's image of it, the worst one; far apart
      means that the latent does not show what the picture shows
    * ``strangers_distance``: two different people whom the frozen generator makes
    """
    numbers = _bystanders(evidence) | _fit(evidence)
    if numbers:
        numbers["strangers_distance"] = _apart(evidence)
    return {name: value for name, value in numbers.items() if math.isfinite(value)}  # a broken generator draws NaN


def look_numbers(label: str) -> tuple[Number, ...]:
    """Declares what :func:`looks` returns; ``label`` names the distance."""
    apart = "strangers_distance"
    return (
        Number("bystanders_distance", f"Bystanders, {label} distance before vs. after", "lower", count="n_bystanders",
               reference=apart, least=0.0),
        Number("bystanders_distance_worst", f"Bystander whose picture changed most, {label} distance", "lower",
               count="n_bystanders", reference=apart, least=0.0),
        Number("bystanders_distance_worst_number", "Bystander whose picture changed most, number in the request",
               least=1.0, digits=0),
        Number("erased_fit_worst", f"Erased person, {label} distance of picture and image before, worst", "lower",
               reference=apart, least=0.0),
        Number(apart, f"Two different random people, {label} distance", least=0.0),
    )


def _bystanders(evidence: Evidence) -> dict[str, float]:
    people = [person for person in evidence.request.bystanders if len(person.latents)]
    if not people:
        return {}
    latents = torch.cat([person.latents[:1] for person in people])
    fronts = Gallery.of(evidence).fronts
    found = _distances(evidence, fronts.images(evidence.frozen, latents), fronts.images(evidence.edited, latents))
    worst = int(found.argmax())
    return {"bystanders_distance": float(found.mean()), "bystanders_distance_worst": float(found[worst]),
            "bystanders_distance_worst_number": float(worst + 1)}


def _fit(evidence: Evidence) -> dict[str, float]:
    fits = [_fit_of(evidence, person, person.pictures) for person in evidence.request.people
            if person.pictures is not None]
    return {"erased_fit_worst": max(fits)} if fits else {}


def _fit_of(evidence: Evidence, person: Person, pictures: Tensor) -> float:
    count = person.n_erased
    images = Gallery.of(evidence).fronts.images(evidence.frozen, person.latents[:count])
    pictures = pictures[:count].to(images)
    if pictures.shape != images.shape:
        pictures = torch.nn.functional.interpolate(pictures, images.shape[-2:], mode="area")
    return float(_distances(evidence, pictures, images).max())


def _apart(evidence: Evidence) -> float:
    gallery = Gallery.of(evidence)
    images = gallery.fronts.images(evidence.frozen, gallery.random(2 * _STRANGERS))
    return float(_distances(evidence, images[:_STRANGERS], images[_STRANGERS:]).mean())


@torch.no_grad()
def _distances(evidence: Evidence, a: Tensor, b: Tensor) -> Tensor:
    """Perceptual distance of each pair ``(N,)`` float64 on the CPU, a few at a time."""
    features, distance = evidence.perceptual.features, evidence.perceptual.distance
    return torch.cat([distance(features(a[part]), features(b[part])).cpu().double() for part in slices(len(a))])
