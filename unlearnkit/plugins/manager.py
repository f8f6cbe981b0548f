"""Discovers plugins, holds their registrations, and calls their hooks. Imports no torch.

A plugin is a module named by an entry point of the group ``unlearnkit``. One that fails to load is listed with the
reason and never stops the program:

* ``UNLEARNKIT_DISABLE_PLUGINS=a,b`` disables plugins by name
* ``UNLEARNKIT_STRICT_PLUGINS=1`` turns every failure into a :class:`PluginError` (for tests of plugins)
"""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

import attrs
import pluggy

from unlearnkit.errors import PluginError, UnlearnkitError, nearest, one_line
from unlearnkit.plugins import hookspecs
from unlearnkit.plugins.registration import (
    KINDS,
    Plugin,
    Registration,
    check_kind,
    claim_refused,
    duplicate,
    import_component,
    make_registration,
    quiet,
)
from unlearnkit.weights import WeightFile

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from unlearnkit.runs import Run

__all__ = ["GROUP", "Registry", "hookimpl", "registry", "reset"]

GROUP = "unlearnkit"
"""The entry-point group, and pluggy's project name."""

OWN_DISTRIBUTION = "unlearnkit"

Preset = Mapping[str, Any] | None

hookimpl = pluggy.HookimplMarker(GROUP)
"""Marks a function of a plugin as a hook."""

