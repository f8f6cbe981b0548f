"""The numbers of a run as lines to read: titles, directions and counts as metrics declare them. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from unlearnkit.errors import ConfigError, RunError
from unlearnkit.numbers import Number, from_plain
from unlearnkit.options.names import slugs

__all__ = ["NUMBERS_FILE", "Line", "by_metric", "bytes_text", "flat", "lines", "read_declared", "seconds_text",
           "slugs_of_several", "value_text"]

NUMBERS_FILE = "numbers.json"
"""The file of a run directory that holds what the metrics declared, see :func:`unlearnkit.numbers.to_plain`."""


@attrs.frozen
class Line:
    """One number to show: ``better`` is ``"higher"``, ``"lower"`` or empty; ``metric`` is whose it is, or empty."""

    name: str
    title: str
    value: str
    better: str
    count: str
    metric: str = ""


def flat(metrics: Mapping[str, Any] | None) -> dict[str, float | None]:
    """Metrics by name, saved flat or as a table for each metric; what is no number is left out."""
    found: dict[str, float | None] = {}
    for name, value in (metrics or {}).items():
        if isinstance(value, Mapping):
            found |= flat(value)
        elif value is None or isinstance(value, int | float):
            found[name] = value
    return found


def read_declared(tables: object, where: str) -> dict[str, Number]:
    """The declarations of a run from the content of its ``numbers.json``; none where it has no such file (None).

    :raises RunError: naming ``where``, if that is damaged.
    """
    try:
        return from_plain({} if tables is None else tables)
    except ConfigError as error:
        raise RunError(f"{where} is damaged: {error}; restore the file, or remove it to see bare names") from error


def lines(metrics: Mapping[str, float | None], declared: Mapping[str, Number]) -> list[Line]:
    """A line for every number, the declared ones first and in their order; counts stand beside what they count.

    A number that nobody declared has its own name for a title, and no direction.
    """
    counts = {number.count for number in declared.values()}
    known = [
        Line(
            name, f"{number.title} ({number.unit})" if number.unit else number.title,
            value_text(metrics[name], number.digits), number.better, _bare(metrics.get(number.count), ""),
            number.metric,
        )
        for name, number in declared.items() if name in metrics
    ]
    return known + [
        Line(name, name, _bare(value, "–"), "", "")
        for name, value in metrics.items() if name not in declared and name not in counts
    ]


def by_metric(numbers: Sequence[Line]) -> list[tuple[str, list[Line]]]:
    """The lines of each metric under its name, in the order in which the metrics first come; "other" for the rest."""
    groups: dict[str, list[Line]] = {}
    for line in numbers:
        groups.setdefault(line.metric or "other", []).append(line)
    return list(groups.items())


def slugs_of_several(people: Sequence[str]) -> dict[str, str]:
    """What numbers of one person end in -> what that person is called; empty where only one person was erased."""
    return dict(zip(slugs(people), people, strict=True)) if len(people) > 1 else {}


def value_text(value: float | None, digits: int = 3) -> str:
    """``0.973`` with as many decimals, ``2.10e-05`` where they would hide it; a dash for what is not known."""
    if value is None:
        return "–"
    fits = value == 0 or digits == 0 or 10.0**-digits <= abs(value) < 1e4
    return f"{value:.{digits}f}" if fits else f"{value:.2e}"


def seconds_text(seconds: float) -> str:
    """``8.3 s``, ``1 min 12 s``, ``2 h 5 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def bytes_text(size: float) -> str:
    """``812 MiB``, ``1.4 GiB``."""
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"


def _bare(value: float | None, missing: str) -> str:
    return missing if value is None else f"{value:.6g}"
