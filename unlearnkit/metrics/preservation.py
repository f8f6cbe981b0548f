"""Does each random latent still give the same picture and the same person?"""

from __future__ import annotations

import attrs

from unlearnkit.interfaces import About, Evidence, Metric, Number
from unlearnkit.metrics.gallery import Cosine, Gallery, unusable, unusable_numbers

__all__ = ["Preservation"]


@attrs.define
class Preservation(Metric):
    """Random latents before against after, one by one.

    * ``preserved_distance`` = mean over w of the perceptual distance of G(w) and G'(w): lower is better
    * ``preserved_identity`` = mean over w of e(G(w))·e(G'(w)), e the judge: higher is better, 1 is unchanged
    * ``preserved_identity_worst`` = the same for the one latent that changed most

    Pictures in which a judge that looks for faces finds none, or several, have no identity; they are counted
    (``n_no_face_preserved``, ``n_several_faces_preserved``). Random latents are a generator's typical people; real
    bystanders, who were inverted, may lie further out and change more: see ``bystanders_change``.
    """

    def measure(self, evidence: Evidence) -> dict[str, float]:
        """The two means, the worst case and the count; nothing without samples."""
        if evidence.samples < 1:
            return {}
        sample = Gallery.of(evidence).sample
        numbers = {"preserved_distance": float(sample.distance.mean()), "n_preserved": float(len(sample.distance))}
        seen = sample.identity[~sample.identity.isnan()]
        if len(seen):
            numbers |= {"preserved_identity": float(seen.mean()), "preserved_identity_worst": float(seen.min())}
        return numbers | unusable("_preserved", [sample.counts])

    def numbers(self, about: About) -> tuple[Number, ...]:
        """The two means, the worst case, and pictures without one face."""
        return (
            Cosine("preserved_identity", "Random people, similarity before vs. after", "higher", count="n_preserved",
                   short="random people, before to after"),
            Cosine("preserved_identity_worst", "Random person who changed most, similarity before vs. after", "higher",
                   count="n_preserved"),
            Number("preserved_distance", f"Random people, {about.perceptual} distance before vs. after", "lower",
                   count="n_preserved", least=0.0),
            *unusable_numbers("_preserved", "Pictures of random people"),
        )
