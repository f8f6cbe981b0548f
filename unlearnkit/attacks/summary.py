"""What an audit comes to: for each kind of attacker, their best way to the person; the weakest point first."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import attrs

from unlearnkit.attacks.running import Result
from unlearnkit.attacks.words import effort_text

__all__ = ["Way", "summary"]

_TONES = ("bad", "mixed", "unknown", "good")
_COMPUTE = ("arithmetic", "renderings", "search", "training")


@attrs.frozen
class Way:
    """The easiest way to a person for an attacker who has ``attacker``; ``after`` says with what effort, in words."""

    attacker: str
    after: str
    attack: str
    person: str
    best: float
    tone: str

    def plain(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return attrs.asdict(self)


def summary(results: Iterable[Result]) -> list[Way]:
    """One way for each kind of attacker, the weakest point of the edit first.

    An attacker who needs less is the weaker point: first those who succeed, then who has fewer things, then who
    computes less, then the smaller effort.
    """
    found: dict[str, Result] = {}
    for result in sorted(results, key=_ease):
        found.setdefault(result.holds.words, result)
    return [_way(attacker, result) for attacker, result in found.items()]


def _ease(result: Result) -> tuple[float, ...]:
    effort, holds = result.effort_to_recognise, result.holds
    things = holds.base + 2 * holds.photo + holds.encoder  # a base is often public, a photo has to be found
    return (_TONES.index(result.finding.tone), things, _COMPUTE.index(holds.compute),
            math.inf if effort is None else effort, -result.edited.points[-1][1])


def _way(attacker: str, result: Result) -> Way:
    after = effort_text(result.effort_to_recognise, result.budget, result.unit, result.finding.tone != "unknown")
    if result.identified is not None:
        after += f" (place {result.identified.rank} of {result.identified.candidates})"
    return Way(attacker, after, result.attack, result.person, result.edited.points[-1][1], result.finding.tone)
