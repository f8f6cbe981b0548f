"""The verdict of a run in words, built from its numbers: individuals decide, means do not.

The best recognised erased picture, other picture, view and person, and the bystander who changed most, are what a
verdict is about. Where nobody can tell, it says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from unlearnkit.numbers import Levels, levels
from unlearnkit.options.domains import RENDERS
from unlearnkit.report.audits import Audited
from unlearnkit.report.bystanders import bystanders_sentence
from unlearnkit.report.earlier import earlier_people, not_measured
from unlearnkit.report.numbers import slugs_of_several
from unlearnkit.report.worlds import drawn_domain, mixed_sentence, world_sentence

__all__ = ["Levels", "Verdict", "levels", "verdict"]

Metrics = Mapping[str, float | None]

UNLIKE, UNLIKE_RENDERS = 0.75, 0.3
"""A picture this far from what the generator makes of it, in distances of two strangers, is not what is erased. Renders
of the bundled world lie within 0.06 of their inversion, photographs of people beyond 0.8; a red square at 0.31."""
STRANGE = 2.0
"""From this strangeness on, see :mod:`unlearnkit.metrics.naturalness`, a picture may be no face; one has about 1."""
_HELP = "A better inversion (--inverter), another picture or another judge (--judge) would help"


@attrs.frozen
class Verdict:
    """``tone`` is good, mixed, bad or unknown; ``answer`` a few words; then one sentence each.

    ``world`` says whose pictures the verdict speaks of, ``audit`` what attacks found later.
    """

    tone: str
    answer: str
    person: str
    others: str | None = None
    bystanders: str | None = None
    caution: str | None = None
    earlier: tuple[str, ...] = ()
    world: str | None = None
    audit: str | None = None


@attrs.frozen
class _Part:
    """The finding about one group: tone, its answer (of other pictures, what they add to that), and its sentence."""

    tone: str
    answer: str
    sentence: str


def verdict(
    metrics: Metrics, manifest: Mapping[str, Any] | None = None, people: Sequence[str] = (),
    bystanders: Sequence[str] = (), audit: Audited | None = None,
) -> Verdict:
    """What the numbers say. The individual who is recognised best decides, and the bystander who changed most.

    ``people`` and ``bystanders`` are the names of those who were erased and of those to keep, in the order of the
    request. The ``manifest`` says who was erased by earlier edits (one of them who came back spoils the best verdict),
    and which world generator and judge know: where they differ, nothing can be measured.
    ``audit`` is what attacks found since; one that brings the person back spoils the best verdict too.
    """
    manifest = manifest or {}
    found = _verdict(metrics, manifest, people, bystanders)
    if found.caution is None and (warning := _target_warning(manifest)):
        found = attrs.evolve(found, caution=warning)
    if audit is not None:
        tone, answer = _audited(found.tone, found.answer, audit)
        found = attrs.evolve(found, tone=tone, answer=answer, audit=audit.sentence)
    return attrs.evolve(found, world=_world(metrics, manifest))


def _verdict(
    metrics: Metrics, manifest: Mapping[str, Any], people: Sequence[str], bystanders: Sequence[str]
) -> Verdict:
    before, after, who = _erased(metrics, people)
    if before is None or after is None:
        blind = metrics.get("n_no_face") or metrics.get("n_several_faces")
        why = ": it did not find one face in their pictures" if blind else ""
        return Verdict("unknown", "Not measured", f"No judge has compared the person before and after{why}.")
    if mixed := mixed_sentence(manifest):
        return Verdict("unknown", "Not measurable", mixed)
    scale, drawn = levels(metrics), drawn_domain(manifest)
    unlike = UNLIKE_RENDERS if drawn == RENDERS else UNLIKE
    person = _person(metrics, before, after, who, scale, len(people) or 1, unlike)
    others = _others(metrics, scale, people)
    harm, kept = bystanders_sentence(metrics, scale, bystanders)
    tone, answer = _together(person, others, harm)
    if tone in ("good", "mixed") and _strange(metrics):
        tone, answer = "mixed", f"{answer}, but what is left may be no face"
    gone = earlier_people(metrics, manifest)
    if any(one.came_back(scale.border) for one in gone):
        answer += ", but somebody erased earlier is there" if answer.startswith(("Forgotten", "Mostly")) else ""
        tone = "bad"
    sentences = [one.sentence(scale.border) for one in gone] + [not_measured(metrics, manifest)]
    return Verdict(
        tone, answer, person.sentence, others.sentence or None, kept, _caution(person, metrics, scale),
        tuple(text for text in sentences if text),
    )


def _target_warning(manifest: Mapping[str, Any]) -> str | None:
    """What the run said of an unnatural target before its first step."""
    look = manifest.get("target_look")
    warning = look.get("warning") if isinstance(look, Mapping) else None
    return f"Before the first step: {warning}." if warning else None


def _world(metrics: Metrics, manifest: Mapping[str, Any]) -> str | None:
    """Whose pictures these are, and where the levels that they are held against come from."""
    told = [world_sentence(manifest)]
    if source := manifest.get("levels_source"):
        told.append(f"Levels of the judge: {source}.")
    elif metrics.get("same_person_level") is None and (pairs := metrics.get("n_same_person")):
        told.append(f"Levels of the judge: measured on {pairs:.0f} pair{'s' if pairs > 1 else ''} of the person's "
                    "pictures and on the bystanders of this run, for it has none of its own.")
    return " ".join(text for text in told if text) or None


def _together(person: _Part, others: _Part, harm: str) -> tuple[str, str]:
    """Tone and answer of the whole; what nobody can tell about the person is never made better by the rest."""
    tone, answer = person.tone, person.answer
    if tone not in ("good", "mixed"):
        return tone, answer
    if others.answer:
        tone = "mixed"
        answer = others.answer if others.tone == "mixed" else f"{answer} {others.answer}"
    if harm in ("bad", "mixed"):
        tone = "mixed"
        answer += {"bad": ", but so are others", "mixed": ", at a price to others"}[harm]
    return tone, answer


def _audited(tone: str, answer: str, audit: Audited) -> tuple[str, str]:
    """Tone and answer once attacks were tried: only what is gone can come back."""
    if not answer.startswith(("Forgotten", "Mostly forgotten")):
        return tone, answer
    if audit.tone in ("bad", "mixed"):
        place = "from this picture" if "in this picture" in answer else "from its place"
        answer = answer.replace(" in this picture", "", 1)
        answer = answer.replace("Forgotten", f"Gone {place}", 1).replace("Mostly forgotten", f"Mostly gone {place}", 1)
        tone = "bad" if "bad" in (tone, audit.tone) else "mixed"
    elif audit.tone == "unknown" and tone == "good":
        tone = "mixed"
    return tone, f"{answer}; {audit.clause}"


# ---------------------------------------------------------------- the erased pictures

def _erased(metrics: Metrics, people: Sequence[str]) -> tuple[float | None, float | None, str]:
    """The least known erased picture before, the best recognised after, and of several people who that is."""
    slugs = slugs_of_several(people)
    before = _values(metrics, "erased_before", "erased_lowest_before", *(f"erased_before_{slug}" for slug in slugs))
    after = _values(metrics, "erased_after", "erased_worst_after", "erased_worst_view_after")
    by_person = {name: max(found) for slug, name in slugs.items()
                 if (found := _values(metrics, f"erased_after_{slug}", f"erased_worst_after_{slug}"))}
    worst = max([*after, *by_person.values()], default=None)
    who = max(by_person, key=lambda name: by_person[name]) if by_person else ""
    return min(before, default=None), worst, who


def _person(
    metrics: Metrics, before: float, after: float, who: str, scale: Levels, people: int, unlike: float
) -> _Part:
    latents = round(metrics.get("n_erased") or 1)
    single = latents == 1 and metrics.get("erased_worst_view_after") is None
    numbers = f"similarity {before:.2f} → {after:.2f}"
    numbers += "" if single else " (least before, best recognised after)"
    if scale.border is None or scale.strangers is None:
        return _Part("unknown", "Unknown", f"Whether the person is forgotten, nobody can say: {numbers}, and from what "
                     "similarity this judge recognises somebody is unknown. A judge with levels (--judge), or a second "
                     "picture of the person, would tell.")
    between = scale.words
    if after >= scale.border:
        return _Part("bad", "Not forgotten", f"{_still(metrics, who, people)} still recognised: {numbers}; {between}.")
    if doubt := _doubt(metrics, before, scale, people, unlike):
        return _Part("unknown", "Undecided", f"{doubt}: {numbers}; {between}. {_HELP}.")
    subject = {1: "The person is", 2: "Both people are"}.get(people, f"All {people} people are")
    if after >= (scale.strangers + scale.border) / 2:
        of = f" of {who}" if who else ""
        return _Part("mixed", "Mostly forgotten", f"A likeness{of} is left: {numbers}; {between}.")
    if after <= scale.strangers + 0.005:
        where = "below" if after < scale.strangers - 0.005 else "no more than"
        between = f"{where} two strangers ({scale.strangers:.2f})"
        return _Part("good", "Forgotten", f"{subject} no longer recognised: {numbers}, {between}.")
    return _Part("good", "Forgotten", f"{subject} no longer recognised: {numbers}; {between}.")


def _still(metrics: Metrics, who: str, people: int) -> str:
    """``The person is``, ``At least one of 3 people, Bo, is``, ``The person is (in 2 of 3 erased pictures)``."""
    subject = f"At least one of {people} people, {who}," if people > 1 and who else "The person"
    left, judged = metrics.get("n_erased_recognised"), metrics.get("n_erased_judged")
    where = f" (in {left:.0f} of {judged:.0f} erased pictures)" if left and judged and judged > 1 else ""
    return f"{subject} is{where}"


def _doubt(metrics: Metrics, before: float, scale: Levels, people: int, unlike: float) -> str | None:
    """Why a low similarity afterwards proves nothing: the generator did not show the person before."""
    known, judged = metrics.get("n_erased_recognised_before"), metrics.get("n_erased_judged")
    unknown = before < (scale.border or 0.0) if known is None or judged is None else known < judged
    who = "the person" if people == 1 else "one of the people"
    if unknown:
        return f"The judge did not recognise {who} even before, so a low similarity afterwards proves nothing"
    fit, apart = metrics.get("erased_fit_worst"), metrics.get("strangers_distance")
    if fit is not None and apart and fit >= unlike * apart:
        return (f"The generator never showed {who} as in the picture, for its image before is {fit:.2f} away from it "
                f"by the perceptual distance, and two different people are {apart:.2f} apart")
    return None


def _caution(person: _Part, metrics: Metrics, scale: Levels) -> str | None:
    """That what is left may be no face; and, of a run without the numbers of individuals, what its means hide."""
    if strange := _strange(metrics) or _faceless(metrics, "bystanders", "bystanders"):
        return strange
    if scale.border is None or "n_erased_recognised" in metrics or person.tone == "unknown":
        return None
    counts = [metrics.get(name) or 0 for name in ("n_erased", "n_others")]
    if max(counts) <= 1:
        return None
    return "This run holds means only: whether a single picture is still recognised, they cannot say."


def _strange(metrics: Metrics) -> str | None:
    """A sentence if what is left is unlike everything that the generator drew before."""
    if missing := _faceless(metrics):
        return missing
    value = metrics.get("erased_strangeness")
    if value is None or value < STRANGE or value <= (metrics.get("strangeness_most") or 0):
        return None
    return (f"What is left of the person lies {value:.1f} times as far from what the generator drew before as its "
            "pictures from each other: it may be no face at all, so look at it.")


def _faceless(metrics: Metrics, group: str = "erased", what: str = "erased pictures") -> str | None:
    """A sentence if a detector, which finds the faces of random people, misses some in what is left."""
    found, sought = metrics.get(f"{group}_faces"), metrics.get(f"n_{group}_faces_sought")
    known, random = metrics.get("random_before_faces"), metrics.get("n_random_before_faces_sought")
    if found is None or not sought or known is None or not random or found >= sought or known < 0.9 * random:
        return None
    return (f"No face is found in {sought - found:.0f} of {sought:.0f} {what} after, though before one is in "
            f"{known:.0f} of {random:.0f} random people: look at them.")


# ---------------------------------------------------------------- their other pictures

def _others(metrics: Metrics, scale: Levels, people: Sequence[str]) -> _Part:
    """The person's other pictures, which nobody erased one by one; the best recognised one decides."""
    slugs = slugs_of_several(people)
    after = _values(metrics, "others_after", "others_worst_after", "others_worst_view_after")
    by_person = {name: max(found) for slug, name in slugs.items()
                 if (found := _values(metrics, f"others_after_{slug}", f"others_worst_after_{slug}"))}
    if not after and not by_person:
        return _Part("good", "", "")
    worst = max([*after, *by_person.values()])
    if scale.border is None or scale.strangers is None:
        return _Part("unknown", "", "")
    left, known, judged = (metrics.get(f"n_others_{what}") for what in ("recognised", "recognised_before", "judged"))
    of = f" of {max(by_person, key=lambda name: by_person[name])}" if by_person else ""
    numbers = f"best recognised{of}: similarity {worst:.2f}"
    if worst >= scale.border:
        which = (f"{left:.0f} of {judged:.0f} other pictures {'is' if left == 1 else 'are'}" if left and judged
                 else "In their other pictures they are")
        return _Part("bad", "in this picture only", f"{which} still recognised ({numbers}).")
    if known == 0 and judged:
        return _Part("unknown", "in this picture", "Their other pictures say nothing: the judge recognised "
                     "none of them even before.")
    if worst >= (scale.strangers + scale.border) / 2:
        return _Part("mixed", "Mostly forgotten", f"In their other pictures a likeness is left ({numbers}).")
    which = f"any of {judged:.0f} other pictures" if judged and judged > 1 else "their other pictures"
    return _Part("good", "", f"Nor are they recognised in {which} ({numbers}).")


def _values(metrics: Metrics, *names: str) -> list[float]:
    return [value for name in names if (value := metrics.get(name)) is not None]
