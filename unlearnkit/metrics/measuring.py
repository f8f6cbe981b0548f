"""The numbers of several metrics together: who declares which, and what each measures."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs

from unlearnkit.errors import ConfigError, PluginError, UnlearnkitError, one_line
from unlearnkit.interfaces import Evidence, Metric
from unlearnkit.numbers import About, Number

__all__ = ["declared", "measured"]


def declared(metrics: Mapping[str, Metric], about: About) -> dict[str, Number]:
    """What the chosen ``metrics`` declare, by the name of the number and in the order of the metrics.

    :raises ConfigError: if two metrics claim one number, as a number or as a count; it names both.
    :raises PluginError: if a metric cannot say what it measures.
    """
    found: dict[str, Number] = {}
    owners: dict[str, str] = {}
    for owner, metric in metrics.items():
        numbers = _numbers(owner, metric, about)
        for name in _claims(numbers):
            if owners.setdefault(name, owner) != owner:
                raise ConfigError(
                    f"metric '{owner}' and metric '{owners[name]}' both measure '{name}'; leave one of them out of "
                    "metrics.names, or rename the number in the plugin that took the name"
                )
        for number in numbers:
            if number.name in found:
                raise ConfigError(f"metric '{owner}' declares '{number.name}' twice; each number needs its own name")
            found[number.name] = attrs.evolve(number, metric=owner)
    return found


def measured(
    metrics: Mapping[str, Metric], evidence: Evidence, starting: Callable[[str], None] = lambda metric: None
) -> dict[str, float]:
    """What the ``metrics`` measure, by the name of the number; ``starting`` is called with the name of each
    metric before it looks.

    A number that its metric did not declare is kept.

    :raises PluginError: if a metric returns a number that belongs to another one; it names both.
    """
    owners = {name: owner for owner, metric in metrics.items()
              for name in _claims(_numbers(owner, metric, evidence.about))}
    found: dict[str, float] = {}
    for owner, metric in metrics.items():
        starting(owner)
        for name, value in metric.measure(evidence).items():
            if owners.setdefault(name, owner) != owner:
                raise PluginError(
                    f"metric '{owner}' returned '{name}', which belongs to metric '{owners[name]}'; leave '{owner}' "
                    "out of metrics.names, or rename the number in its plugin"
                )
            found[name] = value
    return found


def _numbers(owner: str, metric: Metric, about: About) -> tuple[Number, ...]:
    try:
        numbers = tuple(metric.numbers(about))
    except UnlearnkitError:
        raise
    except Exception as error:  # whatever somebody else's code raises
        raise PluginError(f"metric '{owner}' cannot declare its numbers: {one_line(error)[:200]}") from error
    if not all(isinstance(number, Number) for number in numbers):
        raise PluginError(f"metric '{owner}' declares {numbers!r:.80}, expected Numbers of unlearnkit.interfaces")
    return numbers


def _claims(numbers: tuple[Number, ...]) -> dict[str, None]:
    """The numbers and their counts, in order."""
    return dict.fromkeys(name for number in numbers for name in (number.name, number.count) if name)
