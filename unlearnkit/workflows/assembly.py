"""Build and prepare the components that settings name."""

from __future__ import annotations

from typing import Any, TypeVar

import attrs
import torch

from unlearnkit.config import Choice, Settings
from unlearnkit.errors import CheckpointError, ConfigError
from unlearnkit.interfaces import (
    Component,
    Generator,
    IdentityEncoder,
    Inverter,
    Loss,
    Method,
    Metric,
    Perceptual,
    TargetSelector,
)

__all__ = ["Parts", "assemble", "check_draws", "pick_device", "prepared"]

C = TypeVar("C", bound=Component)


@attrs.define(eq=False)
class Parts:
    """All prepared components of an experiment; ``judge`` is never the encoder that a loss uses.

    If nothing is to be unlearned, there is no method, target selector or loss; if nothing is to be measured, no
    inverter and no metric.
    """

    generator: Generator
    identity: IdentityEncoder
    judge: IdentityEncoder
    perceptual: Perceptual
    method: Method | None = None
    target: TargetSelector | None = None
    inverter: Inverter | None = None
    losses: dict[str, Loss] = attrs.field(factory=dict)
    metrics: dict[str, Metric] = attrs.field(factory=dict)


def prepared(choice: Choice[C], device: torch.device) -> C:
    """A new instance of the chosen component, its networks on ``device``."""
    component = choice.fresh()
    component.prepare(device)
    return component


def assemble(
    settings: Settings, device: torch.device, *, unlearns: bool = True, measures: bool = True
) -> Parts:
    """Prepare the components that ``settings`` name.

    Without ``unlearns`` those needed to evaluate an edit, without ``measures`` no inverter and no metrics.

    :raises ConfigError: if identity encoder, judge or perceptual distance is missing.
    """
    encoders: dict[str, Any] = {}
    for section in ("identity", "judge", "perceptual"):
        choice: Choice[Any] | None = getattr(settings, section)
        if choice is None:
            raise ConfigError(f"no {section} is chosen and no plugin offers one; give --{section} NAME")
        encoders[section] = prepared(choice, device)
    parts = Parts(prepared(settings.generator, device), **encoders)
    sections = [*(("method", "target") if unlearns else ()), *(("inverter",) if measures else ())]
    for section in sections:
        choice = getattr(settings, section)
        setattr(parts, section, None if choice is None else prepared(choice, device))
    if unlearns:
        parts.losses = {name: prepared(choice, device) for name, choice in settings.losses.items()}
    if measures:
        parts.metrics = {name: prepared(choice, device) for name, choice in settings.metrics.items()}
    return parts


@torch.no_grad()
def check_draws(generator: Generator) -> None:
    """Draw the mean face: weights may be finite, each of them, and still give no picture.

    :raises CheckpointError: if that picture has numbers that are not finite.
    """
    if not generator.render_front(generator.w_avg[None]).isfinite().all():
        raise CheckpointError(f"{generator.base.path}: the pictures that it draws have numbers that are not finite: "
                              "its weights are absurdly large, or too large for this precision; get the file again")


def pick_device(name: str) -> torch.device:
    """The torch device of that name; ``auto`` is the GPU if there is one.

    :raises ConfigError: if the device is not available.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0].split(" (")[0].split(". ")[0][:80]  # torch goes on for pages
        raise ConfigError(f"device {name!r} cannot be used here ({reason}); try --device cpu") from error
    return device
