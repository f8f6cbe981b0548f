"""The checks of each kind of component. A check is any function ``check_*`` of its kind's module."""

from __future__ import annotations

import unittest
from collections.abc import Callable
from types import ModuleType

import attrs

from unlearnkit.testing.checks import (
    attack,
    common,
    generator,
    generator_edits,
    identity,
    inverter,
    launcher,
    loss,
    method,
    metric,
    perceptual,
    target,
)
from unlearnkit.testing.expect import CheckFailed, NotApplicable
from unlearnkit.testing.subject import Subject

__all__ = ["CHECKS", "Check", "checks_of"]


@attrs.frozen
class Check:
    """One check; call it with a :class:`Subject`. Its failures begin with its name and the component's."""

    name: str
    function: Callable[[Subject], None]

    def __repr__(self) -> str:
        return self.name

    def __call__(self, subject: Subject) -> None:
        """Run the check.

        :raises CheckFailed: if the component breaks the promise.
        :raises unittest.SkipTest: if its author has said why it does not apply, or there is nothing to check.
        """
        __tracebackhide__ = True  # pytest then shows the sentence, not where in here it was made
        if self.name in subject.skip:
            raise unittest.SkipTest(subject.skip[self.name])
        if subject.needs is not None and self.function.__module__ != common.__name__:
            raise NotApplicable(f"needs {subject.needs}")
        try:
            self.function(subject)
        except CheckFailed as failure:
            raise CheckFailed(f"{self.name} of {subject!r}: {failure}") from None


def _in(module: ModuleType) -> tuple[Check, ...]:
    found = [value for name, value in vars(module).items() if name.startswith("check_")]
    return tuple(Check(function.__name__, function) for function in found if function.__module__ == module.__name__)


COMMON = _in(common)
"""The checks of every component, whatever its kind."""

CHECKS: dict[str, tuple[Check, ...]] = {
    "generator": _in(generator) + _in(generator_edits), "inverter": _in(inverter), "target": _in(target),
    "loss": _in(loss), "method": _in(method), "identity": _in(identity), "perceptual": _in(perceptual),
    "metric": _in(metric), "attack": _in(attack), "launcher": _in(launcher),
}
"""The further checks of each kind."""


def checks_of(kind: str) -> tuple[Check, ...]:
    """All checks of one kind of component, the common ones first."""
    return COMMON + CHECKS.get(kind, ())