class Registry:
    """All plugins, their registrations, and typed methods for the hooks that a run calls.

    ``entry_points`` replaces the installed ones, for tests.
    """

    def __init__(self, entry_points: Iterable[importlib.metadata.EntryPoint] | None = None) -> None:
        self._manager = pluggy.PluginManager(GROUP)
        self._manager.add_hookspecs(hookspecs)
        self._components: dict[tuple[str, str], list[Registration]] = {}
        self._refused: list[Registration] = []
        self._plugins: list[Plugin] = []
        found = importlib.metadata.entry_points(group=GROUP) if entry_points is None else entry_points
        disabled = _names(os.environ.get("UNLEARNKIT_DISABLE_PLUGINS", ""))
        for entry_point in found:
            self._add(entry_point, disabled)
        if os.environ.get("UNLEARNKIT_STRICT_PLUGINS", "") not in ("", "0"):
            self._be_strict()

    # ------------------------------------------------------------ registrations

    @property
    def plugins(self) -> tuple[Plugin, ...]:
        """All plugins found, including broken and disabled ones with the reason."""
        return tuple(self._plugins)

    def names(self, kind: str) -> tuple[str, ...]:
        """Names of ``kind`` that can be used, sorted: not those that two plugins claim."""
        check_kind(kind)
        return tuple(sorted(name for (k, name), owners in self._components.items() if k == kind and len(owners) == 1))

    def get(self, kind: str, name: str) -> Registration:
        """The registration of one component; :class:`PluginError` if it is unknown or claimed twice."""
        check_kind(kind)
        owners = self._components.get((kind, name), [])
        if len(owners) > 1:
            raise PluginError(duplicate(owners))
        if not owners:
            raise PluginError(self._unknown(kind, name))
        return owners[0]

    def duplicates(self) -> tuple[str, ...]:
        """One message for each name registered by several plugins.

        A name of unlearnkit itself stays its own; another that several plugins claim cannot be used.
        """
        unusable = [duplicate(owners) for owners in self._components.values() if len(owners) > 1]
        refused = [claim_refused(claim, self.get(claim.kind, claim.name)) for claim in self._refused]
        weights = [_weights_twice(name, owners) for name, owners in self._weights().items() if owners[1:]]
        return (*unusable, *refused, *weights)

    def weights(self) -> dict[str, WeightFile]:
        """The registered weight files by name, sorted; of a name registered twice, unlearnkit's own or the first."""
        return {name: owners[0][1] for name, owners in sorted(self._weights().items())}

    def weight_file(self, name: str) -> WeightFile:
        """The registered weight file of that name; :class:`PluginError` if it is unknown or registered twice."""
        owners = self._weights().get(name, [])
        if not owners:
            known = self.weights()
            names = [*sorted({group for file in known.values() for group in file.groups}), *known]
            raise PluginError(f"there is no weight file '{name}'.{nearest(name, names)} Available: {', '.join(names)}.")
        if owners[1:] and owners[0][0].distribution != OWN_DISTRIBUTION:
            raise PluginError(_weights_twice(name, owners))
        return owners[0][1]

    def weight_files(self, name: str) -> tuple[WeightFile, ...]:
        """The registered weight file of that name, or all files of the group of that name.

        :raises PluginError: if there is neither, or the file is registered twice.
        """
        known = self.weights()
        groups = {group for file in known.values() for group in file.groups}
        if name in known or name not in groups:
            return (self.weight_file(name),)
        return tuple(self.weight_file(other) for other, file in known.items() if name in file.groups)

    def _weights(self) -> dict[str, list[tuple[Plugin, WeightFile]]]:
        """Who registers which weight file, by name; unlearnkit itself comes first."""
        found: dict[str, list[tuple[Plugin, WeightFile]]] = {}
        for plugin in sorted(self._plugins, key=lambda plugin: plugin.distribution != OWN_DISTRIBUTION):
            for file in plugin.weights:
                found.setdefault(file.name, []).append((plugin, file))
        return found

    def component_class(self, kind: str, name: str) -> type:
        """Import the class of a component and check that it implements its interface.

        :raises PluginError: if it is unknown, cannot be imported, or does not.
        """
        registration = self.get(kind, name)
        cls = import_component(registration)
        interface = getattr(importlib.import_module("unlearnkit.interfaces"), KINDS[kind][1])
        if not (isinstance(cls, type) and issubclass(cls, interface)):
            problem = f"is no subclass of unlearnkit.interfaces.{interface.__name__}"
        elif "__attrs_attrs__" not in vars(cls):
            problem = "is no attrs class; decorate it with @attrs.define, since its fields are its options"
        elif inspect.isabstract(cls):
            problem = f"does not implement {', '.join(sorted(vars(cls)['__abstractmethods__']))}"
        else:
            return cls
        raise PluginError(f"{kind} '{name}' of {registration.owner}: {registration.path} {problem}")

    # ------------------------------------------------------------ hooks of a run

    def defaults(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The plugins' defaults for settings that are not given (dotted names); the first plugin wins."""
        offers: dict[str, Any] = {}
        for offer in self._call("unlearnkit_defaults", settings=settings):
            for key, value in offer.items():
                offers.setdefault(key, value)
        return offers

    def align_picture(
        self, picture: Image, size: int, name: str, face: int | str | None = None, required: bool = True
    ) -> Tensor | None:
        """The face in a photo, cropped as FFHQ does: ``(3, size, size)`` in [-1, 1].

        None, unless ``required``, for a picture that is aligned already, shows no face, or that no plugin can align.

        :raises PluginError: if it is required and no plugin can align.
        """
        answers = self._call(
            "unlearnkit_align_picture", picture=picture, size=size, name=name, face=face, required=required)
        if not answers and required:
            raise PluginError(f"{name}: no plugin aligns pictures; crop it as FFHQ does and give --align no")
        return answers[0] if answers else None

    def find_faces(self, images: Tensor, domain: str) -> Tensor | None:
        """Confidence of the likeliest face in each image ``(N, 3, H, W)``: ``(N,)`` in [0, 1].

        None if no plugin detects faces of this domain.
        """
        answers = self._call("unlearnkit_find_faces", images=images, domain=domain)
        return answers[0] if answers else None

    def run_started(self, run: Run) -> None:
        """Notify plugins that a run starts."""
        self._call("unlearnkit_run_started", run=run)

    def step_finished(self, run: Run, step: int, terms: Mapping[str, float]) -> None:
        """Notify plugins that a step is done."""
        self._call("unlearnkit_step_finished", run=run, step=step, terms=terms)

    def run_finished(self, run: Run, metrics: Mapping[str, float]) -> None:
        """Notify plugins that a run is done."""
        self._call("unlearnkit_run_finished", run=run, metrics=metrics)

    def _call(self, hook: str, **arguments: Any) -> list[Any]:
        """Call each implementation directly, so that a failure can name its plugin."""
        results = []
        for impl in reversed(getattr(self._manager.hook, hook).get_hookimpls()):
            try:
                with quiet():
                    result = impl.function(*[arguments[name] for name in impl.argnames])
            except (UnlearnkitError, KeyboardInterrupt):
                raise
            except BaseException as error:  # as in _add
                owner = self._loaded(impl.plugin_name).owner
                raise PluginError(f"{owner} failed in {hook}: {one_line(error)}") from error
            if result is not None:
                results.append(result)
        return results

    # ------------------------------------------------------------ loading

    def _add(self, entry_point: importlib.metadata.EntryPoint, disabled: frozenset[str]) -> None:
        plugin = Plugin(entry_point.name, *_distribution(entry_point))
        if plugin.name in disabled:
            reason = "left out by UNLEARNKIT_DISABLE_PLUGINS"
            self._plugins.append(attrs.evolve(plugin, error=reason, disabled=True))
            return
        try:
            with quiet():
                plugin = self._load(entry_point, plugin)
        except KeyboardInterrupt:
            raise
        # What is no Exception too: sys.exit(), pytest's skips and panics of extensions must not end the program.
        except BaseException as error:
            reason = str(error) if isinstance(error, PluginError) else one_line(error)
            self._plugins.append(attrs.evolve(plugin, error=reason))
            return
        self._plugins.append(plugin)
        for registration in plugin.registrations:
            self._claim(registration)

    def _claim(self, registration: Registration) -> None:
        """Give a name to who asks for it; the names of unlearnkit's own components stay theirs, in whatever order."""
        owners = self._components.setdefault((registration.kind, registration.name), [])
        own = [owner for owner in (*owners, registration) if owner.distribution == OWN_DISTRIBUTION]
        if own:
            self._refused += [claim for claim in (*owners, registration) if claim not in own]
            owners[:] = own
        else:
            owners.append(registration)

    def _load(self, entry_point: importlib.metadata.EntryPoint, plugin: Plugin) -> Plugin:
        if self._manager.has_plugin(plugin.name):
            owner = self._loaded(plugin.name).distribution
            raise PluginError(f"the plugin name '{plugin.name}' is taken by {owner}")
        module = entry_point.load()
        if hasattr(module, "__path__") and getattr(module, "__file__", None) is None:
            # A folder without __init__.py imports as a namespace package, which has no hooks.
            raise PluginError(f"{entry_point.value} has no __init__.py; reinstall {plugin.distribution}")
        if self._manager.is_registered(module):
            raise PluginError(f"its module {entry_point.value} is already loaded by another plugin")
        try:
            self._manager.register(module, plugin.name)
            hooks = self._checked_hooks(module)
            registrations, weights = self._registrations(hooks, plugin), _weight_files(hooks)
            return attrs.evolve(plugin, registrations=registrations, weights=weights)
        except BaseException:
            if self._manager.is_registered(module):
                self._manager.unregister(module)
            raise

    def _checked_hooks(self, module: ModuleType) -> dict[str, pluggy.HookImpl]:
        """The hooks of a module by name; refuses mistakes that pluggy would silently ignore."""
        known = [name for name in vars(hookspecs) if name.startswith(f"{GROUP}_")]
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if name in known and not hasattr(function, f"{GROUP}_impl"):
                raise PluginError(f"'{name}' lacks the marker @hookimpl")
        hooks = {}
        for caller in self._manager.get_hookcallers(module) or ():
            if caller.name not in known:
                raise PluginError(f"'{caller.name}' is no hook of unlearnkit.{nearest(caller.name, known)}")
            hooks[caller.name] = next(impl for impl in caller.get_hookimpls() if impl.plugin is module)
            if hooks[caller.name].hookwrapper or hooks[caller.name].wrapper:
                raise PluginError(f"'{caller.name}' is a hook wrapper; unlearnkit has none")
        return hooks

    def _registrations(self, hooks: dict[str, pluggy.HookImpl], plugin: Plugin) -> tuple[Registration, ...]:
        registrations: list[Registration] = []

        def registrar(kind: str) -> hookspecs.Register:
            def register(name: str, path: str, description: str, preset: Preset = None) -> None:
                registrations.append(make_registration(kind, name, path, description, preset, plugin))

            return register

        for kind, (hook, _) in KINDS.items():
            if hook in hooks:
                hooks[hook].function(registrar(kind))
        return tuple(registrations)

    def _loaded(self, name: str) -> Plugin:
        return next(p for p in self._plugins if p.name == name and p.error is None)

    def _be_strict(self) -> None:
        problems = [f"{p.owner}: {p.error}" for p in self._plugins if p.error and not p.disabled]
        problems += self.duplicates()
        if problems:
            raise PluginError("; ".join(problems))

    def _unknown(self, kind: str, name: str) -> str:
        names = self.names(kind)
        available = f"Available: {', '.join(names)}." if names else f"No plugin offers a {kind}."
        broken = [p.name for p in self._plugins if p.error]
        hint = f" Not loaded: {', '.join(broken)} (see 'unlearnkit plugins')." if broken else ""
        return f"there is no {kind} '{name}'.{nearest(name, names)} {available}{hint}"


def _weight_files(hooks: Mapping[str, pluggy.HookImpl]) -> tuple[WeightFile, ...]:
    """What a plugin registers with ``unlearnkit_register_weights``."""
    files: list[WeightFile] = []
    if "unlearnkit_register_weights" in hooks:
        hooks["unlearnkit_register_weights"].function(files.append)
    if not all(isinstance(file, WeightFile) for file in files):
        raise PluginError("unlearnkit_register_weights: register takes an unlearnkit.weights.WeightFile")
    return tuple(files)


def _weights_twice(name: str, owners: Sequence[tuple[Plugin, WeightFile]]) -> str:
    claims = " and ".join(plugin.owner for plugin, _ in owners)
    return f"weight file '{name}' is registered twice, by {claims}; leave one out with UNLEARNKIT_DISABLE_PLUGINS=NAME"


def _distribution(entry_point: importlib.metadata.EntryPoint) -> tuple[str, str]:
    """Name and version of the distribution that an entry point belongs to; its metadata may be damaged."""
    try:
        if entry_point.dist is not None:
            return str(entry_point.dist.name), str(entry_point.dist.version)
    except Exception:
        return "damaged distribution", ""
    return "unknown distribution", ""


def _names(text: str) -> frozenset[str]:
    return frozenset(part.strip() for part in text.split(",") if part.strip())


@cache
def registry() -> Registry:
    """The registry of installed plugins; built on first use, not when this module is imported."""
    return Registry()


def reset() -> None:
    """Clear the cached registry (for tests)."""
    registry.cache_clear()
