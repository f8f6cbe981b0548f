"""What a target selector promises: for each latent to erase another latent, and nothing else happens."""

from __future__ import annotations

import torch
from torch import Tensor

from unlearnkit.interfaces import Generator, Measures, TargetSelector
from unlearnkit.testing.expect import expect, expect_tensor, same_bits, twice, unchanged
from unlearnkit.testing.subject import Subject
from unlearnkit.testing.world import ToyIdentity, ToyPerceptual, random_latents


def check_targets_have_the_shape_of_sources(subject: Subject) -> None:
    """``select`` gives finite latents, as many as it gets, for one person and for several."""
    for made in subject.worlds():
        for people in (1, 3):
            targets = _select(subject.component, made, random_latents(made, people))
            expect_tensor(f"targets of {people} people", targets, (people, made.num_ws, made.w_dim))


def check_mean_face_has_a_target(subject: Subject) -> None:
    """Even the mean latent gets a finite target (no division by its distance from the mean, which is zero)."""
    made = subject.world()
    erased = made.w_avg.detach()[None].clone()
    expect_tensor("the target of w_avg", _select(subject.component, made, erased), tuple(erased.shape))


def check_targets_are_repeatable(subject: Subject) -> None:
    """The same rng gives the same targets; nothing else decides."""
    made = subject.world()
    erased = random_latents(made, 2)
    one, other = twice(lambda: _select(subject.component, made, erased))
    expect(same_bits(one, other), "the same targets from the same rng", f"a difference of {(one - other).abs().max()}")


def check_selecting_changes_nothing(subject: Subject) -> None:
    """The latents to erase and the generator are as before, and the targets are a tensor of their own."""
    made = subject.world()
    erased = random_latents(made, 2)
    with unchanged(lambda: {"erased": erased, **made.module.state_dict()}, "erased and generator"):
        targets = _select(subject.component, made, erased)
        targets.add_(1.0)


def _select(selector: TargetSelector, made: Generator, erased: Tensor) -> Tensor:
    with torch.enable_grad():
        selector.fit(erased, made, Measures(ToyPerceptual(), ToyIdentity()), torch.Generator().manual_seed(4))
    with torch.no_grad():
        return selector.select(erased, made, torch.Generator().manual_seed(5))
