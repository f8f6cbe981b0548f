"""Is the person still recognised, and is everybody else still themselves?"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

import attrs
import torch
from torch import Tensor

from unlearnkit.interfaces import About, Evidence, Metric, Number, Person
from unlearnkit.metrics.collapse import pairwise_similarity
from unlearnkit.metrics.gallery import Cosine, Faces, Gallery, similarity, unusable, unusable_numbers
from unlearnkit.metrics.individuals import (
    bystander_numbers,
    each_worst,
    individual_numbers,
    individuals,
    most_changed,
    worst_of_each,
)
from unlearnkit.metrics.looks import look_numbers, looks
from unlearnkit.numbers import levels
from unlearnkit.options.names import slugs

__all__ = ["Identity", "group"]

_LEVELS = ("strangers", "same_person", "border")


@attrs.define
class Identity(Metric):
    """Similarity of identities, by an encoder that no loss has used: a cosine in [-1, 1], mean over views.

    For each group of latents, with e the judge, r the reference of a latent (its picture; without one, the
    frozen generator's image), G the generator before and G' after:

    * ``*_before`` = mean e(r)·e(G(w)): how well the frozen generator knows the person (1 without a picture)
    * ``*_after``  = mean e(r)·e(G'(w)): how well the edited one does
    * ``*_change`` = mean e(G(w))·e(G'(w)): GUIDE's ID (``erased``) and ID_others (``others``)

    Groups: ``erased``, the latents to erase (lower after is better; about ``strangers`` means gone); ``others``,
    these people's other latents (lower is better); ``bystanders``, everybody else (change should stay 1). With
    several latents to erase, ``erased_*`` is their mean and ``erased_worst_after`` the one that is recognised best;
    with several people, each has their own ``erased_*_<name>`` and ``others_*_<name>``, and ``erased_alike_*`` is how
    similar they are to each other, by the first latent of each (mean over pairs; ``_max`` is the closest pair): about
    ``strangers`` they stay different people, near 1 all became the same face.

    For generators with views these are means over all evaluation views, and each group has the same three numbers
    from the front alone, ``erased_front_after`` and so on; ``erased_worst_view_after`` is the one view in which the
    person to erase is recognised best.

    **Individuals**, which decide the verdict: ``others_worst_after``, ``others_worst_view_after`` and, by person,
    ``erased_worst_after_<name>`` and ``others_worst_after_<name>`` are the pictures that are recognised best; from the
    border of the levels on a picture counts as recognised, in whichever view (``n_erased_recognised``,
    ``n_others_recognised``, and the same before). ``bystanders_worst_change`` is the bystander who changed most. How
    far pictures moved, by the perceptual distance, is in :mod:`unlearnkit.metrics.looks`.

    It does not show whether another latent still gives the person (see ``neighbours`` and the audit), nor
    what another encoder would say. Groups that are empty are left out. A picture in which a judge that looks for
    faces finds none, or several, is left out of the means and counted: ``n_no_face``, ``n_several_faces``.
    """

    def measure(self, evidence: Evidence) -> dict[str, float]:
        """Similarities by group, the levels to hold them against, and counts ``n_*``."""
        gallery = Gallery.of(evidence)
        people = [(person, gallery.faces(person)) for person in evidence.request.people]
        strangers = [gallery.faces(person) for person in evidence.request.bystanders]
        erased = [_rows(faces, slice(person.n_erased)) for person, faces in people]
        numbers = group("erased", erased) | _worst(erased) | _worst_view(erased)
        others = [_rows(faces, slice(person.n_erased, None)) for person, faces in people]
        if len(people) > 1:
            numbers |= _each("erased", people, erased) | _alike(erased) | _each("others", people, others)
        numbers |= group("others", others)
        numbers |= group("bystanders", strangers)
        numbers |= _strangers(strangers) | _same_person([faces for _, faces in people])
        numbers |= unusable("", [faces.counts for faces in (*(faces for _, faces in people), *strangers)])
        own = evidence.judge.levels() or {}
        numbers |= {f"{name}_level": float(own[name]) for name in _LEVELS if name in own}
        border = levels(numbers).border
        numbers |= individuals("erased", erased, border) | individuals("others", others, border)
        if len(people) > 1:
            names = slugs([person.name for person, _ in people])
            numbers |= worst_of_each("erased", names, erased) | worst_of_each("others", names, others)
        return numbers | most_changed(strangers, border) | looks(evidence)

    def numbers(self, about: About) -> tuple[Number, ...]:
        """Similarities by group and, where there are several people, by person; levels; pictures without one face."""
        several = len(about.people) > 1
        each = list(zip(about.people, slugs(about.people), strict=True)) if several else []
        erased, theirs = ("Erased people", "erased people") if several else ("Erased person", "erased person")
        numbers = [*_three_numbers("erased", erased, "lower", "GUIDE's ID", about.has_views)]
        numbers.append(Cosine("erased_worst_after", "Best recognised erased latent, after", "lower", count="n_erased"))
        if about.has_views:
            numbers.append(Cosine("erased_worst_view_after", "Best recognised view of an erased latent, after", "lower",
                                  count="n_erased"))
        for name, slug in each:
            numbers += _three_numbers("erased", name, "lower", slug=slug)
        numbers += _alike_numbers() if several else ()
        numbers += _three_numbers("others", f"Other pictures of the {theirs}", "lower", "GUIDE's ID_others",
                                  about.has_views)
        for name, slug in each:
            numbers += _three_numbers("others", f"Other pictures of {name}", "lower", slug=slug)
        numbers += _three_numbers("bystanders", "Bystanders", "higher", has_views=about.has_views)
        numbers += individual_numbers("erased", f"{erased}, pictures", about.has_views)
        numbers += individual_numbers("others", f"Other pictures of the {theirs}", about.has_views)
        for group, who in (("erased", "{}"), ("others", "Other pictures of {}")):
            numbers += [each_worst(group, who.format(name), slug) for name, slug in each]
        numbers += [*bystander_numbers(), *look_numbers(about.perceptual)]
        return (*numbers, *_level_numbers(), *unusable_numbers(""))


def _three_numbers(
    group: str, who: str, better: str, alias: str = "", has_views: bool = False, slug: str = ""
) -> Iterator[Number]:
    """Declares what :func:`group` returns; with a ``slug``, of one person alone, who has no count of their own."""
    ending, count = (f"_{slug}", "") if slug else ("", f"n_{group}")
    alias = f" ({alias})" if alias else ""
    for part, where in (("", ""), ("_front", ", from the front")) if has_views else (("", ""),):
        name = f"{group}{part}"
        yield Cosine(f"{name}_before{ending}", f"{who}, before{where}", count=count)
        yield Cosine(f"{name}_after{ending}", f"{who}, after{where}", better, count=count)
        yield Cosine(f"{name}_change{ending}", f"{who}, similarity before vs. after{where or alias}", better,
                     count=count, short="bystanders, before to after" if name == "bystanders" else "")


def _alike_numbers() -> tuple[Number, ...]:
    before, title, count = "erased_alike_before", "Erased people, similarity to each other", "n_erased_alike"
    return (
        Cosine(before, f"{title}, before", count=count),
        Cosine("erased_alike_after", f"{title}, after", count=count, reference=before,
               short="erased people to each other"),
        Cosine("erased_alike_after_max", f"{title}, after, most similar pair", count=count),
    )


def _level_numbers() -> tuple[Number, ...]:
    return (
        Cosine("strangers", "Two different bystanders", count="n_strangers"),
        Cosine("same_person", "Two pictures of the same erased person", count="n_same_person"),
        Cosine("strangers_level", "Two strangers, this judge's own level"),
        Cosine("same_person_level", "Two pictures of one person, this judge's own level"),
        Cosine("border_level", "One person from here on, as this judge's publisher says"),
    )


def group(name: str, faces: Sequence[Faces]) -> dict[str, float]:
    """``<name>_before``, ``_after``, ``_change`` and ``n_<name>`` over all latents; empty without any.

    A number of which no picture shows one face is left out; ``n_<name>`` counts latents, with a face or not.
    """
    faces = [part for part in faces if len(part.before)]
    if not faces:
        return {}
    numbers = _three(name, faces) | {f"n_{name}": float(sum(len(part.before) for part in faces))}
    if faces[0].before.shape[1] > 1:
        numbers |= _three(f"{name}_front", [_front(part) for part in faces])
    return numbers


def _three(name: str, faces: Sequence[Faces]) -> dict[str, float]:
    return _known({
        f"{name}_before": _mean([similarity(part.reference, part.before) for part in faces]),
        f"{name}_after": _mean([similarity(part.reference, part.after) for part in faces]),
        f"{name}_change": _mean([similarity(part.before, part.after) for part in faces]),
    })


def _front(faces: Faces) -> Faces:
    """The middle view alone; a picture has one view, its own."""
    def middle(seen: Tensor) -> Tensor:
        return seen[:, seen.shape[1] // 2][:, None]

    return Faces(middle(faces.before), middle(faces.after), middle(faces.reference), faces.pictured)


def _worst(erased: Sequence[Faces]) -> dict[str, float]:
    """The similarity that the best recognised of several erased latents is left with, mean over views."""
    left = torch.cat([similarity(part.reference, part.after).double().nanmean(1) for part in erased])
    seen = left[~left.isnan()]
    return {"erased_worst_after": float(seen.max())} if len(left) > 1 and len(seen) else {}


def _worst_view(erased: Sequence[Faces]) -> dict[str, float]:
    """The highest similarity that any view of any erased latent is left with; nothing where there is one view."""
    if not erased or erased[0].after.shape[1] == 1:
        return {}
    views = torch.cat([similarity(part.reference, part.after).flatten() for part in erased])
    seen = views[~views.isnan()]
    return {"erased_worst_view_after": float(seen.max())} if len(seen) else {}


def _rows(faces: Faces, rows: slice) -> Faces:
    return Faces(faces.before[rows], faces.after[rows], faces.reference[rows], faces.pictured)


def _mean(values: Sequence[Tensor]) -> float | None:
    """Mean over latents of the mean over views, of those that are not NaN; None if all are."""
    latents = torch.cat([value.double().nanmean(1) for value in values])
    return None if latents.isnan().all() else float(latents.nanmean())


def _known(numbers: Mapping[str, float | None]) -> dict[str, float]:
    return {name: value for name, value in numbers.items() if value is not None}


def _each(name: str, people: Sequence[tuple[Person, Faces]], parts: Sequence[Faces]) -> dict[str, float]:
    """The numbers of a group for each person by themselves, from all views."""
    numbers: dict[str, float] = {}
    for slug, faces in zip(slugs([person.name for person, _ in people]), parts, strict=True):
        for key, value in group(name, [faces]).items():
            if not key.startswith(("n_", f"{name}_front")):
                numbers[f"{key}_{slug}"] = value
    return numbers


def _alike(erased: Sequence[Faces]) -> dict[str, float]:
    """How similar what replaces different people is, by the first erased latent of each, see ``collapse``."""
    before = pairwise_similarity(torch.stack([part.before[0] for part in erased]))
    after = pairwise_similarity(torch.stack([part.after[0] for part in erased]))
    return _known({
        "erased_alike_before": before.get("mean"), "erased_alike_after": after.get("mean"),
        "erased_alike_after_max": after.get("max"), "n_erased_alike": after["n_pairs"],
    })


def _strangers(faces: Sequence[Faces]) -> dict[str, float]:
    """Similarity of the references of different bystanders: what "somebody else" means to this judge."""
    return _pairs("strangers", [
        (x, y) for a, b in itertools.combinations(faces, 2) for x in a.reference for y in b.reference
    ])


def _same_person(faces: Sequence[Faces]) -> dict[str, float]:
    """Similarity of different pictures of the same erased person: what "recognised" means to this judge."""
    return _pairs("same_person", [
        pair for part in faces if part.pictured for pair in itertools.combinations(part.reference, 2)
    ])


def _pairs(name: str, pairs: Sequence[tuple[Tensor, Tensor]]) -> dict[str, float]:
    cosines = [similarity(a, b)[None] for a, b in pairs]
    cosines = [cosine for cosine in cosines if not cosine.isnan().all()]
    return _known({name: _mean(cosines), f"n_{name}": float(len(cosines))}) if cosines else {}
