"""What became of the people whom earlier edits erased, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from unlearnkit.options.names import slugs

__all__ = ["EarlierPerson", "earlier_people", "not_measured"]


@attrs.frozen
class EarlierPerson:
    """Somebody erased earlier: similarity in the checkpoint, with the earlier edits on it, and now."""

    name: str
    before: float
    then: float
    after: float

    def came_back(self, border: float | None) -> bool:
        """True if the judge recognises them now; False too where nobody knows the border."""
        return border is not None and self.after >= border

    def sentence(self, border: float | None) -> str:
        """What happened to them; ``border`` is the similarity from which the judge recognises somebody."""
        change = f"({self.then:.2f} → {self.after:.2f})"
        if border is None:
            return f"{self.name}, erased earlier, has now similarity {change}; no level says whether that is forgotten."
        if not self.came_back(border):
            return f"{self.name}, erased earlier, is still forgotten {change}."
        if self.then >= border:
            return f"{self.name}, erased earlier, was recognised even before this run and still is {change}."
        return f"{self.name}, erased earlier, came back {change}."


def earlier_people(metrics: Mapping[str, float | None], manifest: Mapping[str, Any]) -> list[EarlierPerson]:
    """Everybody erased earlier who was measured, oldest first; their names are those in the manifest."""
    names = [name for link in manifest.get("chain") or () for name in link["people"] or ()]
    found = []
    for name, slug in zip(names, slugs(names), strict=True):
        before, then, after = (metrics.get(f"earlier_{slug}_{when}") for when in ("before", "then", "after"))
        if before is not None and then is not None and after is not None:
            found.append(EarlierPerson(name, before, then, after))
    return found


def not_measured(metrics: Mapping[str, float | None], manifest: Mapping[str, Any]) -> str | None:
    """A sentence about earlier erasures that nobody could measure again; None if there are none."""
    chain = manifest.get("chain") or []
    unknown = [link for link in chain if link["people"] is None]
    people = sum(len(link["people"] or ()) for link in chain) - len(earlier_people(metrics, manifest))
    if unknown:
        hashes = ", ".join(f"{link['sha256'][:16]}…" for link in unknown)
        return (
            f"{len(unknown)} of {len(chain)} earlier edits ({hashes}) could not be measured again: they do not lie in "
            "a run directory with its latents.safetensors, so nobody knows whom they erased."
        )
    return f"{people} of the people erased earlier were not measured again." if people and metrics else None
