"""What the audits of a run found, for its verdict. The numbers are in ``audit.json``, ``audit-2.json`` and so on."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from unlearnkit.errors import RunError

if TYPE_CHECKING:
    from unlearnkit.runs import Run

__all__ = ["Audited", "audited", "read_audits"]

_NAME = re.compile(r"audit(?:-(\d+))?\.json")


@attrs.frozen
class Audited:
    """All audits of a run together: ``tone`` as in a verdict, how the answer goes on, and a sentence."""

    tone: str
    clause: str
    sentence: str


def read_audits(run: Run) -> dict[str, list[dict[str, Any]]]:
    """The results of every audit of a run, by the name of its file, oldest first; empty before the first.

    :raises RunError: if one is damaged.
    """
    names = sorted((int(match[1] or 1), path.name) for path in run.path.iterdir()
                   if (match := _NAME.fullmatch(path.name)))
    found: dict[str, list[dict[str, Any]]] = {}
    for _, name in names:
        content = run.read_json(name)
        results = content.get("results") if isinstance(content, Mapping) else None
        if not isinstance(results, list) or not all(_is_result(result) for result in results):
            raise RunError(f"{run.path / name} is damaged: it holds no results of attacks; remove it, and audit again")
        found[name] = results
    return found


def audited(audits: Mapping[str, Sequence[Mapping[str, Any]]]) -> Audited | None:
    """What all audits together come to: one attack that finds the person is enough. None without any result."""
    results = [result for found in audits.values() for result in found]
    if not results:
        return None
    bad, mixed, unknown = ([result for result in results if result["tone"] == tone]
                           for tone in ("bad", "mixed", "unknown"))
    tried = f"{len(results)} attempt{'s' if len(results) > 1 else ''} to bring the person back"
    if bad or mixed:
        giving = [result for result in bad if _without_photo(result)]
        known = [result for result in bad or mixed if result not in giving]
        sentence = f"Audit: {len(bad + mixed)} of {tried} succeed" + ("s" * (len(bad + mixed) == 1))
        clause = ""
        if giving:  # the weakest point of all: nobody has to know whom they look for
            weakest = min(giving, key=_effort)
            clause = "the edit gives away whom it erases"
            sentence += f"; without a photo, {weakest['attack']} names the person first of " \
                        f"{weakest['identified']['candidates']} people"
        if known:
            first = min(known, key=_effort)
            sentence += f"; by {first['attack']}, the person {_comes_back(first)}"
        sentence, clause = f"{sentence}.", clause or _comes_back(first)
        return Audited("bad" if bad else "mixed", clause, sentence)
    if unknown:
        return Audited("unknown", "whether they come back is unknown",
                       f"Audit: {len(unknown)} of {tried} {'is' if len(unknown) == 1 else 'are'} inconclusive; "
                       "no other succeeds.")
    return Audited("good", f"{len(results)} attempts to bring them back fail" if len(results) > 1 else
                   "one attempt to bring them back fails", f"Audit: {tried}, and none succeeds within its budget.")


def _effort(result: Mapping[str, Any]) -> float:
    """The effort to order successes by; who was named but not recognised took more than any budget."""
    effort = result["effort_to_recognise"]
    return float("inf") if effort is None else float(effort)


def _comes_back(result: Mapping[str, Any]) -> str:
    effort = result["effort_to_recognise"]
    if effort is None:
        return "is named first, though not recognised"
    return f"comes back after {result['answer']}" if effort else "comes back without effort"


def _without_photo(result: Mapping[str, Any]) -> bool:
    """True if an attacker without a photo named the person; audits made before that was asked say nothing of it."""
    holds, identified = result.get("holds"), result.get("identified")
    if not isinstance(holds, Mapping) or not isinstance(identified, Mapping):
        return False
    return holds.get("photo") is False and identified.get("rank") == 1 and "candidates" in identified


def _is_result(result: object) -> bool:
    if not isinstance(result, Mapping):
        return False
    words = all(isinstance(result.get(key), str) for key in ("tone", "answer", "attack"))
    return words and isinstance(result.get("effort_to_recognise"), int | None)
