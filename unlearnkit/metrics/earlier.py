"""Are the people whom earlier edits erased still gone?"""

from __future__ import annotations

import attrs

from unlearnkit.interfaces import About, Evidence, Metric, Number
from unlearnkit.metrics.gallery import Cosine, Gallery, unusable, unusable_numbers
from unlearnkit.metrics.identity import group
from unlearnkit.options.names import slugs

__all__ = ["Earlier"]


@attrs.define
class Earlier(Metric):
    """Similarity of identities for everybody whom an earlier edit erased, by the judge; mean over latents and views.

    With r the reference (their picture; without one, the checkpoint's image), O the checkpoint, G the generator
    before this run (with the earlier edits on it) and G' after it:

    * ``earlier_<name>_before`` = mean e(r)·e(O(w)): before anybody was erased
    * ``earlier_<name>_then`` = mean e(r)·e(G(w)): after the earlier edits
    * ``earlier_<name>_after`` = mean e(r)·e(G'(w)): now; lower is better, above the border they came back

    Only their erased latents are looked at. Nothing for a run that stands on no earlier edit, and nothing for people
    whom an edit erased that does not lie in its run directory: the report says so.
    """

    def measure(self, evidence: Evidence) -> dict[str, float]:
        """Three similarities for each person, and how many latents they come from."""
        people, original = evidence.request.earlier, evidence.original
        if original is None or not people:
            return {}
        whole = attrs.evolve(evidence, frozen=original)  # kept here: a gallery lives as long as its evidence
        gallery, step = Gallery.of(whole), Gallery.of(evidence)
        numbers: dict[str, float] = {}
        counts = []
        for person, slug in zip(people, slugs([person.name for person in people]), strict=True):
            latents = person.latents[: person.n_erased]
            pictures = None if person.pictures is None else person.pictures[: person.n_erased]
            faces = gallery.look(latents, pictures)
            then = attrs.evolve(step.look(latents, pictures), reference=faces.reference)
            whole_way, last_step = group("", [faces]), group("", [then])
            for when, value in (("before", whole_way.get("_before")), ("then", last_step.get("_before")),
                                ("after", whole_way.get("_after"))):
                if value is not None:  # None: no picture shows one face
                    numbers[f"earlier_{slug}_{when}"] = value
            numbers[f"n_earlier_{slug}"] = float(len(latents))
            counts += [faces.counts, then.counts]
        return numbers | unusable("_earlier", counts)

    def numbers(self, about: About) -> tuple[Number, ...]:
        """Three similarities for each person whom an earlier edit erased; pictures without one face."""
        moments = (("before", "in the original checkpoint", ""), ("then", "before this run", ""),
                   ("after", "after this run", "lower"))
        each = (
            Cosine(f"earlier_{slug}_{moment}", f"{name}, erased earlier: {words}", better, count=f"n_earlier_{slug}")
            for name, slug in zip(about.earlier, slugs(about.earlier), strict=True)
            for moment, words, better in moments
        )
        return (*each, *(unusable_numbers("_earlier", "Pictures of people erased earlier") if about.earlier else ()))
