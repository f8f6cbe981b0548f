"""What another encoder says of the same pictures: a result that only one judge sees is a property of that judge."""

from __future__ import annotations

from typing import cast

import attrs
import torch

from unlearnkit.config import option
from unlearnkit.errors import ConfigError
from unlearnkit.interfaces import About, Evidence, IdentityEncoder, Metric, Number
from unlearnkit.metrics.gallery import Cosine, Faces, Gallery, similarity
from unlearnkit.plugins import registry

__all__ = ["SecondJudge"]


@attrs.define(eq=False)
class SecondJudge(Metric):
    """The similarities of ``identity`` and ``preservation`` once more, by another identity encoder.

    With e that encoder, r the reference of a latent (its picture; without one, the frozen generator's image), G the
    generator before and G' after, all from the front:

    * ``second_erased_before``, ``second_erased_after`` = mean e(r)·e(G(w)), mean e(r)·e(G'(w)) over the erased latents
    * ``second_others_after`` = the same over these people's other latents
    * ``second_bystanders_change``, ``second_random_change`` = mean e(G(w))·e(G'(w)) over bystanders and random people,
      the same random ones as in ``preservation``

    Levels differ between encoders: compare with ``second_strangers_level``, ``second_same_person_level`` and
    ``second_border_level``, not with the judge's similarities. Take an encoder that no loss uses: that is for whoever
    chooses it to see to. Pictures in which it finds no face, or several, are left out.
    """

    encoder: str | None = option(
        None, help="the identity encoder, with its default options: neither the judge nor one that losses use")
    _encoder: IdentityEncoder | None = attrs.field(init=False, default=None, repr=False)

    def check(self) -> None:
        """Check that the encoder is there.

        :raises UnlearnkitError: if none is named, no plugin offers it, or its files are missing.
        """
        self._new().check()

    def prepare(self, device: torch.device) -> None:
        """Load the encoder.

        :raises UnlearnkitError: as in :meth:`check`.
        """
        self._encoder = self._new()
        self._encoder.prepare(device)

    def _new(self) -> IdentityEncoder:
        if self.encoder is None:
            raise ConfigError("metric second-judge: no encoder is named; give --set metric.second-judge.encoder=NAME")
        return cast(IdentityEncoder, registry().component_class("identity", self.encoder)())

    def measure(self, evidence: Evidence) -> dict[str, float]:
        """Similarities by group, counts, and the encoder's levels.

        :raises ConfigError: if the encoder is the judge.
        """
        assert self._encoder is not None, "prepare() comes first"
        if type(self._encoder) is type(evidence.judge):
            raise ConfigError(f"metric second-judge: {self.encoder} is the judge already; choose another encoder with "
                              "metric.second-judge.encoder")
        gallery = Gallery(attrs.evolve(evidence, judge=self._encoder))
        gallery.fronts = Gallery.of(evidence).fronts.judged_by(self._encoder)
        people = [(gallery.look(person.latents, person.pictures, front=True), person.n_erased)
                  for person in evidence.request.people]
        erased = [_part(faces, slice(count)) for faces, count in people]
        others = [_part(faces, slice(count, None)) for faces, count in people]
        beside = [gallery.look(person.latents, person.pictures, front=True) for person in evidence.request.bystanders]
        numbers = _mean("erased_before", [similarity(part.reference, part.before) for part in erased])
        numbers |= _mean("erased_after", [similarity(part.reference, part.after) for part in erased])
        numbers |= _mean("others_after", [similarity(part.reference, part.after) for part in others])
        numbers |= _mean("bystanders_change", [similarity(part.before, part.after) for part in beside])
        drawn = gallery.look(gallery.random(evidence.samples), front=True)
        numbers |= _mean("random_change", [similarity(drawn.before, drawn.after)])
        levels = self._encoder.levels() or {}
        return numbers | {f"second_{name}_level": float(value) for name, value in levels.items()}

    def numbers(self, about: About) -> tuple[Number, ...]:
        """Five similarities and three levels, with the encoder's name in their titles."""
        by = f", by {self.encoder}"
        return (
            Cosine("second_erased_before", f"Erased person, before{by}", count="n_second_erased_before"),
            Cosine("second_erased_after", f"Erased person, after{by}", "lower", count="n_second_erased_after",
                   short=f"erased{by}"),
            Cosine("second_others_after", f"Other pictures of the erased person, after{by}", "lower",
                   count="n_second_others_after", short=f"others{by}"),
            Cosine("second_bystanders_change", f"Bystanders, similarity before vs. after{by}", "higher",
                   count="n_second_bystanders_change", short=f"bystanders{by}"),
            Cosine("second_random_change", f"Random people, similarity before vs. after{by}", "higher",
                   count="n_second_random_change", short=f"random people{by}"),
            Cosine("second_strangers_level", f"Two strangers{by}, its own level"),
            Cosine("second_same_person_level", f"Two pictures of one person{by}, its own level"),
            Cosine("second_border_level", f"One person from here on{by}, as its publisher says"),
        )


def _part(faces: Faces, rows: slice) -> Faces:
    return Faces(faces.before[rows], faces.after[rows], faces.reference[rows], faces.pictured)


def _mean(name: str, cosines: list[torch.Tensor]) -> dict[str, float]:
    """The mean over latents, and of how many; nothing where no picture shows one face."""
    found = torch.cat([cosine.double().flatten() for cosine in cosines]) if cosines else torch.zeros(0)
    known = found[~found.isnan()]
    return {f"second_{name}": float(known.mean()), f"n_second_{name}": float(len(known))} if len(known) else {}
