"""The settings that tuning chose for each method on each generator, from the package and from the user's own file.

Both are JSON: ``{"generators": {GENERATOR: {METHOD: {"settings": {...}, "trials": 4, ...}}}}``. The package's holds the
methods that ship; ``unlearnkit bench --tune NAME`` writes the user's, whose entries win. Imports no torch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from unlearnkit.bench.drawn import PHOTOREALISTIC
from unlearnkit.errors import RunError
from unlearnkit.files.atomic import plain_errors, write_bytes
from unlearnkit.files.plain import json_bytes

__all__ = ["PACKAGED", "USER", "Tuned", "read_tuned", "tuned_for", "write_tuned"]

PACKAGED = Path(__file__).with_name("tuned.json")
PHOTOREAL = Path(__file__).with_name("tuned_photoreal.json")
"""Of the photorealistic world, with steps and samples of its own."""
USER = Path("runs/bench/tuned.json")
"""Where ``--tune`` writes, and the bench looks, unless ``--tuned`` names another file."""
SCORE = "min(erasure, preservation), mean over the tuning people"
Table = dict[str, dict[str, "Tuned"]]
"""Generator -> method -> what was chosen."""


@attrs.frozen
class Tuned:
    """What was chosen for a method: ``settings`` (dotted), and after how many ``trials``; ``file`` says so."""

    settings: Mapping[str, Any] = attrs.field(factory=dict)
    trials: int = 0
    file: Path | None = None


def read_tuned(user: Path = USER) -> Table:
    """The package's choices, overruled by those of the ``user``'s file if there is one.

    :raises RunError: if that file is damaged.
    """
    found: Table = {}
    for file in (PACKAGED, PHOTOREAL, user):
        if file.exists():
            for generator, methods in _tables(file).items():
                found.setdefault(generator, {}).update(
                    {name: Tuned(entry["settings"], entry["trials"], file) for name, entry in methods.items()})
    return found


def tuned_for(table: Table, generator: str, method: str) -> Tuned:
    """What was chosen for a method; on a generator where nobody tuned it, what was chosen on another one.

    Not from one world to the other: weights of another size need another learning rate.
    """
    world = [name for name in table if (name in PHOTOREALISTIC) is (generator in PHOTOREALISTIC)]
    known = [table.get(generator, {}), *(table[name] for name in world)]
    return next((methods[method] for methods in known if method in methods), Tuned())


def write_tuned(file: Path, chosen: Mapping[str, Mapping[str, Any]], facts: Mapping[str, Any]) -> None:
    """Add to a file what was ``chosen`` (generator -> method -> entry); what it says of other methods stays."""
    known = _tables(file) if file.exists() else {}
    merged = {name: {**known.get(name, {}), **chosen.get(name, {})} for name in sorted({*known, *chosen})}
    with plain_errors("write", file):
        write_bytes(file, json_bytes({"score": SCORE, **facts, "generators": merged}))


def _tables(file: Path) -> dict[str, dict[str, Any]]:
    with plain_errors("read", file):
        data = file.read_bytes()
    try:
        generators = json.loads(data)["generators"]
        for methods in generators.values():
            for entry in methods.values():
                dict(entry["settings"]), int(entry["trials"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RunError(f"{file} is damaged ({error!r:.80}): it does not hold what 'unlearnkit bench --tune' writes; "
                       "remove it and tune again") from error
    return dict(generators)
