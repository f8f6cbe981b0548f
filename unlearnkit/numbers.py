"""Declarations of metrics' numbers, as records and as plain tables. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from unlearnkit.errors import ConfigError, one_line

__all__ = ["About", "Levels", "Number", "from_plain", "levels", "to_plain"]


_bound = attrs.validators.optional(attrs.validators.instance_of((int, float)))


@attrs.frozen
class Number:
    """A metric's declaration of one of its numbers, so that reports need not guess from its name.

    * ``name``: ``snake_case``, as :meth:`Metric.measure` returns it
    * ``title``: its label in tables: ``"Erased person, after"``
    * ``better``: ``"higher"``, ``"lower"``, or empty where neither is
    * ``unit``: empty for a plain number, such as a cosine
    * ``count``: the name of the number that holds its sample size (images or pairs)
    * ``reference``: the name of the number to compare it with, such as its value for the unedited generator
    * ``least``, ``most``: its bounds, which confidence intervals are clipped to; None if unbounded
    * ``digits``: decimals shown in tables; 0 for whole numbers
    * ``short``: its label in the summary of a run and in comparisons: ``"random people"``; empty to show it only in the
      full table
    * ``metric``: the name of the metric; unlearnkit sets it
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
    metric: str = attrs.field(default="", validator=attrs.validators.instance_of(str))


@attrs.frozen
class About:
    """What the names of a metric's numbers may depend on, known before a run starts.

    * ``people``, ``earlier``: names of the people erased now, and by earlier edits
    * ``perceptual``: the label of the perceptual distance
    * ``has_views``: whether the generator needs a view
    """

    people: tuple[str, ...] = ()
    earlier: tuple[str, ...] = ()
    perceptual: str = "perceptual"
    has_views: bool = False


@attrs.frozen
class Levels:
    """Similarity of two strangers and of two pictures of one person, to this judge; None where unknown.

    ``published``: the similarity from which its publisher takes two pictures for one person, where there is one.
    """

    strangers: float | None
    same: float | None
    published: float | None = None

    @property
    def border(self) -> float | None:
        """From here on, the judge takes two pictures for one person: as published, else half-way. None: unknown."""
        if self.published is not None:
            return self.published
        if self.strangers is None or self.same is None or self.same <= self.strangers:
            return None
        return (self.strangers + self.same) / 2

    @property
    def words(self) -> str:
        """``two strangers have 0.05, two pictures of one person 0.71``; with what is known."""
        known = [] if self.strangers is None else [f"two strangers have {self.strangers:.2f}"]
        if self.same is not None:
            known.append(f"two pictures of one person {'' if known else 'have '}{self.same:.2f}")
        if self.published is not None:
            known.append(f"one person from {self.published:.2f} on")
        return ", ".join(known)


def levels(metrics: Mapping[str, float | None]) -> Levels:
    """The levels to hold a similarity against: the judge's own, measured on many; else those of this run."""
    known = {name: value for name, value in metrics.items() if value is not None}
    strangers = known.get("strangers_level", known.get("strangers"))
    same = known.get("same_person_level", known.get("same_person"))
    return Levels(strangers, same, known.get("border_level"))


def to_plain(declared: Mapping[str, Number]) -> dict[str, dict[str, Any]]:
    """Declarations as tables by name, for JSON: ``{"erased_after": {"title": ..., "better": "lower", ...}}``."""
    return {
        name: attrs.asdict(number, filter=lambda field, _: field.name != "name") for name, number in declared.items()
    }


def from_plain(tables: object) -> dict[str, Number]:
    """The declarations from tables of :func:`to_plain`; unknown fields, as of later versions, are ignored.

    :raises ConfigError: if ``tables`` are invalid.
    """
    if not isinstance(tables, Mapping) or not all(isinstance(table, Mapping) for table in tables.values()):
        raise ConfigError("expected a table of numbers by name, each with a title")
    known = {field.name for field in attrs.fields(Number)} - {"name"}
    found: dict[str, Number] = {}
    for name, table in tables.items():
        try:
            found[name] = Number(name, **{key: value for key, value in table.items() if key in known})
        except (TypeError, ValueError) as error:
            raise ConfigError(f"'{name}' is not a valid declaration of a number: {one_line(error)[:160]}") from error
    return found
