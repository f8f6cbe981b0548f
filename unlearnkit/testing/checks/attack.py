"""What an attack promises: a curve within its budget, a control by the same procedure, and no side effects."""

from __future__ import annotations

import itertools
import math

import attrs
import torch
from torch import Tensor

from unlearnkit.config import build
from unlearnkit.interfaces import Attack, Attempt, Case, Generator, Holds, Recovery
from unlearnkit.testing.expect import expect, expect_tensor, same_bits, twice, unchanged
from unlearnkit.testing.subject import Subject
from unlearnkit.testing.world import ToyIdentity, make_evidence


def check_it_says_what_it_counts(subject: Subject) -> None:
    """An attack names its unit of effort and its control, and ``quick`` does not enlarge its budget."""
    attack: Attack = subject.component
    for name in ("unit", "control_is"):
        text = getattr(attack, name, None)
        expect(isinstance(text, str) and bool(text), f"a text in '{name}'", repr(text))
    control = getattr(attack, "control", None)
    expect(control in ("floor", "ceiling"), "the control to be a 'floor' or a 'ceiling'", repr(control))
    expect(type(attack.budget) is int and attack.budget >= 1, "a budget of at least 1", repr(attack.budget))
    whole: Attack = build(subject.cls, subject.options())
    quick: Attack = build(subject.cls, {**subject.options(), **attack.quick})
    expect(quick.budget <= whole.budget, f"a quick budget of at most {whole.budget}", quick.budget)


def check_it_says_what_the_attacker_holds(subject: Subject) -> None:
    """``holds`` is a record, and without a photo the faces put forward are the same whoever was erased."""
    attack: Attack = subject.component
    holds = getattr(attack, "holds", None)
    expect(isinstance(holds, Holds), "a Holds in 'holds'", repr(holds))
    if attack.holds.photo:
        return
    case = _case(subject, subject.world())
    person = case.person
    other = attrs.evolve(person, latents=person.latents.flip(-1) + 1, pictures=None)
    mine, theirs = (attack.attack(each) for each in (case, attrs.evolve(case, person=other, target=None)))
    for found in (mine.edited, mine.control):
        side = case.evidence.frozen.resolution
        given = None if found.guesses is None else tuple(found.guesses.shape[1:])
        expect(given == (3, side, side), f"guesses (G, 3, {side}, {side}) from an attack without a photo", given)
    expect(same_bits(mine.edited.guesses, theirs.edited.guesses),
           "an attacker without a photo to put the same faces forward, whoever was erased", "other faces")


def check_curves_rise_within_the_budget(subject: Subject) -> None:
    """Points are in order: effort rises up to the whole budget, the best similarity so far never falls."""
    for frozen in subject.worlds():
        attack: Attack = subject.component
        found = attack.attack(_case(subject, frozen))
        for attempt in (found.edited, found.control):
            _expect_curve(attempt, attack.budget)
            expect_tensor("the face that was found", attempt.image, (3, frozen.resolution, frozen.resolution))
        expect(bool(found.judged_on), "judged_on to say which pictures of the person the similarity is to",
               repr(found.judged_on))


def check_attacking_is_repeatable(subject: Subject) -> None:
    """Equal evidence gives equal curves and faces; draws come from ``evidence.stream`` only."""
    frozen = subject.world()
    first, second = twice(lambda: _plain(subject.component.attack(_case(subject, frozen))))
    expect(same_bits(first, second), "the same curves and faces each time", "different ones")


def check_attacking_changes_nothing(subject: Subject) -> None:
    """Both generators and the request stay as they are, and no gradient is left anywhere."""
    case = _case(subject, subject.world())
    evidence = case.evidence
    people = (*evidence.request.people, *evidence.request.bystanders)

    def all_tensors() -> dict[str, Tensor]:
        tensors = {f"frozen.{name}": value for name, value in evidence.frozen.module.state_dict().items()}
        tensors |= {f"edited.{name}": value for name, value in evidence.edited.module.state_dict().items()}
        tensors |= {f"latents of {person.name}": person.latents for person in people}
        tensors |= {f"pictures of {p.name}": p.pictures for p in people if p.pictures is not None}
        return tensors

    parameters = [*evidence.frozen.module.parameters(), *evidence.edited.module.parameters()]
    asking = [parameter.requires_grad for parameter in parameters]
    with unchanged(all_tensors, "the evidence"):
        subject.component.attack(case)
    expect(all(parameter.grad is None for parameter in parameters), "no gradient left in a generator", "some")
    expect(asking == [parameter.requires_grad for parameter in parameters],
           "requires_grad of the generators' parameters to be as before", "a difference")


def check_judge_is_not_optimised(subject: Subject) -> None:
    """No gradient goes through the judge: an attack optimises perceptual distance, pixels or ``case.identity``."""
    case = _case(subject, subject.world())
    subject.component.attack(attrs.evolve(case, evidence=attrs.evolve(case.evidence, judge=_Blindfold())))


def check_a_ceiling_is_the_same_procedure(subject: Subject) -> None:
    """On a generator that nobody edited, an attack with a ceiling finds exactly what its control finds."""
    attack: Attack = subject.component
    evidence = make_evidence(subject.world(), subject.world())
    found = attack.attack(Case(evidence, evidence.request.people[0]))
    if attack.control == "ceiling":
        expect(found.edited.points == found.control.points, "the control's curve where nothing was edited",
               f"{found.edited.points} beside {found.control.points}")


@attrs.define(eq=False)
class _Blindfold(ToyIdentity):
    """A judge through which no gradient may go."""

    def embed(self, images: Tensor) -> Tensor:
        graph = images.requires_grad and torch.is_grad_enabled()
        expect(not graph, "the judge to see pictures without a graph (torch.no_grad)", "pictures with one")
        return ToyIdentity.embed(self, images)


def _expect_curve(attempt: Attempt, budget: int) -> None:
    points = attempt.points
    expect(bool(points), "at least one point", "none")
    for effort, best in points:
        plain = type(effort) is int and type(best) is float and math.isfinite(best)
        expect(plain, "points (whole effort, finite similarity)", f"{(effort, best)!r}")
    in_order = all(a[0] < b[0] and a[1] <= b[1] for a, b in itertools.pairwise(points))
    expect(in_order, "efforts that rise, and a best similarity that never falls", f"{points}")
    expect(points[0][0] >= 0 and points[-1][0] == budget, f"efforts up to the budget, {budget}",
           f"{points[0][0]} to {points[-1][0]}")
    expect(attempt.share is None or 0 <= attempt.share <= 1, "a share in [0, 1] or None", attempt.share)


def _plain(found: Recovery) -> list[object]:
    both = (found.edited, found.control)
    return [part for attempt in both for part in (attempt.points, attempt.image, attempt.share)]


def _case(subject: Subject, frozen: Generator) -> Case:
    """The generator, one like it whose editable parameters have moved, a target and an attacker's encoder."""
    edited = type(frozen)() if subject.generator is None else subject.world()
    with torch.no_grad():
        for value in edited.editable_parameters().values():
            value.mul_(-0.9)
    evidence = make_evidence(frozen, edited)
    person = evidence.request.people[0]
    return Case(evidence, person, 2 * frozen.w_avg - person.latents[:1], ToyIdentity(), border=0.9)
