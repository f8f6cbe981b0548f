"""From complete settings to components, ready for use, and to the targets that they choose."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import attrs
import torch
from torch import Tensor

from unlearnkit.config import SECTIONS, build
from unlearnkit.engine import freeze
from unlearnkit.errors import ConfigError
from unlearnkit.interfaces import (
    Component,
    Generator,
    IdentityEncoder,
    Inverter,
    Loss,
    Measures,
    Method,
    Metric,
    Perceptual,
    TargetSelector,
)
from unlearnkit.plugins import registry
from unlearnkit.streams import stream

__all__ = ["Parts", "Timings", "assemble", "choose_targets", "component", "fit_target", "pick_device"]


@attrs.define(eq=False)
class Parts:
    """All components of a run, prepared; ``judge`` is never the encoder that a loss uses."""

    generator: Generator
    method: Method
    target: TargetSelector | None
    identity: IdentityEncoder
    judge: IdentityEncoder
    perceptual: Perceptual
    inverter: Inverter | None
    losses: dict[str, Loss]
    metrics: dict[str, Metric]


def component(kind: str, table: Mapping[str, Any], where: str, device: torch.device, name: str | None = None) -> Any:
    """Build one component from its table of settings, and prepare it."""
    options = {key: value for key, value in table.items() if key != "name"}
    made: Component = build(registry().component_class(kind, name or table["name"]), options, where)
    made.prepare(device)
    return made


def assemble(settings: Mapping[str, Any], device: torch.device) -> Parts:
    """Build and prepare every component that complete ``settings`` name.

    :raises ConfigError: if something is missing, or the judge is the encoder that the losses use.
    """
    for section, flag in (("identity", "identity"), ("judge", "judge"), ("perceptual", "perceptual")):
        if not settings.get(section):
            raise ConfigError(f"no {section} is chosen and no plugin offers one; give --{flag} NAME")
    if settings["identity"] == settings["judge"]:
        raise ConfigError(
            f"identity and judge are both {settings['judge']['name']!r}: the encoder that a loss uses may not judge "
            "its own work; choose another with --judge NAME"
        )
    single: dict[str, Any] = {
        section: component(kind, settings[section], section, device) if settings.get(section) else None
        for section, kind in SECTIONS.items()
    }
    many = {
        kind: {
            name: component(kind, settings.get(kind, {}).get(name, {}), f"{kind}.{name}", device, name)
            for name in settings.get(listing, {}).get("names", ())
        }
        for listing, kind in (("losses", "loss"), ("metrics", "metric"))
    }
    return Parts(**single, losses=many["loss"], metrics=many["metric"])


def pick_device(name: str) -> torch.device:
    """``auto`` takes the GPU if there is one.

    :raises ConfigError: if the device does not exist here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"device {name!r} cannot be used here ({reason}); try --device cpu") from error
    return device


def choose_targets(settings: Mapping[str, Any], parts: Parts, sources: Tensor) -> Tensor:
    """What the generator shall make of each latent to erase ``(P, num_ws, w_dim)``; the latents, without a selector.

    :raises ConfigError: if the selector gives another shape, or numbers that are not finite.
    """
    if parts.target is None:
        return sources.clone()
    fit_target(settings, parts, sources)
    rng = stream(settings["seed"], "target")
    with torch.no_grad():
        targets = parts.target.select(sources, parts.generator, rng)
    if targets.shape != sources.shape or not targets.isfinite().all():
        raise ConfigError(
            f"target {settings['target']['name']!r} gave {tuple(targets.shape)}, expected finite {tuple(sources.shape)}"
        )
    return targets


def fit_target(settings: Mapping[str, Any], parts: Parts, sources: Tensor) -> None:
    """Let the target selector learn, on resume too: losses may ask it for more targets."""
    if parts.target is not None:
        freeze(parts.generator.module)
        rng = stream(settings["seed"], "target-fit")
        parts.target.fit(sources, parts.generator, Measures(parts.perceptual, parts.identity), rng)


class Timings:
    """Seconds of each phase, for the manifest."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - started, 3)
