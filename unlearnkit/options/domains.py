"""Whose faces a component knows. Imports no torch.

A *domain* is a short name, all lower case: ``"photographs"`` (FFHQ-aligned photographs of real people),
``"synthetic-renders"`` (the bundled world), a name of a plugin's own such as ``"anime"``, or ``"any"``, which mixes
with everything. A network of one domain is blind to the faces of another.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = ["ANY", "PHOTOGRAPHS", "RENDERS", "is_domain", "mixed", "words"]

ANY = "any"
PHOTOGRAPHS = "photographs"
RENDERS = "synthetic-renders"


def is_domain(name: object) -> bool:
    """True for lower-case words joined by hyphens."""
    return isinstance(name, str) and re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) is not None


def mixed(domains: Mapping[str, str]) -> list[str]:
    """The sections whose component knows other faces than the generator draws; ``domains`` is by section."""
    drawn = domains.get("generator", ANY)
    return [section for section, domain in domains.items() if ANY not in (drawn, domain) and domain != drawn]


def words(domain: str) -> str:
    """``"synthetic renders"``, for sentences."""
    return domain.replace("-", " ")
