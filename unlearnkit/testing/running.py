"""Runs checks: in pytest with ``parametrize_with_checks``, anywhere else with ``check_component``."""

from __future__ import annotations

import unittest
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import attrs

from unlearnkit.testing.checks import checks_of
from unlearnkit.testing.expect import CheckFailed
from unlearnkit.testing.subject import Description, as_subject

__all__ = ["Outcome", "check_component", "parametrize_with_checks"]

Test = TypeVar("Test", bound=Callable[..., Any])


@attrs.frozen
class Outcome:
    """What came of one check: ``passed``, ``skipped`` or ``failed``, and why."""

    check: str
    state: str
    why: str = ""


def parametrize_with_checks(components: Iterable[Description]) -> Callable[[Test], Test]:
    """Make one test of every check of every component::

        @parametrize_with_checks([("loss", "left-ear"), ("loss", "left-ear", {"weight": 2.0})])
        def test_conformance(component, check):
            check(component)

    Components are named as :func:`unlearnkit.testing.as_subject` takes them; ``components_of("my-plugin")`` lists
    all that a plugin registers.
    """
    import pytest

    subjects = [as_subject(what) for what in components]
    pairs = [(subject, check) for subject in subjects for check in checks_of(subject.kind)]
    ids = [f"{subject.kind}-{subject.name}-{check.name.removeprefix('check_')}" for subject, check in pairs]
    return pytest.mark.parametrize(("component", "check"), pairs, ids=ids)


def check_component(what: Description, raises: bool = True) -> list[Outcome]:
    """Run all checks of one component, to the last.

    :raises CheckFailed: naming every check that failed, unless ``raises`` is false.
    """
    subject = as_subject(what)
    outcomes = []
    for check in checks_of(subject.kind):
        try:
            check(subject)
        except unittest.SkipTest as reason:
            outcomes.append(Outcome(check.name, "skipped", str(reason)))
        except CheckFailed as failure:
            outcomes.append(Outcome(check.name, "failed", str(failure)))
        except Exception as error:  # whatever a component raises where it should not
            words = f"{check.name} of {subject!r}: {type(error).__name__}: {error}"
            outcomes.append(Outcome(check.name, "failed", words))
        else:
            outcomes.append(Outcome(check.name, "passed"))
    failed = [outcome.why for outcome in outcomes if outcome.state == "failed"]
    if failed and raises:
        raise CheckFailed("\n".join([f"{len(failed)} checks failed", *failed]))
    return outcomes
