"""Plugin registrations: kinds of components, records, and their error messages. Imports no torch."""

from __future__ import annotations

import contextlib
import importlib
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from unlearnkit.errors import PluginError, nearest, one_line
from unlearnkit.weights import WeightFile

__all__ = ["KINDS", "Plugin", "Registration"]

KINDS: dict[str, tuple[str, str]] = {
    "generator": ("unlearnkit_register_generators", "Generator"),
    "inverter": ("unlearnkit_register_inverters", "Inverter"),
    "target": ("unlearnkit_register_target_selectors", "TargetSelector"),
    "loss": ("unlearnkit_register_losses", "Loss"),
    "method": ("unlearnkit_register_methods", "Method"),
    "identity": ("unlearnkit_register_identity_encoders", "IdentityEncoder"),
    "perceptual": ("unlearnkit_register_perceptuals", "Perceptual"),
    "metric": ("unlearnkit_register_metrics", "Metric"),
    "attack": ("unlearnkit_register_attacks", "Attack"),
    "launcher": ("unlearnkit_register_launchers", "Launcher"),
}
"""Kind of component -> the hook that registers it, and its class in :mod:`unlearnkit.interfaces`."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_PATH = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


@attrs.frozen
class Registration:
    """One component that a plugin offers; ``path`` (``"package.module:Class"``) is imported on first use."""

    kind: str
    name: str
    path: str
    description: str
    preset: Mapping[str, Any]
    plugin: str
    distribution: str
    version: str

    @property
    def owner(self) -> str:
        """The plugin, for messages: ``plugin 'guide' (unlearnkit 0.1.0)``."""
        return f"plugin '{self.plugin}' ({self.distribution} {self.version})"


@attrs.frozen
class Plugin:
    """A plugin that was found; ``error`` is the one-line reason why it is not used, or None."""

    name: str
    distribution: str
    version: str
    registrations: tuple[Registration, ...] = ()
    weights: tuple[WeightFile, ...] = ()
    error: str | None = None
    disabled: bool = False

    @property
    def owner(self) -> str:
        """The plugin with its distribution and version, for messages."""
        return f"plugin '{self.name}' ({self.distribution} {self.version})"


def check_kind(kind: str) -> None:
    """Refuse an unknown kind."""
    if kind not in KINDS:
        raise PluginError(f"there is no kind '{kind}'.{nearest(kind, KINDS)} Kinds: {', '.join(KINDS)}.")


def duplicate(owners: list[Registration]) -> str:
    """The error message for a name registered more than once."""
    claims = " and ".join(owner.owner for owner in owners)
    return (
        f"{owners[0].kind} '{owners[0].name}' is registered twice, by {claims}; "
        "leave one out with UNLEARNKIT_DISABLE_PLUGINS=NAME"
    )


def claim_refused(claim: Registration, owner: Registration) -> str:
    """The message for a name that belongs to unlearnkit and was claimed by another plugin."""
    return (
        f"{claim.kind} '{claim.name}' of {claim.owner} is not used: the name belongs to {owner.owner}; "
        "its author has to choose another"
    )


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Send what a plugin prints meanwhile to standard error: standard output belongs to the command."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


def make_registration(
    kind: str, name: str, path: str, description: str, preset: Mapping[str, Any] | None, plugin: Plugin
) -> Registration:
    """Validate the arguments of ``register``."""
    if not (isinstance(name, str) and _NAME.fullmatch(name)):
        raise PluginError(f"the {kind} name {name!r} is not made of letters, digits, - and _")
    if not (isinstance(path, str) and _PATH.fullmatch(path)):
        raise PluginError(f"{kind} '{name}': {path!r} is no import path 'package.module:Class'")
    line = " ".join(description.split())
    owner = (plugin.name, plugin.distribution, plugin.version)
    return Registration(kind, name, path, line, dict(preset or {}), *owner)


def import_component(registration: Registration) -> Any:
    """Import the class of a registration; a failure names the plugin and its distribution."""
    module, _, attribute = registration.path.partition(":")
    try:
        with quiet():
            return getattr(importlib.import_module(module), attribute)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # sys.exit() and panics of extensions too
        what = f"{registration.kind} '{registration.name}' of {registration.owner}"
        raise PluginError(f"{what} cannot be imported: {one_line(error)}") from error
