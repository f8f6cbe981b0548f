"""Gradients of frozen networks, and the networks that a component holds: for encoders and perceptual distances."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import attrs
import torch
from torch import Tensor, nn

from unlearnkit.testing.expect import expect
from unlearnkit.testing.world import pictures

__all__ = ["expect_frozen", "expect_gradient", "gradient_problem"]

Function = Callable[[Tensor], Tensor]


def expect_gradient(what: str, function: Function, otherwise: str = "") -> None:
    """Expect that ``function(pictures)``, one number, has a finite gradient by the pictures that is not zero."""
    problem = gradient_problem(function)
    expect(problem is None, f"a finite gradient of {what} by the pictures that is not zero{otherwise}", problem)


def gradient_problem(function: Function) -> str | None:
    """Why ``function(pictures)`` has no gradient by the pictures that an optimiser could follow; None if it has one."""
    images = pictures(2).requires_grad_(True)
    try:
        value = function(images)
    except Exception as error:  # numpy and other libraries refuse tensors that ask for gradients, each in its way
        return f"{type(error).__name__}: {error}"
    if not value.requires_grad:
        return "no graph (no_grad or detach?)"
    gradient: Tensor | None = torch.autograd.grad(value, [images], allow_unused=True)[0]
    if gradient is None:
        return "none"
    if not gradient.isfinite().all():
        return "NaN or infinity"
    return None if gradient.any() else "zeros only"


def expect_frozen(component: Any) -> None:
    """Expect every network in the component's fields in evaluation mode, and no parameter that asks for gradients."""
    for field, network in _networks(component):
        asking = [name for name, value in network.named_parameters() if value.requires_grad]
        expect(not asking, f"all parameters of '{field}' frozen (requires_grad_(False))",
               f"requires_grad in {', '.join(asking[:4])}")
        # The mode of a container means nothing: slicing a Sequential in evaluation mode makes one in training mode.
        training = [name or field for name, part in network.named_modules() if part.training and not [*part.children()]]
        expect(not training, f"all of '{field}' in evaluation mode (.eval())", f"{', '.join(training[:4])} in training")


def _networks(component: Any) -> Iterator[tuple[str, nn.Module]]:
    names = {field.name for field in attrs.fields(type(component))} | set(getattr(component, "__dict__", ()))
    for name in sorted(names):
        value = getattr(component, name, None)
        if isinstance(value, nn.Module):
            yield name, value
