"""How far around the erased latent people change."""

from __future__ import annotations

import attrs
import torch
from torch import Tensor

from unlearnkit.config import option
from unlearnkit.interfaces import About, Evidence, Metric, Number, Person
from unlearnkit.metrics.gallery import Cosine, Faces, Gallery, unusable, unusable_numbers
from unlearnkit.metrics.identity import group

__all__ = ["Neighbours"]

_DRAWS = 256


@attrs.define
class Neighbours(Metric):
    """Identity of latents around the erased one, at distances that mean something.

    w = w_u + f·D·(w_r − w_u)/‖w_r − w_u‖₂ with random latents w_r; D = mean ‖w_r − w_avg‖₂, norm over all
    entries (``neighbour_distance``). For each f, as per cent: ``neighbours_change_25`` is the judge's
    similarity before and after of the same neighbour, ``neighbours_before_25`` and ``_after_25`` its
    similarity to the erased person.

    Near the person lower is better (the likeness goes too), at f = 1 change should be near 1 (others stay).
    It looks along a few random directions only, and from the front only: the audit searches for the person on purpose.
    """

    fractions: list[float] = option(
        [0.25, 0.5, 1.0], help="distances from the erased latent", unit="mean distance to w_avg"
    )
    directions: int = option(8, help="random directions, the same at each distance", ge=1)

    def measure(self, evidence: Evidence) -> dict[str, float]:
        """Similarities by distance, ``n_neighbours`` at each, and the distance that 100 % stands for."""
        gallery = Gallery.of(evidence)
        random = evidence.random_latents(max(_DRAWS, self.directions), evidence.stream("neighbours"))
        far = _norm(random - evidence.frozen.w_avg.to(random.device)).mean()
        numbers: dict[str, float] = {"neighbour_distance": float(far)}
        counts = []
        for fraction in self.fractions:
            distance = fraction * far
            around = [self._around(gallery, person, random, distance) for person in evidence.request.people]
            for name, value in group("neighbours", around).items():
                numbers[name if name == "n_neighbours" else f"{name}_{_percent(fraction)}"] = value
            counts += [faces.counts for faces in around]
        return numbers | unusable("_neighbours", counts)

    def numbers(self, about: About) -> tuple[Number, ...]:
        """Three similarities at each distance, what 100 % of it is, and pictures without one face."""
        sides = (("before", "likeness to the erased person, before", ""),
                 ("after", "likeness to the erased person, after", "lower"),
                 ("change", "similarity before vs. after", ""))
        each = (
            Cosine(f"neighbours_{side}_{_percent(fraction)}",
                   f"Neighbours at {_percent(fraction)} % distance, {words}", better, count="n_neighbours")
            for fraction in self.fractions for side, words, better in sides
        )
        distance = Number("neighbour_distance", "Distance that counts as 100 %", unit="L2 in W+", least=0.0)
        return (distance, *each, *unusable_numbers("_neighbours", "Pictures of neighbours"))

    def _around(self, gallery: Gallery, person: Person, random: Tensor, distance: Tensor) -> Faces:
        """What is seen at one distance from a person's first latent, held against that person."""
        source = person.latents[:1].to(random)
        away = random[: self.directions] - source
        faces = gallery.look(source + distance * away / _norm(away)[:, None, None], front=True)
        known = gallery.faces(person).reference[:1]
        front = known[:, known.shape[1] // 2][:, None]
        reference = front.expand(len(faces.before), -1, -1)
        return attrs.evolve(faces, reference=reference)


def _percent(fraction: float) -> int:
    return round(100 * fraction)


def _norm(latents: Tensor) -> Tensor:
    return torch.linalg.vector_norm(latents, dim=(1, 2))
