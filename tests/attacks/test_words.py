from __future__ import annotations

import pytest
import torch

from unlearnkit.attacks.reinversion import ReinversionW
from unlearnkit.attacks.relearning import Relearning
from unlearnkit.attacks.words import Finding, counted, finding, overall, speedup
from unlearnkit.interfaces import Attack, Attempt, Recovery
from unlearnkit.report.verdict import Levels

SCALE = Levels(0.1, 0.9)


@pytest.mark.parametrize(("effort", "control", "expected"), [
    (10, 20, (2.0, "exact")), (10, None, (4.0, "at least")), (None, 20, (0.5, "at most")),
    (None, None, (None, "unknown")), (0, 20, (None, "unknown")), (10, 0, (None, "unknown")),
])
def test_speedup(effort: int | None, control: int | None, expected: tuple[float | None, str]) -> None:
    assert speedup(effort, control, 40) == expected


def said(attack: Attack, effort: int | None, control: int | None, scale: Levels = SCALE) -> Finding:
    image = torch.zeros(3, 4, 4)
    attempts = [Attempt(((attack.budget, 0.2 if e is None else 0.7),), image) for e in (effort, control)]
    ratio = speedup(effort, control, attack.budget)
    return finding(attack, Recovery(*attempts, "a picture"), (effort, control), ratio, scale)


@pytest.mark.parametrize(("effort", "control", "tone", "words"), [
    (None, 10, "good", "Not found within 40"), (20, 21, "good", "no easier than where the person never was"),
    (10, 20, "mixed", "2.0 times as fast"), (10, 30, "bad", "3.0 times as fast"),
    (10, None, "bad", "at least 4.0 times"), (20, None, "mixed", "at least 2.0 times as fast, so the edit hides"),
    (39, None, "unknown", "the floor not within 40, which leaves open"), (0, 20, "bad", "before the first"),
])
def test_beside_a_floor(effort: int | None, control: int | None, tone: str, words: str) -> None:
    found = said(Relearning(steps=40), effort, control)
    assert found.tone == tone and words in found.sentence


@pytest.mark.parametrize(("effort", "control", "tone"), [
    (None, 10, "good"), (None, None, "unknown"), (7, 3, "bad"), (0, 0, "bad"),
])
def test_below_a_ceiling(effort: int | None, control: int | None, tone: str) -> None:
    assert said(ReinversionW(steps=40), effort, control).tone == tone


def test_without_levels_nothing_is_claimed() -> None:
    found = said(ReinversionW(steps=40), None, None, Levels(None, None))
    assert (found.tone, found.answer) == ("unknown", "Unknown") and "nobody can say" in found.sentence
    whole = overall([found, found])
    assert (whole.tone, whole.answer) == ("unknown", "Unknown") and "No attack recovers" not in whole.sentence


@pytest.mark.parametrize(("tones", "tone"), [
    (("good", "good"), "good"), (("good", "bad", "mixed"), "bad"), (("good", "mixed"), "mixed"),
    (("good", "unknown"), "unknown"), ((), "unknown"),
])
def test_the_worst_finding_decides(tones: tuple[str, ...], tone: str) -> None:
    assert overall(Finding(t, "", "") for t in tones).tone == tone


def test_one_of_them_is_no_plural() -> None:
    assert [counted(n, "latents tried") for n in (0, 1, 2)] == ["0 latents tried", "1 latent tried", "2 latents tried"]
    assert counted(1, "optimiser steps") == "1 optimiser step"
