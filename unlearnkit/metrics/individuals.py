"""The pictures, views and people that decide a verdict: the best recognised of the erased, the most changed others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from unlearnkit.interfaces import Number
from unlearnkit.metrics.gallery import Cosine, Faces, similarity

__all__ = ["bystander_numbers", "each_worst", "individual_numbers", "individuals", "most_changed", "worst_of_each"]


def individuals(name: str, parts: Sequence[Faces], border: float | None) -> dict[str, float]:
    """The pictures of a group one by one: the best recognised after, and how many the judge recognises at all.

    * ``<name>_lowest_before``, ``<name>_worst_after`` (means over views), where there are several pictures
    * ``<name>_worst_view_after``, for generators with views
    * ``n_<name>_recognised_before``, ``n_<name>_recognised``: pictures of which any view reaches the ``border``;
      ``n_<name>_judged`` of them have a face before and after. Left out where no border is known.
    """
    parts = [part for part in parts if len(part.before)]
    if not parts:
        return {}
    before, after = (torch.cat(sides) for sides in zip(*map(_recognition, parts), strict=True))
    numbers: dict[str, float] = {}
    if len(after) > 1:
        numbers |= _extreme(f"{name}_lowest_before", before.nanmean(1), least=True)
        numbers |= _extreme(f"{name}_worst_after", after.nanmean(1))
    if after.shape[1] > 1:
        numbers |= _extreme(f"{name}_worst_view_after", after.flatten())
    if border is not None:
        judged = ~(before.isnan().all(1) | after.isnan().all(1))
        numbers[f"n_{name}_judged"] = float(judged.sum())
        numbers[f"n_{name}_recognised_before"] = float((before[judged] >= border).any(1).sum())
        numbers[f"n_{name}_recognised"] = float((after[judged] >= border).any(1).sum())
    return numbers


def worst_of_each(name: str, people: Sequence[str], parts: Sequence[Faces]) -> dict[str, float]:
    """``<name>_worst_after_<slug>`` of each of several people: their best recognised picture, in its best view."""
    numbers: dict[str, float] = {}
    for slug, part in zip(people, parts, strict=True):
        if len(part.before):
            numbers |= _extreme(f"{name}_worst_after_{slug}", _recognition(part)[1].flatten())
    return numbers


def most_changed(bystanders: Sequence[Faces], border: float | None) -> dict[str, float]:
    """The bystander who changed most, their number from 1, and how many are somebody else now.

    ``bystanders_worst_change``, ``bystanders_worst_number``; with a border ``n_bystanders_changed``.
    """
    changes = torch.tensor([
        float(similarity(part.before, part.after).double().nanmean()) if len(part.before) else torch.nan
        for part in bystanders
    ], dtype=torch.float64)
    if changes.isnan().all():
        return {}
    worst = int(changes.nan_to_num(torch.inf).argmin())
    numbers = {"bystanders_worst_change": float(changes[worst]), "bystanders_worst_number": float(worst + 1)}
    return numbers if border is None else numbers | {"n_bystanders_changed": float((changes < border).sum())}


def individual_numbers(name: str, who: str, has_views: bool) -> Iterator[Number]:
    """Declares what :func:`individuals` returns, but for ``erased_worst_after`` and its view, which are older."""
    count = f"n_{name}"
    yield Cosine(f"{name}_lowest_before", f"{who}, least recognised before", count=count)
    if name != "erased":
        yield Cosine(f"{name}_worst_after", f"{who}, best recognised after", "lower", count=count)
        if has_views:
            yield Cosine(f"{name}_worst_view_after", f"{who}, best recognised view after", "lower", count=count)
    judged = f"n_{name}_judged"
    yield Number(f"n_{name}_recognised_before", f"{who}, recognised before", count=judged, least=0.0, digits=0)
    yield Number(f"n_{name}_recognised", f"{who}, recognised after", "lower", count=judged, least=0.0, digits=0)


def each_worst(name: str, who: str, slug: str) -> Number:
    """Declares what :func:`worst_of_each` returns of one person."""
    return Cosine(f"{name}_worst_after_{slug}", f"{who}, best recognised picture after", "lower")


def bystander_numbers() -> tuple[Number, ...]:
    """Declares what :func:`most_changed` returns."""
    return (
        Cosine("bystanders_worst_change", "Bystander who changed most, similarity before vs. after", "higher",
               count="n_bystanders"),
        Number("bystanders_worst_number", "Bystander who changed most, number in the request", least=1.0, digits=0),
        Number("n_bystanders_changed", "Bystanders who are somebody else after", "lower", count="n_bystanders",
               least=0.0, digits=0),
    )


def _recognition(part: Faces) -> tuple[Tensor, Tensor]:
    """Similarity to the reference before and after, ``(M, V)`` each."""
    return similarity(part.reference, part.before).double(), similarity(part.reference, part.after).double()


def _extreme(name: str, values: Tensor, least: bool = False) -> dict[str, float]:
    """The largest of the values that are not NaN, or the ``least``; nothing where all are."""
    seen = values[~values.isnan()]
    return {name: float(seen.min() if least else seen.max())} if len(seen) else {}
