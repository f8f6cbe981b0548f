"""Every hook of unlearnkit, and nothing else. A plugin implements any of them; see docs/plugins.md.

Registration hooks get a callback. Registering is cheap: a name, one line, and a lazy import path
``"package.module:Class"`` that is imported only when the component is used. So plugin modules import no torch.

    from unlearnkit.plugins import hookimpl

    @hookimpl
    def unlearnkit_register_losses(register):
        register("my-loss", "my_plugin.losses:MyLoss", "Keeps the left ear as it is")
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from unlearnkit.runs import Run

hookspec = pluggy.HookspecMarker("unlearnkit")

Register = Callable[..., None]
"""``register(name, path, description, preset=None)``; ``preset`` maps dotted settings to the values that this
component wants, e.g. ``{"generator.noise": "random"}``; the user's own settings win."""


@hookspec
def unlearnkit_register_generators(register: Register) -> None:
    """Register generators (``unlearnkit.interfaces.Generator``)."""


@hookspec
def unlearnkit_register_inverters(register: Register) -> None:
    """Register inverters (``unlearnkit.interfaces.Inverter``): picture -> latent."""


@hookspec
def unlearnkit_register_target_selectors(register: Register) -> None:
    """Register target selectors (``unlearnkit.interfaces.TargetSelector``): source latent -> target latent."""


@hookspec
def unlearnkit_register_losses(register: Register) -> None:
    """Register losses (``unlearnkit.interfaces.Loss``): latent pairs and a distance."""


@hookspec
def unlearnkit_register_methods(register: Register) -> None:
    """Register methods (``unlearnkit.interfaces.Method``), the values of ``--method``."""


@hookspec
def unlearnkit_register_identity_encoders(register: Register) -> None:
    """Register identity encoders (``unlearnkit.interfaces.IdentityEncoder``): image -> unit embedding."""


@hookspec
def unlearnkit_register_perceptuals(register: Register) -> None:
    """Register perceptual distances (``unlearnkit.interfaces.Perceptual``)."""


@hookspec
def unlearnkit_register_metrics(register: Register) -> None:
    """Register metrics (``unlearnkit.interfaces.Metric``): before and after -> named numbers."""


@hookspec
def unlearnkit_register_attacks(register: Register) -> None:
    """Register attacks (``unlearnkit.interfaces.Attack``): how much effort brings an erased person back."""


@hookspec
def unlearnkit_defaults(settings: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Offer values for settings that nobody has given, as dotted names (``{"generator.checkpoint": "..."}``).

    ``settings`` holds what is known so far (nested tables). The demo plugin answers here with the bundled world
    when no checkpoint is given. What the user or the method's preset says always wins.
    """


@hookspec
def unlearnkit_align_picture(picture: Image, size: int, name: str) -> Tensor | None:
    """Find the one face in a photo (PIL, EXIF included) and crop it as FFHQ does: ``(3, size, size)`` in [-1, 1].

    Asked for by ``request.align``; ``name`` is what to call the photo in messages. The first answer counts.
    """


@hookspec
def unlearnkit_run_started(run: Run) -> None:
    """Called once the run directory exists and every component is prepared, before the first step."""


@hookspec
def unlearnkit_step_finished(run: Run, step: int, terms: Mapping[str, float]) -> None:
    """Called after each step with its 0-based number and its loss terms (plain floats)."""


@hookspec
def unlearnkit_run_finished(run: Run, metrics: Mapping[str, float]) -> None:
    """Called when edit, metrics and report have been written."""
