"""Conformance checks: does a component keep the promises of its interface?

    from unlearnkit.testing import components_of, parametrize_with_checks

    @parametrize_with_checks(components_of("my-plugin"))
    def test_conformance(component, check):
        check(component)

No weights are needed: losses, methods, metrics and the like are tried on a toy world (:mod:`unlearnkit.testing.world`).
``check_component(MyLoss)`` does the same outside pytest. Imports torch, but no pytest.
"""

from unlearnkit.testing.checks import Check, checks_of
from unlearnkit.testing.expect import CheckFailed, NotApplicable
from unlearnkit.testing.running import Outcome, check_component, parametrize_with_checks
from unlearnkit.testing.subject import Subject, as_subject, components_of
from unlearnkit.testing.world import (
    ToyGenerator,
    ToyIdentity,
    ToyPerceptual,
    ToyViewGenerator,
    make_evidence,
    make_job,
    pictures,
    random_latents,
    toy_job,
)

__all__ = [
    "Check", "CheckFailed", "NotApplicable", "Outcome", "Subject", "ToyGenerator", "ToyIdentity", "ToyPerceptual",
    "ToyViewGenerator", "as_subject", "check_component", "checks_of", "components_of", "make_evidence", "make_job",
    "parametrize_with_checks", "pictures", "random_latents", "toy_job",
]
