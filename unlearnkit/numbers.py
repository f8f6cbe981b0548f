"""What a metric declares of its numbers, in memory and as plain tables. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from unlearnkit.errors import ConfigError, one_line

__all__ = ["About", "Number", "from_plain", "to_plain"]


_bound = attrs.validators.optional(attrs.validators.instance_of((int, float)))


@attrs.frozen
class Number:
    """What a metric declares of one of its numbers, so that nobody has to guess it from the name.

    * ``name``: ``snake_case``, as :meth:`Metric.measure` returns it
    * ``title``: what a table calls it: ``"Erased person, after"``
    * ``better``: ``"higher"``, ``"lower"``, or empty where neither is
    * ``unit``: empty for a plain number, such as a cosine
    * ``count``: the name of the number that says from how many pictures or pairs it was estimated
    * ``reference``: the name of the number to hold it against, such as its value for a generator that nobody edited
    * ``least``, ``most``: the smallest and largest value that it can have, so that no interval leaves its range; None
      without a bound
    * ``digits``: how many decimals a table shows; 0 for whole numbers
    * ``short``: what the short table of a run and the columns of a comparison call it: ``"random people"``; empty
      where it is shown among all numbers only
    """

    name: str = attrs.field(validator=attrs.validators.matches_re(r"[a-z][a-z0-9_]*"))
    title: str = attrs.field(validator=attrs.validators.matches_re(r"(?s).*\S.*"))
    better: str = attrs.field(default="", validator=attrs.validators.in_(("higher", "lower", "")))
    unit: str = attrs.field(default="", validator=attrs.validators.instance_of(str))
    count: str = attrs.field(default="", validator=attrs.validators.instance_of(str))
    reference: str = attrs.field(default="", validator=attrs.validators.instance_of(str))
    least: float | None = attrs.field(default=None, validator=_bound)
    most: float | None = attrs.field(default=None, validator=_bound)
    digits: int = attrs.field(default=3, validator=[attrs.validators.instance_of(int), attrs.validators.in_(range(10))])
    short: str = attrs.field(default="", validator=attrs.validators.instance_of(str))


@attrs.frozen
class About:
    """What the names of a metric's numbers may depend on, known before a run starts.

    * ``people``, ``earlier``: what the people are called who are, and who were, erased
    * ``perceptual``: the label of the perceptual distance
    * ``has_views``: whether the generator needs a view
    """

    people: tuple[str, ...] = ()
    earlier: tuple[str, ...] = ()
    perceptual: str = "perceptual"
    has_views: bool = False


def to_plain(declared: Mapping[str, Number]) -> dict[str, dict[str, Any]]:
    """Declarations as tables by name, for JSON: ``{"erased_after": {"title": ..., "better": "lower", ...}}``."""
    return {
        name: attrs.asdict(number, filter=lambda field, _: field.name != "name") for name, number in declared.items()
    }


def from_plain(tables: object) -> dict[str, Number]:
    """The declarations that :func:`to_plain` made tables of; fields that a later version added are left out.

    :raises ConfigError: if ``tables`` are something else.
    """
    if not isinstance(tables, Mapping) or not all(isinstance(table, Mapping) for table in tables.values()):
        raise ConfigError("expected a table of numbers by name, each with a title")
    known = {field.name for field in attrs.fields(Number)} - {"name"}
    found: dict[str, Number] = {}
    for name, table in tables.items():
        try:
            found[name] = Number(name, **{key: value for key, value in table.items() if key in known})
        except (TypeError, ValueError) as error:
            raise ConfigError(f"'{name}' is not declared as a number is: {one_line(error)[:160]}") from error
    return found
