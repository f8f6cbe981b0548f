"""What checks of frozen networks share: their gradients, and the parameters that a component holds somewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import attrs
import torch
from torch import Tensor, nn

from unlearnkit.testing.expect import expect
from unlearnkit.testing.world import pictures


def expect_slope(what: str, number: Callable[[Tensor], Tensor]) -> None:
    """``number(pictures)`` has a finite gradient by the pictures that is not zero."""
    images = pictures(2).requires_grad_(True)
    value = number(images)
    expect(value.requires_grad, f"{what} to be differentiable by the pictures", "no graph (no_grad or detach?)")
    (slope,) = torch.autograd.grad(value, [images], allow_unused=True)
    good = slope is not None and bool(slope.isfinite().all()) and bool(slope.any())
    expect(good, f"a finite gradient of {what} by the pictures that is not zero",
           "none" if slope is None else "zeros only" if not slope.any() else "NaN or infinity")


def expect_frozen(component: Any) -> None:
    """No network in the component's fields has a parameter that asks for gradients, or is in training mode."""
    for field, network in _networks(component):
        asking = [name for name, value in network.named_parameters() if value.requires_grad]
        expect(not asking, f"all parameters of '{field}' frozen (requires_grad_(False))", f"{', '.join(asking[:4])}")
        # Of a container the mode says nothing: slicing a Sequential in evaluation mode makes one in training mode.
        training = [name or field for name, part in network.named_modules() if part.training and not [*part.children()]]
        expect(not training, f"all of '{field}' in evaluation mode (.eval())", f"{', '.join(training[:4])} in training")


def _networks(component: Any) -> Iterator[tuple[str, nn.Module]]:
    names = {field.name for field in attrs.fields(type(component))} | set(getattr(component, "__dict__", ()))
    for name in sorted(names):
        value = getattr(component, name, None)
        if isinstance(value, nn.Module):
            yield name, value
