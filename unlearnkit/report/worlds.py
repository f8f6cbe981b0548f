"""Which world a run speaks of: photographs, the bundled synthetic renders, or one that nobody declared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unlearnkit.options.domains import ANY, RENDERS, mixed, words

__all__ = ["drawn_domain", "mixed_sentence", "world_sentence"]


def drawn_domain(manifest: Mapping[str, Any]) -> str:
    """The domain that the generator draws; ``any`` where it is unknown, as in runs of older versions."""
    return _domains(manifest).get("generator", ANY)


def world_sentence(manifest: Mapping[str, Any]) -> str | None:
    """``World: synthetic renders; ...``; None for a run of an older version, which does not say."""
    domains = _domains(manifest)
    if not domains:
        return None
    drawn, judge = drawn_domain(manifest), domains.get("judge", ANY)
    if drawn == RENDERS:
        return "World: synthetic renders; this says nothing about photographs of people."
    if drawn != ANY:
        return f"World: {words(drawn)}."
    return "World: not declared by the generator" + (f"; the judge knows {words(judge)}." if judge != ANY else ".")


def mixed_sentence(manifest: Mapping[str, Any]) -> str | None:
    """Why nothing can be measured: networks that know other faces than the generator draws; None where all fits."""
    domains = _domains(manifest)
    wrong = mixed(domains)
    if not wrong and drawn_domain(manifest) == ANY and domains.get("judge") == RENDERS:
        return ("The judge knows the bundled synthetic renders only, and nothing says that this generator draws them: "
                "no number of this run says whether anybody is forgotten. Choose a judge for its faces with --judge.")
    if not wrong:
        return None
    known = ", ".join(f"the {section} knows {words(domains[section])}" for section in wrong)
    return (f"The generator draws {words(domains['generator'])}, but {known}: no number of this run says whether "
            "anybody is forgotten.")


def _domains(manifest: Mapping[str, Any]) -> dict[str, str]:
    found = manifest.get("domains")
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, Mapping) else {}
