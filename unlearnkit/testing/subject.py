"""What is checked: a component, by its registered name or by its class, and what its author says about it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, TypeAlias

import attrs
import torch

from unlearnkit import interfaces
from unlearnkit.config import build
from unlearnkit.errors import ConfigError, PluginError, UnlearnkitError
from unlearnkit.interfaces import Component, Generator
from unlearnkit.plugins import registry
from unlearnkit.plugins.registration import KINDS, Registration
from unlearnkit.testing.expect import NotApplicable
from unlearnkit.testing.world import ToyGenerator, ToyViewGenerator

__all__ = ["Description", "Subject", "as_subject", "components_of"]

QUICK = {"steps": 3}
"""Options that keep a check short, for components that have them and whose author gives no others."""

Settings: TypeAlias = Mapping[str, Any] | Callable[[], Mapping[str, Any]]


@attrs.frozen(eq=False, repr=False)
class Subject:
    """A component to check.

    * ``kind``, ``name``: as in ``unlearnkit show KIND NAME``
    * ``settings``: its options; a function is called when they are first needed, and may write a file
    * ``generator``: the generator to try it on; by default a toy of 4 x 4 pixels, with and without views
    * ``skip``: name of a check -> the reason for leaving it out, which the test report shows
    * ``needs``: what is missing on this computer ("the file X"): only registration and options are checked then
    * ``component_class``: the class, for a component that is not registered
    """

    kind: str
    name: str
    settings: Settings = attrs.field(factory=dict)
    generator: Subject | None = None
    skip: Mapping[str, str] = attrs.field(factory=dict)
    needs: str | None = None
    component_class: type | None = None

    def __repr__(self) -> str:
        return f"{self.kind} '{self.name}'"

    @property
    def cls(self) -> type:
        """The component's class.

        :raises PluginError: if it is not registered, cannot be imported, or is no component.
        """
        if self.component_class is not None:
            return self.component_class
        return registry().component_class(self.kind, self.name)

    @property
    def registration(self) -> Registration:
        """What the plugin has registered.

        :raises NotApplicable: for a component that is given by its class.
        """
        if self.component_class is not None:
            raise NotApplicable(f"{self.name} is checked as a class, not by a registered name")
        return registry().get(self.kind, self.name)

    def options(self) -> dict[str, Any]:
        """The settings as plain values."""
        return dict(_called(self.settings)) if callable(self.settings) else dict(self.settings)

    def build(self) -> Any:
        """A new component, not prepared."""
        known = {field.alias for field in attrs.fields(self.cls) if field.init}
        quick = {key: value for key, value in QUICK.items() if key in known}
        return build(self.cls, {**quick, **self.options()}, self.kind)

    def fresh(self) -> Any:
        """A new component, prepared on the CPU.

        :raises NotApplicable: if it cannot be prepared here.
        """
        if self.needs is not None:
            raise NotApplicable(f"needs {self.needs}")
        component: Component = self.build()
        try:
            with torch.random.fork_rng(devices=()):  # a network may draw first weights before it reads its own
                component.prepare(torch.device("cpu"))
        except UnlearnkitError as error:
            # One check fails for that (check_prepare_works_or_says_what_is_missing), not all of them.
            raise NotApplicable(f"it cannot be prepared: {error}") from error
        return component

    @property
    def component(self) -> Any:
        """A prepared component, shared by all checks that leave it as it is."""
        return _prepared(self)

    def world(self, views: bool = False) -> Generator:
        """A new generator to try the component on; ``views`` asks for the toy that needs views."""
        if self.generator is not None:
            made: Generator = copy.deepcopy(self.generator.component)
            return made
        return ToyViewGenerator() if views else ToyGenerator()

    def worlds(self) -> list[Generator]:
        """New generators of each kind that the component must work on: without views and with."""
        return [self.world()] if self.generator is not None else [self.world(), self.world(views=True)]


Description: TypeAlias = (
    Subject | type | Component | tuple[str, str] | tuple[str, str, Settings]
)
"""``("loss", "left-ear")``, ``("loss", "left-ear", {"weight": 2.0})``, a class, a component, or a Subject."""


def as_subject(what: Any) -> Subject:
    """Turn any :data:`Description` of a component into a :class:`Subject`.

    :raises PluginError: for anything else, and for a kind that does not exist.
    """
    if isinstance(what, Subject):
        return what
    if isinstance(what, tuple) and len(what) in (2, 3) and all(isinstance(part, str) for part in what[:2]):
        if what[0] not in KINDS:
            raise PluginError(f"there is no kind {what[0]!r}; expected one of {', '.join(KINDS)}")
        return Subject(*what)
    if isinstance(what, type) and issubclass(what, Component):
        return Subject(_kind(what), what.__name__, component_class=what)
    if isinstance(what, Component):
        fields: Any = attrs.fields(type(what))  # type: ignore[arg-type]  # every component is an attrs class
        given = {field.alias: getattr(what, field.name) for field in fields if field.init}
        return Subject(_kind(type(what)), type(what).__name__, given, component_class=type(what))
    raise PluginError(
        f"{what!r} names no component; expected (kind, name), (kind, name, settings), a class, a component or a Subject"
    )


def components_of(
    *plugins: str,
    settings: Mapping[tuple[str, str], Settings] | None = None,
    generator: Mapping[tuple[str, str], Description] | None = None,
    skip: Mapping[tuple[str, str], Mapping[str, str]] | None = None,
    needs: Mapping[tuple[str, str], str] | None = None,
) -> list[Subject]:
    """List every component that the named plugins register, so that none is forgotten; without names, of all plugins::

        components_of(
            "my-plugin",
            settings={("metric", "sharpness"): {"samples": 4}},
            generator={("inverter", "my-inverter"): ("generator", "stylegan2")},
            skip={("loss", "left-ear"): {"check_pairs_are_repeatable": "the reason"}},
            needs={("identity", "my-encoder"): "encoder.pt, 90 MB"},
        )

    The mappings say by ``(kind, name)`` what the fields of :class:`Subject` with the same names mean.

    :raises PluginError: for a plugin that is not installed, or that could not be loaded.
    :raises ConfigError: if a mapping names a component that the plugins do not register.
    """
    found = registry().plugins
    for name in plugins:
        plugin = next((plugin for plugin in found if plugin.name == name), None)
        if plugin is None or plugin.error is not None:
            reason = plugin.error if plugin else "not installed; run 'pip install -e .' in its folder"
            raise PluginError(f"plugin '{name}': {reason}")
    entries = [entry for p in found if not plugins or p.name in plugins for entry in p.registrations]
    keys = [(entry.kind, entry.name) for entry in entries]
    unknown = {key for table in (settings, generator, skip, needs) for key in table or ()} - set(keys)
    if unknown:
        names = ", ".join(f"{kind} '{name}'" for kind, name in sorted(unknown))
        raise ConfigError(f"components_of: got {names}, which {' or '.join(plugins) or 'no plugin'} does not register")
    tried = {key: as_subject(value) for key, value in (generator or {}).items()}
    return [
        Subject(*key, settings=(settings or {}).get(key, {}), generator=tried.get(key),
                skip=(skip or {}).get(key, {}), needs=(needs or {}).get(key))
        for key in keys
    ]


def _kind(cls: type) -> str:
    for kind, (_, interface) in KINDS.items():
        if issubclass(cls, getattr(interfaces, interface)):
            return kind
    raise PluginError(f"{cls.__name__} is a subclass of no interface: {', '.join(word for _, word in KINDS.values())}")


@lru_cache(maxsize=4)  # a component and the generator it is tried on; more would only fill the memory
def _prepared(subject: Subject) -> Any:
    return subject.fresh()


@lru_cache(maxsize=64)
def _called(settings: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
    return settings()
