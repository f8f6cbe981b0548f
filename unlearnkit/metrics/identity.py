"""Is the person still recognised, and is everybody else still themselves?"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

import attrs
import torch
from torch import Tensor

from unlearnkit.interfaces import Evidence, Metric, Person
from unlearnkit.metrics.gallery import Faces, Gallery, similarity

__all__ = ["Identity", "group"]


@attrs.define
class Identity(Metric):
    """Similarity of identities, by an encoder that no loss has used: a cosine in [-1, 1], mean over views.

    For each group of latents, with e the judge, r the reference of a latent (its picture; without one, the
    frozen generator's image), G the generator before and G' after:

    * ``*_before`` = mean e(r)·e(G(w)): how well the frozen generator knows the person (1 without a picture)
    * ``*_after``  = mean e(r)·e(G'(w)): how well the edited one does
    * ``*_change`` = mean e(G(w))·e(G'(w)): GUIDE's ID (``erased``) and ID_others (``others``)

    Groups: ``erased``, the first latent of each person to erase (lower after is better; about ``strangers``
    means gone); ``others``, the person's other latents (lower is better); ``bystanders``, everybody else
    (change should stay 1). With several people to erase, ``erased_*`` is their mean, each has its own
    ``erased_*_<name>``, and ``erased_alike_*`` is how similar they are to each other: near 1 after says that
    all became the same face.

    For generators with views these are means over all evaluation views, and each group has the same three numbers
    from the front alone, ``erased_front_after`` and so on; ``erased_worst_view_after`` is the one view in which the
    person to erase is recognised best.

    It does not show whether another latent still gives the person (see ``neighbours`` and the audit), nor
    what another encoder would say. Groups that are empty are left out.
    """

    def measure(self, evidence: Evidence) -> dict[str, float]:
        """Similarities by group, the levels to hold them against, and counts ``n_*``."""
        gallery = Gallery.of(evidence)
        people = [(person, gallery.faces(person)) for person in evidence.request.people]
        strangers = [gallery.faces(person) for person in evidence.request.bystanders]
        erased = [_rows(faces, slice(0, 1)) for _, faces in people]
        numbers = group("erased", erased) | _worst_view(erased)
        if len(people) > 1:
            numbers |= _each(people) | _alike([faces for _, faces in people])
        numbers |= group("others", [_rows(faces, slice(1, None)) for _, faces in people])
        numbers |= group("bystanders", strangers)
        numbers |= _strangers(strangers) | _same_person([faces for _, faces in people])
        levels = evidence.judge.levels() or {}
        return numbers | {f"{name}_level": float(value) for name, value in levels.items()}


def group(name: str, faces: Sequence[Faces]) -> dict[str, float]:
    """``<name>_before``, ``_after``, ``_change`` and ``n_<name>`` over all latents; empty without any."""
    faces = [part for part in faces if len(part.before)]
    if not faces:
        return {}
    numbers = _three(name, faces) | {f"n_{name}": float(sum(len(part.before) for part in faces))}
    if faces[0].before.shape[1] > 1:
        numbers |= _three(f"{name}_front", [_front(part) for part in faces])
    return numbers


def _three(name: str, faces: Sequence[Faces]) -> dict[str, float]:
    return {
        f"{name}_before": _mean([similarity(part.reference, part.before) for part in faces]),
        f"{name}_after": _mean([similarity(part.reference, part.after) for part in faces]),
        f"{name}_change": _mean([similarity(part.before, part.after) for part in faces]),
    }


def _front(faces: Faces) -> Faces:
    """The middle view alone; a picture has one view, its own."""
    def middle(seen: Tensor) -> Tensor:
        return seen[:, seen.shape[1] // 2][:, None]

    return Faces(middle(faces.before), middle(faces.after), middle(faces.reference), faces.pictured)


def _worst_view(erased: Sequence[Faces]) -> dict[str, float]:
    """The highest similarity that any view of any erased latent is left with; nothing where there is one view."""
    if not erased or erased[0].after.shape[1] == 1:
        return {}
    return {"erased_worst_view_after": max(float(similarity(part.reference, part.after).max()) for part in erased)}


def _rows(faces: Faces, rows: slice) -> Faces:
    return Faces(faces.before[rows], faces.after[rows], faces.reference[rows], faces.pictured)


def _mean(values: Sequence[Tensor]) -> float:
    """Mean over latents of the mean over views."""
    return float(torch.cat([value.double().mean(1) for value in values]).mean())


def _each(people: Sequence[tuple[Person, Faces]]) -> dict[str, float]:
    """The erased latent of each person by itself."""
    numbers: dict[str, float] = {}
    for index, (person, faces) in enumerate(people):
        slug = re.sub(r"[^a-z0-9]+", "_", person.name.lower()).strip("_") or str(index)
        slug = f"{slug}_{index}" if f"erased_after_{slug}" in numbers else slug
        for key, value in group("erased", [_rows(faces, slice(0, 1))]).items():
            if not key.startswith(("n_", "erased_front")):
                numbers[f"{key}_{slug}"] = value
    return numbers


def _alike(faces: Sequence[Faces]) -> dict[str, float]:
    pairs = list(itertools.combinations(faces, 2))
    before = [similarity(a.before[:1], b.before[:1]) for a, b in pairs]
    after = [similarity(a.after[:1], b.after[:1]) for a, b in pairs]
    return {"erased_alike_before": _mean(before), "erased_alike_after": _mean(after)}


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
    if not pairs:
        return {}
    return {name: _mean([similarity(a, b)[None] for a, b in pairs]), f"n_{name}": float(len(pairs))}
