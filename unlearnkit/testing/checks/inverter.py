"""What an inverter promises: the same latents for the same pictures, and a generator that stays as it is."""

from __future__ import annotations

import torch
from torch import Tensor

from unlearnkit.interfaces import Generator
from unlearnkit.testing.expect import expect, expect_close, expect_tensor, same_bits, twice, unchanged
from unlearnkit.testing.subject import Subject
from unlearnkit.testing.world import random_latents


def check_inversion_gives_latents(subject: Subject) -> None:
    """``invert`` gives a finite latent ``(num_ws, w_dim)`` for each picture."""
    for made in subject.worlds():
        expect_tensor("latents", _invert(subject, made, _pictures(made, 2)), (2, made.num_ws, made.w_dim))


def check_inversion_is_repeatable(subject: Subject) -> None:
    """The same pictures give the same latents; a random search has its seed among its options."""
    made = subject.world()
    images = _pictures(made, 1)
    first, second = twice(lambda: _invert(subject, made, images))
    expect(same_bits(first, second), "the same latents each time",
           f"a difference of {(first - second).abs().max():.3g}")


def check_inversion_looks_at_the_picture(subject: Subject) -> None:
    """Different pictures give different latents."""
    made = subject.world()
    first, second = _invert(subject, made, _pictures(made, 2))
    expect(not same_bits(first, second), "two pictures to have two latents", "the same one")


def check_inversion_does_not_depend_on_the_batch(subject: Subject) -> None:
    """A picture's latent is about the same whatever other pictures are inverted with it."""
    made = subject.world()
    images = _pictures(made, 2)
    alone = torch.cat([_invert(subject, made, image[None]) for image in images])
    expect_close("invert(x)[i] to equal invert(x[i])", _invert(subject, made, images), alone, 2e-2)


def check_inverting_changes_nothing(subject: Subject) -> None:
    """Pictures and generator stay as they are, and no gradient is left in its parameters."""
    made = subject.world()
    images = _pictures(made, 1)
    for value in made.module.parameters():
        value.grad = None
    with unchanged(lambda: {"pictures": images, **made.module.state_dict()}, "pictures and generator"):
        _invert(subject, made, images)
    left = [name for name, value in made.module.named_parameters() if value.grad is not None]
    expect(not left, "no gradient left in the generator (use torch.autograd.grad)", f"some in {', '.join(left[:4])}")


def _pictures(made: Generator, count: int) -> Tensor:
    """What the generator itself makes of random latents: pictures that it can certainly make."""
    front = made.front_view()
    view = None if front is None else front.expand(count, *front.shape[1:])
    with torch.no_grad():
        return made.render(random_latents(made, count), view).image.clamp(-1, 1)


def _invert(subject: Subject, made: Generator, images: Tensor) -> Tensor:
    latents: Tensor = subject.component.invert(images, made)
    return latents.detach()
