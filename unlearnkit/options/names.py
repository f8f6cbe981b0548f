"""What people may be called. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from unlearnkit.errors import ConfigError

__all__ = ["check_distinct", "check_name", "slugs"]

LONGEST = 60


def check_name(_: Any, field: Any, name: str) -> None:
    """An attrs validator: a name that a file may carry.

    :raises ConfigError: if it is empty, longer than 60 characters, or holds a slash or something unprintable.
    """
    if not name.strip() or len(name) > LONGEST or re.search(r"[/\\]", name) or not name.isprintable():
        raise ConfigError(
            f"{field.name}: got {name!r}, expected 1 to {LONGEST} printable characters without slashes: files carry it"
        )


def check_distinct(names: Sequence[str]) -> None:
    """Refuse two people of one name; capital letters do not tell them apart, since some disks ignore them.

    :raises ConfigError: naming the first that comes twice.
    """
    known: set[str] = set()
    for name in names:
        if name.casefold() in known:
            raise ConfigError(f"request.people: two people are called {name!r}; give each a name of their own")
        known.add(name.casefold())


def slugs(names: Sequence[str]) -> list[str]:
    """Each name as the end of a number's name: ``Ada B.`` -> ``ada_b``; with its place where that is empty or taken."""
    found: list[str] = []
    for place, name in enumerate(names):
        slug = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or str(place)
        while slug in found:  # "a 2", "a", "a!": the third may not become a_2
            slug = f"{slug}_{place}"
        found.append(slug)
    return found
