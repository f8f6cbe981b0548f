"""What a target selector promises: another latent for each latent to erase, and no side effects."""

from __future__ import annotations

import torch
from torch import Tensor

from unlearnkit.interfaces import Generator, Measures, TargetSelector
from unlearnkit.testing.expect import expect, expect_tensor, same_bits, twice, unchanged
from unlearnkit.testing.subject import Subject
from unlearnkit.testing.world import ToyIdentity, ToyPerceptual, random_latents


def check_targets_have_the_shape_of_the_erased(subject: Subject) -> None:
    """``select`` gives a finite latent for each latent to erase, of one person and of several."""
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
    """The same rng gives the same targets."""
    made = subject.world()
    erased = random_latents(made, 2)
    first, second = twice(lambda: _select(subject.component, made, erased))
    expect(same_bits(first, second), "the same targets from the same rng",
           f"a difference of {(first - second).abs().max():.3g}")


def check_selecting_changes_nothing(subject: Subject) -> None:
    """The latents to erase and the generator stay as they are, and the targets are a tensor of their own."""
    made = subject.world()
    erased = random_latents(made, 2)
    with unchanged(lambda: {"erased": erased, **made.module.state_dict()}, "erased latents and generator"):
        targets = _select(subject.component, made, erased)
        targets.add_(1.0)


def _select(selector: TargetSelector, made: Generator, erased: Tensor) -> Tensor:
    with torch.enable_grad():
        selector.fit(erased, made, Measures(ToyPerceptual(), ToyIdentity()), torch.Generator().manual_seed(4))
    with torch.no_grad():
        return selector.select(erased, made, torch.Generator().manual_seed(5))
