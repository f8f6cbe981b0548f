"""The toys of unlearnkit.testing, under the name that older tests know."""

from unlearnkit.testing.world import ToyGenerator, ToyIdentity, ToyPerceptual, toy_job

__all__ = ["ToyGenerator", "ToyIdentity", "ToyPerceptual", "toy_job"]
