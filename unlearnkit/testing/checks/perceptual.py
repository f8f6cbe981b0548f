"""What a perceptual distance promises: zero for equal pictures, more for others, differentiable."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from unlearnkit.interfaces import Perceptual
from unlearnkit.testing.checks.networks import expect_frozen, expect_gradient
from unlearnkit.testing.expect import expect, expect_close, expect_tensor, same_bits, twice, unchanged
from unlearnkit.testing.subject import Subject
from unlearnkit.testing.world import pictures


def check_features_are_maps(subject: Subject) -> None:
    """``features`` gives a list of finite maps ``(N, C_i, h_i, w_i)``."""
    with torch.no_grad():
        maps = subject.component.features(pictures(2))
    expect(isinstance(maps, list) and len(maps) > 0, "a list of feature maps", f"a {type(maps).__name__}")
    for index, value in enumerate(maps):
        expect_tensor(f"features()[{index}]", value, (2, "C", "h", "w"))


def check_equal_pictures_have_distance_zero(subject: Subject) -> None:
    """A picture's distance from itself is zero."""
    measured = _distance(subject, pictures(2), pictures(2))
    expect_tensor("distance", measured, (2,))
    expect(float(measured.abs().max()) < 1e-6, "distance 0 of a picture from itself", f"{measured.tolist()}")


def check_distance_is_not_negative(subject: Subject) -> None:
    """Different pictures have a distance above zero, one number a pair."""
    measured = _distance(subject, pictures(3), pictures(3, seed=1))
    expect_tensor("distance", measured, (3,))
    expect(bool((measured > 0).all()), "distances above zero of different pictures", f"{measured.tolist()}")


def check_distance_is_symmetric(subject: Subject) -> None:
    """``distance(a, b)`` equals ``distance(b, a)``, unless the class says ``symmetric = False``."""
    a, b = pictures(2), pictures(2, seed=1)
    there, back = _distance(subject, a, b), _distance(subject, b, a)
    same = bool(torch.allclose(there, back, rtol=1e-4, atol=1e-7))
    declared = subject.component.symmetric
    expect(same or not declared, "a symmetric distance, or symmetric = False in the class",
           f"{there.tolist()} one way, {back.tolist()} the other")


def check_distance_does_not_depend_on_the_batch(subject: Subject) -> None:
    """A pair's distance is the same whatever other pairs are measured with it."""
    a, b = pictures(3), pictures(3, seed=1)
    alone = torch.cat([_distance(subject, x[None], y[None]) for x, y in zip(a, b, strict=True)])
    expect_close("a pair's distance to be the same alone and among others", _distance(subject, a, b), alone, 1e-3)


def check_distance_is_repeatable(subject: Subject) -> None:
    """The same pictures give the same distance (no dropout, no global random numbers)."""
    first, second = twice(lambda: _distance(subject, pictures(2), pictures(2, seed=1)))
    expect(same_bits(first, second), "the same distance each time", f"{first.tolist()} and {second.tolist()}")


def check_distance_is_differentiable(subject: Subject) -> None:
    """A finite gradient that is not zero reaches the first picture."""
    made: Perceptual = subject.component
    with torch.no_grad():
        wanted = made.features(pictures(2, seed=1))
    expect_gradient("distance", lambda images: made.distance(made.features(images), wanted).sum())


def check_pooled_is_one_vector_a_picture(subject: Subject) -> None:
    """``pooled`` gives finite vectors ``(N, D)`` that differ from picture to picture."""
    with torch.no_grad():
        vectors = subject.component.pooled(pictures(3))
    expect_tensor("pooled", vectors, (3, "D"))
    expect(not same_bits(vectors[0], vectors[1]), "two pictures to have two vectors", "the same one")


def check_label_names_the_feature_space(subject: Subject) -> None:
    """``label`` is a name of its own: reports call the numbers by it."""
    label = type(subject.component).label
    good = bool(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 ._-]*", label)) and label != Perceptual.label
    expect(good, "a label of its own, of letters, digits, spaces, '.', '_' and '-'", repr(label))


def check_network_is_frozen(subject: Subject) -> None:
    """The network is in evaluation mode and its parameters are frozen: no loss may train what it measures with."""
    expect_frozen(subject.component)


def check_measuring_changes_nothing(subject: Subject) -> None:
    """The pictures stay as they are."""
    seen = pictures(2)
    with unchanged(lambda: {"pictures": seen}, "what features() is given"):
        _distance(subject, seen, pictures(2, seed=1))


def _distance(subject: Subject, a: Tensor, b: Tensor) -> Tensor:
    made: Perceptual = subject.component
    with torch.no_grad():
        return made.distance(made.features(a), made.features(b))
