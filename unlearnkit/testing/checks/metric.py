"""What a metric promises: before and after to named, declared, finite numbers, without touching either."""

from __future__ import annotations

import math
import re
from collections import Counter

import torch

from unlearnkit.interfaces import About, Evidence, Generator, Number
from unlearnkit.testing.expect import expect, twice, unchanged
from unlearnkit.testing.subject import Subject
from unlearnkit.testing.world import make_evidence

_NAME = re.compile(r"[a-z][a-z0-9_]*")


def check_numbers_have_names(subject: Subject) -> None:
    """``measure`` gives finite plain numbers by snake_case names, for one person and for several."""
    for frozen in subject.worlds():
        for people in (1, 2):
            numbers = subject.component.measure(_evidence(subject, frozen, people))
            expect(isinstance(numbers, dict) and bool(numbers), "numbers by name", f"{numbers!r:.80}")
            for name, value in numbers.items():
                expect(isinstance(name, str) and bool(_NAME.fullmatch(name)), "names in snake_case", repr(name))
                plain = type(value) in (int, float) and math.isfinite(value)
                expect(plain, f"'{name}' to be a finite plain number", f"{value!r} of type {type(value).__name__}")


def check_numbers_are_declared(subject: Subject) -> None:
    """``numbers`` declares all that ``measure`` returns, each once, with a title; its counts and references exist."""
    for frozen in subject.worlds():
        for people in (1, 2):
            evidence = _evidence(subject, frozen, people)
            declared = _declared(subject, evidence.about)
            measured = subject.component.measure(evidence)
            counts = {number.count for number in declared.values()}
            unknown = sorted(measured.keys() - declared.keys() - counts)
            expect(not unknown, "every number that measure() returns in numbers(about), itself or as a count", unknown)
            for name in measured.keys() & declared.keys():
                count = declared[name].count
                expect(not count or count in measured, f"'{count}', the count of '{name}', from measure()", "none")


def check_declarations_hold_together(subject: Subject) -> None:
    """Before anything is known of a run, ``numbers`` works too; a reference names another declared number."""
    for about in (About(), About(("Ada", "Bo B."), ("Cy",), "LPIPS (VGG)", has_views=True)):
        declared = _declared(subject, about)
        for number in declared.values():
            known = not number.reference or number.reference in declared
            expect(known, f"a declared number as the reference of '{number.name}'", repr(number.reference))


def check_measuring_is_repeatable(subject: Subject) -> None:
    """Equal evidence gives equal numbers; draws come from ``evidence.stream`` only."""
    frozen = subject.world()
    one, other = twice(lambda: subject.component.measure(_evidence(subject, frozen)))
    expect(one == other, "the same numbers each time", f"{one} and {other}")


def check_measuring_changes_nothing(subject: Subject) -> None:
    """Both generators, the request's latents and pictures stay as they are.

    What is drawn comes from ``evidence.stream``, so no metric changes what the next one sees.
    """
    evidence = _evidence(subject, subject.world())
    people = (*evidence.request.people, *evidence.request.bystanders)

    def all_tensors() -> dict[str, torch.Tensor]:
        tensors = {f"frozen.{name}": value for name, value in evidence.frozen.module.state_dict().items()}
        tensors |= {f"edited.{name}": value for name, value in evidence.edited.module.state_dict().items()}
        tensors |= {f"latents of {person.name}": person.latents for person in people}
        tensors |= {f"pictures of {p.name}": p.pictures for p in people if p.pictures is not None}
        return tensors

    with unchanged(all_tensors, "the evidence"):
        subject.component.measure(evidence)


def check_no_change_can_be_measured(subject: Subject) -> None:
    """A generator that nobody edited is measured too, and gives finite numbers: no division by a change of zero."""
    frozen = subject.world()
    numbers = subject.component.measure(make_evidence(frozen, frozen))
    bad = {name: value for name, value in numbers.items() if not math.isfinite(value)}
    expect(not bad, "finite numbers where nothing has changed", f"{bad}")


def _declared(subject: Subject, about: About) -> dict[str, Number]:
    """What the metric declares, by name; each name once."""
    numbers = subject.component.numbers(about)
    sound = isinstance(numbers, tuple) and all(isinstance(number, Number) for number in numbers)
    expect(sound, "a tuple of unlearnkit.interfaces.Number from numbers(about)", f"{numbers!r:.80}")
    twice_declared = sorted(name for name, times in Counter(number.name for number in numbers).items() if times > 1)
    expect(not twice_declared, "each number declared once", f"twice: {', '.join(twice_declared)}")
    return {number.name: number for number in numbers}


def _evidence(subject: Subject, frozen: Generator, people: int = 1) -> Evidence:
    """The generator, and one like it whose editable parameters have moved a little."""
    edited = type(frozen)() if subject.generator is None else subject.world()
    with torch.no_grad():
        for value in edited.editable_parameters().values():
            value.mul_(0.9)
    return make_evidence(frozen, edited, people)
