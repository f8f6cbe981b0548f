"""What may go into a certificate of numbers and texts that somebody else wrote. Imports no torch."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

__all__ = ["is_word", "plain_words", "two", "word"]

_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}")
_HASH = re.compile(r"[0-9a-fA-F]{32}")
_LONGEST = 300
_ORDINARY = frozenset({
    "and", "any", "attack", "attacks", "base", "before", "best", "checkpoint", "compute", "edit", "edited",
    "encoder", "for", "from", "generator", "identity", "images", "judge", "latent", "latents", "many", "not", "off",
    "one", "optimiser", "original", "other", "people", "person", "photo", "photos", "picture", "pictures",
    "queries", "seconds", "steps", "tensors", "than", "the", "their", "tried", "weights", "with", "within",
})
"""Words that say nothing of a person, also where somebody is called so: ``person`` is everybody's name by default."""


def two(value: float | None) -> float | None:
    """Two decimals: with more, a number would be a fingerprint of the picture that it was measured on."""
    return None if value is None or not math.isfinite(value) else round(float(value), 2)


def is_word(value: object) -> bool:
    """True for what may be the name of a component, an option or a package."""
    return isinstance(value, str) and _WORD.fullmatch(value) is not None


def word(value: object) -> str:
    """The name of a component; ``unknown`` for anything else."""
    return str(value) if is_word(value) else "unknown"


def plain_words(value: object, names: Iterable[str]) -> str:
    """A text of a plugin's if it is one short plain line without paths and hashes that names nobody; else empty."""
    if not isinstance(value, str) or not value.isprintable() or len(value) > _LONGEST:
        return ""
    if re.search(r"[/\\<>@]", value) or _HASH.search(value):
        return ""
    said = set(re.findall(r"\w+", value.casefold())) - _ORDINARY
    parts = (part for name in names for part in re.findall(r"\w+", name.casefold()))
    return "" if any(len(part) > 2 and part in said for part in parts) else value
