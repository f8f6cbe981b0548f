"""What an identity encoder promises: pictures to the unit sphere, by a frozen network, with gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from unlearnkit.interfaces import IdentityEncoder
from unlearnkit.testing.checks.networks import expect_frozen, expect_gradient, gradient_problem
from unlearnkit.testing.expect import NotApplicable, expect, expect_close, expect_tensor, same_bits, twice, unchanged
from unlearnkit.testing.subject import Subject
from unlearnkit.testing.world import pictures


def check_embeddings_have_unit_length(subject: Subject) -> None:
    """``embed`` gives finite ``(N, D)`` of length 1, so that the dot product is a cosine."""
    embedded = _embed(subject, pictures(3))
    expect_tensor("embeddings", embedded, (3, "D"))
    lengths = embedded.norm(dim=1)
    expect(bool(((lengths - 1).abs() < 1e-3).all()), "embeddings of length 1", f"lengths {lengths.tolist()}")


def check_any_resolution_is_taken(subject: Subject) -> None:
    """Pictures of any H = W give embeddings of the same D."""
    sizes = {side: _embed(subject, pictures(1, side)).shape[1] for side in (64, 96)}
    expect(len(set(sizes.values())) == 1, "one D for every resolution", f"{sizes}")


def check_embedding_is_repeatable(subject: Subject) -> None:
    """The same picture gives the same embedding (no dropout, no global random numbers)."""
    first, second = twice(lambda: _embed(subject, pictures(2)))
    expect(same_bits(first, second), "the same embedding each time",
           f"a difference of {(first - second).abs().max():.3g}")


def check_embedding_does_not_depend_on_the_batch(subject: Subject) -> None:
    """A picture's embedding is the same whatever other pictures are embedded with it."""
    seen = pictures(3)
    alone = torch.cat([_embed(subject, row[None]) for row in seen])
    expect_close("embed(x)[i] to equal embed(x[i])", _embed(subject, seen), alone, 1e-3)


def check_different_pictures_differ(subject: Subject) -> None:
    """Two different pictures have different embeddings."""
    first, second = _embed(subject, pictures(2))
    expect(not same_bits(first, second), "two pictures to have two embeddings", "the same one")


def check_embedding_is_differentiable(subject: Subject) -> None:
    """A finite gradient that is not zero reaches the pictures, unless the class says ``differentiable = False``.

    Such an encoder can judge, but no loss can use it.
    """
    encoder: IdentityEncoder = subject.component
    direction = _embed(subject, pictures(1, seed=9)).flatten()

    def similarity(images: Tensor) -> Tensor:
        return (encoder.embed(images) @ direction).sum()

    if encoder.differentiable:
        expect_gradient("embed", similarity, ", or differentiable = False in the class: it judges, but no loss uses it")
        return
    expect(gradient_problem(similarity) is not None, "differentiable = True in the class, so that losses may use it",
           "differentiable = False, although a finite gradient that is not zero reaches the pictures")
    raise NotApplicable("it is a judge only (differentiable = False)")


def check_encoder_is_frozen(subject: Subject) -> None:
    """The encoder is in evaluation mode and its parameters are frozen: no loss may train what it measures with."""
    expect_frozen(subject.component)


def check_embedding_changes_nothing(subject: Subject) -> None:
    """The pictures stay as they are."""
    seen = pictures(2)
    with unchanged(lambda: {"pictures": seen}, "what embed() is given"):
        _embed(subject, seen)


def check_faces_are_counted(subject: Subject) -> None:
    """``embed_and_count`` embeds as ``embed`` does, and counts None, or one whole number of faces a picture."""
    seen = pictures(3)
    with torch.no_grad():
        embedded, counts = subject.component.embed_and_count(seen)
    expect_close("embed_and_count to embed as embed does", embedded, _embed(subject, seen), 1e-6)
    if counts is not None:
        whole = counts.shape == (3,) and not counts.is_floating_point() and bool((counts >= 0).all())
        expect(whole, "None, or one whole number of faces for each of 3 pictures", f"{counts.dtype} {counts.tolist()}")


def check_levels_are_plausible(subject: Subject) -> None:
    """``levels`` is None, or cosines of which strangers < border < same_person, and a source of them."""
    levels = subject.component.levels()
    if levels is None:
        return
    wanted = "None, or some of strangers < border < same_person, in [-1, 1]"
    known = [levels[name] for name in ("strangers", "border", "same_person") if name in levels]
    expect(0 < len(known) == len(levels), wanted, f"{levels}")
    expect(known == sorted(set(known)) and known[0] >= -1 and known[-1] <= 1, wanted, f"{levels}")
    expect("border" in levels or len(levels) == 2, "a border, or strangers and same_person to find it between",
           f"{levels}")
    source = subject.component.levels_source
    expect(bool(source.strip()), "levels_source: who measured the levels, on what", repr(source))


def _embed(subject: Subject, images: Tensor) -> Tensor:
    encoder: IdentityEncoder = subject.component
    with torch.no_grad():
        return encoder.embed(images)
