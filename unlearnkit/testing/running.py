"""Run checks: in pytest with ``parametrize_with_checks``, anywhere else with ``check_component``."""

from __future__ import annotations

import unittest
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import attrs

from unlearnkit.errors import one_line
from unlearnkit.testing.checks import checks_of
from unlearnkit.testing.expect import CheckFailed
from unlearnkit.testing.subject import Description, as_subject

__all__ = ["Outcome", "check_component", "parametrize_with_checks"]

Test = TypeVar("Test", bound=Callable[..., Any])


@attrs.frozen
class Outcome:
    """The result of one check: its ``state`` is ``passed``, ``skipped`` or ``failed``, and ``why`` is the reason."""

    check: str
    state: str
    why: str = ""


def parametrize_with_checks(components: Iterable[Description]) -> Callable[[Test], Test]:
    """Decorate a test with every check of every component, one test each::

        @parametrize_with_checks(components_of("my-plugin"))
        def test_conformance(component, check):
            check(component)

    Instead of ``components_of``, which lists all that a plugin registers, any :data:`Description` will do:
    ``[("loss", "left-ear"), ("loss", "left-ear", {"weight": 2.0}), MyLoss]``.
    """
    import pytest

    subjects = [as_subject(what) for what in components]
    pairs = [(subject, check) for subject in subjects for check in checks_of(subject.kind)]
    ids = [f"{subject.kind}-{subject.name}-{check.name.removeprefix('check_')}" for subject, check in pairs]
    return pytest.mark.parametrize(("component", "check"), pairs, ids=ids)


def check_component(what: Description, raises: bool = True) -> list[Outcome]:
    """Run every check of one component, also after one has failed, and return what came of each::

        check_component(("loss", "left-ear"))      # registered by an installed plugin
        check_component(MyLoss(weight=2.0))        # or a class or an object, in a notebook

    :raises CheckFailed: one line for each check that failed, unless ``raises`` is false.
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
            outcomes.append(Outcome(check.name, "failed", f"{check.name} of {subject!r}: {one_line(error)}"))
        else:
            outcomes.append(Outcome(check.name, "passed"))
    failed = [outcome.why for outcome in outcomes if outcome.state == "failed"]
    if failed and raises:
        raise CheckFailed("\n".join([f"{len(failed)} of {len(outcomes)} checks failed", *failed]))
    return outcomes
