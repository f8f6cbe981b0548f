"""Valid names of people. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from unlearnkit.errors import ConfigError

__all__ = ["check_distinct", "check_name", "slugs"]

LONGEST = 60


def check_name(_: Any, field: Any, name: str) -> None:
    """An attrs validator for names, which become part of file names.

    :raises ConfigError: if it is empty, longer than 60 characters, or contains a slash or unprintable characters.
    """
    if not name.strip() or len(name) > LONGEST or re.search(r"[/\\]", name) or not name.isprintable():
        raise ConfigError(
            f"{field.name}: got {name!r}, expected 1 to {LONGEST} printable characters without slashes"
        )


def check_distinct(names: Sequence[str]) -> None:
    """Refuse two people of the same name; case is ignored, as some file systems do.

    :raises ConfigError: naming the first duplicate.
    """
    known: set[str] = set()
    for name in names:
        if name.casefold() in known:
            raise ConfigError(f"request.people: two people are called {name!r}; give each a name of their own")
        known.add(name.casefold())


def slugs(names: Sequence[str]) -> list[str]:
    """Each name as a suffix for metric names: ``Ada B.`` -> ``ada_b``; with its index if that is empty or taken."""
    taken: list[str] = []
    for place, name in enumerate(names):
        slug = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or str(place)
        while slug in taken:  # "a 2", "a", "a!": the third must not become a_2
            slug = f"{slug}_{place}"
        taken.append(slug)
    return taken
