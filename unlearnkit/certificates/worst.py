"""The worst case of each attack, over all audits and people of a run. Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from unlearnkit.certificates.anonymous import plain_words, two, word
from unlearnkit.certificates.schema import TONES, AttackFound

__all__ = ["worst_attacks"]

Table = Mapping[str, Any]
_HOLDS = ("holds", "attacker", "knowledge")
"""Where an audit may say what the attacker has: a text, a list of them, or a table of things to what is so of them."""
_NUMBERS = ("speedup", "share_recognised", "rank", "chance", "candidates")


def worst_attacks(
    audits: Mapping[str, Sequence[Table]], people: Mapping[str, str], names: Sequence[str]
) -> tuple[AttackFound, ...]:
    """One record an attack, the weakest point first: its worst case over all audits and people.

    ``people``: name -> what to call them; ``names``: those that no text may hold.
    """
    tried: dict[str, list[Table]] = {}
    for result in (result for results in audits.values() for result in results):
        tried.setdefault(word(result["attack"]), []).append(result)
    worst = sorted(((name, min(results, key=_rank)) for name, results in tried.items()), key=lambda one: _rank(one[1]))
    return tuple(_found(name, result, len(tried[name]), people, names) for name, result in worst)


def _rank(result: Table) -> tuple[int, float, float]:
    """Sorts the worst first: what succeeds, then what nobody can tell; with least effort, then nearest."""
    tone, effort, best = result["tone"], result["effort_to_recognise"], _number(result.get("best"))
    order = {"bad": 0, "mixed": 1, "unknown": 2}.get(tone, 3)
    return order, math.inf if effort is None else effort, -(best if best is not None else -1.0)


def _found(name: str, result: Table, tries: int, people: Mapping[str, str], names: Sequence[str]) -> AttackFound:
    control = result.get("control")
    control = control if isinstance(control, Mapping) else {}
    kind = control.get("kind") if control.get("kind") in ("ceiling", "floor") else "none"
    numbers = {key: value for key in _NUMBERS if (value := two(_number(result.get(key)))) is not None}
    tone = result["tone"]
    return AttackFound(
        attack=name, person=people.get(str(result.get("person")), "person 1"), holds=_holds(result, names),
        unit=plain_words(result.get("unit"), names) or "units of effort",
        budget=max(1, _whole(result.get("budget")) or 1), effort=result["effort_to_recognise"],
        best=two(_number(result.get("best"))),
        tone=tone if tone in TONES else "unknown", control=str(kind), control_best=two(_number(result.get(str(kind)))),
        control_effort=_whole(control.get("effort_to_recognise")), numbers=numbers, tries=tries,
    )


def _holds(result: Table, names: Sequence[str]) -> tuple[str, ...]:
    """What the attacker has, in plain words; nothing where the audit does not say."""
    value = next((result[key] for key in _HOLDS if result.get(key)), ())
    return tuple(text for item in _texts(value) if (text := plain_words(item, names)))


def _texts(value: object) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if item is True:
                yield str(key).replace("_", " ")
            elif isinstance(item, str | int | float) and not isinstance(item, bool):
                yield f"{str(key).replace('_', ' ')}: {item}"
            elif isinstance(item, list | tuple) and key in _HOLDS:
                yield from _texts(item)
    elif isinstance(value, list | tuple):
        yield from (str(item) for item in value)


def _number(value: object) -> float | None:
    known = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if known and math.isfinite(value) else None  # type: ignore[arg-type]


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
