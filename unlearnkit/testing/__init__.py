"""Conformance checks: does a component keep the promises of its interface?

    from unlearnkit.testing import components_of, parametrize_with_checks

    @parametrize_with_checks(components_of("my-plugin"))
    def test_conformance(component, check):
        check(component)

No weights are needed: a component is tried on toys (:mod:`unlearnkit.testing.world`), a generator on itself.
``check_component(MyLoss)`` does the same outside pytest. Imports torch, but not pytest.
"""

from unlearnkit.testing.checks import Check, checks_of
from unlearnkit.testing.expect import CheckFailed, NotApplicable
from unlearnkit.testing.running import Outcome, check_component, parametrize_with_checks
from unlearnkit.testing.subject import Description, Subject, as_subject, components_of
from unlearnkit.testing.world import (
    ToyGenerator,
    ToyIdentity,
    ToyPerceptual,
    ToyTarget,
    ToyViewGenerator,
    make_evidence,
    make_job,
    pictures,
    random_latents,
    toy_job,
)

__all__ = [
    "Check", "CheckFailed", "Description", "NotApplicable", "Outcome", "Subject", "ToyGenerator", "ToyIdentity",
    "ToyPerceptual", "ToyTarget", "ToyViewGenerator", "as_subject", "check_component", "checks_of", "components_of",
    "make_evidence", "make_job", "parametrize_with_checks", "pictures", "random_latents", "toy_job",
]
