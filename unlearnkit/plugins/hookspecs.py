"""The hook specifications of unlearnkit. A plugin implements any of them; see docs/plugins.md.

Registration hooks receive a callback. Registering is cheap: a name, a one-line description, and an import path
``"package.module:Class"`` that is imported only when the component is used, so plugin modules import no torch.

    from unlearnkit.plugins import hookimpl

    @hookimpl
    def unlearnkit_register_losses(register):
        register("my-loss", "my_plugin.losses:MyLoss", "Penalises changes of the left ear")
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pluggy

from unlearnkit.weights import WeightFile

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from unlearnkit.runs import Run

hookspec = pluggy.HookspecMarker("unlearnkit")

Register = Callable[..., None]
"""``register(name, path, description, preset=None)``; ``preset`` maps dotted settings to this component's preferred
values, e.g. ``{"generator.noise": "random"}``; the user's own settings win."""

RegisterWeights = Callable[[WeightFile], None]
"""``register(WeightFile(name=..., ...))``; see docs/weights.md."""


@hookspec
def unlearnkit_register_generators(register: Register) -> None:
    """Register generators (``unlearnkit.interfaces.Generator``)."""


@hookspec
def unlearnkit_register_inverters(register: Register) -> None:
    """Register inverters (``unlearnkit.interfaces.Inverter``): picture -> latent."""


@hookspec
def unlearnkit_register_target_selectors(register: Register) -> None:
    """Register target selectors (``unlearnkit.interfaces.TargetSelector``): latent to erase -> target latent."""


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
    """Register attacks (``unlearnkit.interfaces.Attack``): how much effort recovers an erased person."""


@hookspec
def unlearnkit_register_launchers(register: Register) -> None:
    """Register launchers (``unlearnkit.interfaces.Launcher``): where the jobs of a sweep are done."""


@hookspec
def unlearnkit_register_weights(register: RegisterWeights) -> None:
    """Register weight files that components read and others publish: ``register(WeightFile(name=..., ...))``.

    ``unlearnkit fetch NAME`` gets them, ``unlearnkit doctor`` and ``unlearnkit show weights`` list them. A component
    looks for its own with ``unlearnkit.weights.find_file``.
    """


@hookspec
def unlearnkit_defaults(settings: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Provide defaults for settings that are not given, by dotted name (``{"generator.checkpoint": "..."}``).

    ``settings`` holds the settings known so far (nested tables). The demo plugin provides the bundled world here when
    no checkpoint is given. The user's settings and the method's preset always win.
    """


@hookspec
def unlearnkit_align_picture(
    picture: Image, size: int, name: str, face: int | str | None, required: bool
) -> Tensor | None:
    """Detect the face in a photo (PIL, with EXIF) and crop it as FFHQ does: ``(3, size, size)`` in [-1, 1].

    Called for ``--align``; ``name`` is the photo's path. ``face`` says which of several faces is meant: None (then
    several are an error), ``"largest"``, or a number from the left. ``required`` False: return None for a picture that
    is aligned already or shows no face. The first result that is not None is used.
    """


@hookspec
def unlearnkit_find_faces(images: Tensor, domain: str) -> Tensor | None:
    """Confidence in [0, 1] of the likeliest face in each image ``(N, 3, H, W)`` in [-1, 1]: ``(N,)``, 0 for none.

    ``domain`` says whose faces they should show; return None for one that the detector was not made for. From 0.9 on a
    picture counts as a face. The first result that is not None is used.
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
