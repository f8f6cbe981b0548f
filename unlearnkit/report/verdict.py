"""The verdict of a run in words, built from its numbers: what was reached, and what was not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from unlearnkit.report.earlier import earlier_people, not_measured
from unlearnkit.report.numbers import slugs_of_several

__all__ = ["Levels", "Verdict", "levels", "verdict"]


@attrs.frozen
class Verdict:
    """``tone`` is good, mixed, bad or unknown; ``answer`` a few words; then one sentence each."""

    tone: str
    answer: str
    person: str
    others: str | None = None
    bystanders: str | None = None
    caution: str | None = None
    earlier: tuple[str, ...] = ()


@attrs.frozen
class Levels:
    """Similarity of two strangers and of two pictures of one person, to this judge; None where unknown."""

    strangers: float | None
    same: float | None

    @property
    def border(self) -> float | None:
        """Half-way between the two: above it, the judge takes two pictures for one person."""
        if self.strangers is None or self.same is None or self.same <= self.strangers:
            return None
        return (self.strangers + self.same) / 2


def levels(metrics: Mapping[str, float | None]) -> Levels:
    """The levels to hold a similarity against: the judge's own, measured on many; else those of this run."""
    known = {name: value for name, value in metrics.items() if value is not None}
    strangers = known.get("strangers_level", known.get("strangers"))
    return Levels(strangers, known.get("same_person_level", known.get("same_person")))


def verdict(
    metrics: Mapping[str, float | None], manifest: Mapping[str, Any] | None = None, people: Sequence[str] = ()
) -> Verdict:
    """What the numbers say. With several people erased, the one best recognised decides.

    ``people`` are the names of those who were erased, in the order of the request. The ``manifest`` says who was
    erased by earlier edits; one of them who came back spoils the best verdict.
    """
    slugs = list(slugs_of_several(people))
    before, after = metrics.get("erased_before"), _worst(metrics, slugs)
    if before is None or after is None:
        blind = metrics.get("n_no_face") or metrics.get("n_several_faces")
        why = ": it did not find one face in their pictures" if blind else ""
        return Verdict("unknown", "Not measured", f"No judge has compared the person before and after{why}.")
    scale = levels(metrics)
    tone, answer, person = _person(before, after, scale, len(people) or 1, round(metrics.get("n_erased") or 1))
    harm, bystanders = _bystanders(metrics.get("bystanders_change"), scale)
    if tone == "good" and harm != "good":
        tone = "mixed"
        answer += {"bad": ", but so are others", "mixed": ", at a price to others"}.get(harm, "")
    left, others = _others(_each(metrics, "others_after", slugs), scale)
    if left != "good" and tone in ("good", "mixed") and answer.startswith("Forgotten"):
        tone = "mixed"
        answer = answer.replace("Forgotten", "Forgotten in this picture" if left == "bad" else "Mostly forgotten", 1)
    gone = earlier_people(metrics, manifest or {})
    if any(one.came_back(scale.border) for one in gone):
        tone = "bad"
        answer += ", but somebody erased earlier is there" if answer.startswith(("Forgotten", "Mostly")) else ""
    sentences = [one.sentence(scale.border) for one in gone] + [not_measured(metrics, manifest or {})]
    return Verdict(
        tone, answer, person, others, bystanders, _caution(_each(metrics, "erased_before", slugs), scale),
        tuple(text for text in sentences if text),
    )


def _caution(each: list[float], scale: Levels) -> str | None:
    """Whether the judge knew everybody before; somebody it never knew cannot be seen to be forgotten."""
    before = min(each)
    if scale.border is None or before >= scale.border:
        return None
    return (
        f"Mind that the judge hardly recognised {'one of the people' if len(each) > 1 else 'the person'} even before "
        f"({before:.2f}): the latent may not show the person well, and then a low similarity afterwards proves little."
    )


def _each(metrics: Mapping[str, float | None], name: str, slugs: Sequence[str]) -> list[float]:
    """A number of the erased people together, and of each by themselves where there are several."""
    found = [metrics.get(name), *(metrics.get(f"{name}_{slug}") for slug in slugs)]
    return [value for value in found if value is not None]


def _worst(metrics: Mapping[str, float | None], slugs: Sequence[str]) -> float | None:
    each = [*_each(metrics, "erased_after", slugs), metrics.get("erased_worst_after")]
    return max((value for value in each if value is not None), default=None)


def _person(before: float, after: float, scale: Levels, people: int, latents: int) -> tuple[str, str, str]:
    who = {1: "The person is", 2: "Both people are"}.get(people, f"All {people} people are")
    numbers = f"similarity {before:.2f} → {after:.2f}"
    numbers += "" if latents == 1 else " (mean before, best recognised after)"
    if scale.strangers is not None and after <= scale.strangers + 0.005:
        where = "below" if after < scale.strangers - 0.005 else "no more than"
        text = f"{who} no longer recognised: {numbers}, {where} two strangers ({scale.strangers:.2f})."
        return "good", "Forgotten", text
    if scale.border is None or scale.strangers is None or scale.same is None:
        return _without_border(after, numbers, scale)
    between = f"two strangers have {scale.strangers:.2f}, two pictures of one person {scale.same:.2f}"
    if after < (scale.strangers + scale.border) / 2:
        return "good", "Forgotten", f"{who} no longer recognised: {numbers}; {between}."
    if after < scale.border:
        return "mixed", "Mostly forgotten", f"A likeness is left: {numbers}; {between}."
    still = "The person is" if people == 1 else f"At least one of {people} people is"
    return "bad", "Not forgotten", f"{still} still recognised: {numbers}; {between}."


def _without_border(after: float, numbers: str, scale: Levels) -> tuple[str, str, str]:
    if scale.strangers is None:
        text = f"The {numbers}. Without bystanders to compare with, nobody can say whether that is enough."
        return "unknown", "Undecided", text
    text = f"The {numbers}, still above two strangers ({scale.strangers:.2f})."
    return "mixed", "Not forgotten for certain", text


def _others(each: list[float], scale: Levels) -> tuple[str, str | None]:
    """What became of the people's other pictures, which nobody erased one by one; the worst person decides."""
    if not each or scale.strangers is None or scale.border is None:
        return "good", None
    after = max(each)
    numbers = f"similarity {after:.2f}" + (", of the person best recognised" if len(each) > 1 else "")
    if after < (scale.strangers + scale.border) / 2:
        return "good", f"Nor are they in their other pictures ({numbers})."
    if after < scale.border:
        return "mixed", f"In their other pictures a likeness is left ({numbers})."
    return "bad", f"In their other pictures they are still recognised ({numbers})."


def _bystanders(change: float | None, scale: Levels) -> tuple[str, str | None]:
    """What became of everybody else, who should be the same person before and after."""
    if change is None:
        return "good", None
    same = "" if scale.same is None else f"; two pictures of one person have {scale.same:.2f}"
    numbers = f"similarity before to after {change:.2f} (1 is unchanged{same})"
    if change >= (0.9 if scale.same is None else min(0.95, scale.same)):
        return "good", f"Everybody else stays who they are: {numbers}."
    if scale.border is None or change >= scale.border:
        return "mixed", f"Everybody else changes a little: {numbers}."
    return "bad", f"Everybody else changes into somebody else: {numbers}."
