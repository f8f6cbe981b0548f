"""What is checked: a component by its registered name, or a class, with the settings that its author gives."""

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
"""A loop or a search takes so many steps in a check, where it has such an option and the settings say nothing."""

Settings: TypeAlias = Mapping[str, Any] | Callable[[], Mapping[str, Any]]


@attrs.frozen(eq=False, repr=False)
class Subject:
    """A component to check.

    * ``kind``, ``name``: as in ``unlearnkit show KIND NAME``
    * ``settings``: its options; a function is called when they are first needed (it may write a file)
    * ``generator``: the generator it is tried on; without one, a toy of 4 x 4 pixels
    * ``skip``: name of a check -> the reason why it is left out
    * ``needs``: what is missing here ("the file X"): what needs a prepared component is skipped with this reason
    * ``component_class``: in place of a registration
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
        """The component's class; :class:`PluginError` if it is not registered, not importable or no component."""
        if self.component_class is not None:
            return self.component_class
        return registry().component_class(self.kind, self.name)

    @property
    def registration(self) -> Registration:
        """What the plugin handed to ``register``."""
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
        """A new component on the CPU, ready for use; :class:`NotApplicable` if it cannot be prepared here."""
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
        """A new generator to try the component on; ``views`` asks for a toy that has cameras."""
        if self.generator is not None:
            made: Generator = copy.deepcopy(self.generator.component)
            return made
        return ToyViewGenerator() if views else ToyGenerator()

    def worlds(self) -> list[Generator]:
        """Each sort of generator that the component must cope with: with and without views."""
        return [self.world()] if self.generator is not None else [self.world(), self.world(views=True)]


Description: TypeAlias = (
    Subject | type | Component | tuple[str, str] | tuple[str, str, Settings]
)
"""``("loss", "left-ear")``, ``("loss", "left-ear", {"weight": 2.0})``, a class, a component, or a Subject."""


def as_subject(what: Any) -> Subject:
    """Understand each way to name a component.

    :raises PluginError: for anything else.
    """
    if isinstance(what, Subject):
        return what
    if isinstance(what, tuple) and len(what) in (2, 3) and all(isinstance(part, str) for part in what[:2]):
        if what[0] not in KINDS:
            raise PluginError(f"there is no kind {what[0]!r}; kinds: {', '.join(KINDS)}")
        return Subject(*what)
    if isinstance(what, type) and issubclass(what, Component):
        return Subject(_kind(what), what.__name__, component_class=what)
    if isinstance(what, Component):
        fields: Any = attrs.fields(type(what))  # type: ignore[arg-type]  # every component is an attrs class
        given = {field.alias: getattr(what, field.name) for field in fields if field.init}
        return Subject(_kind(type(what)), type(what).__name__, given, component_class=type(what))
    raise PluginError(f"{what!r} names no component; give (kind, name), (kind, name, settings), a class or a Subject")


def components_of(
    *plugins: str,
    settings: Mapping[tuple[str, str], Settings] | None = None,
    generator: Mapping[tuple[str, str], Description] | None = None,
    skip: Mapping[tuple[str, str], Mapping[str, str]] | None = None,
    needs: Mapping[tuple[str, str], str] | None = None,
) -> list[Subject]:
    """Every component that the named plugins register (all plugins without a name), so that none is forgotten.

    The mappings give by ``(kind, name)`` what :class:`Subject` has under the same word.

    :raises PluginError: for a plugin that is not installed or broken.
    :raises ConfigError: if a mapping names a component that is not there.
    """
    found = registry().plugins
    for name in plugins:
        plugin = next((plugin for plugin in found if plugin.name == name), None)
        if plugin is None or plugin.error is not None:
            raise PluginError(f"plugin '{name}': {plugin.error if plugin else 'not installed (pip install -e .)'}")
    entries = [entry for p in found if not plugins or p.name in plugins for entry in p.registrations]
    keys = [(entry.kind, entry.name) for entry in entries]
    unknown = {key for table in (settings, generator, skip, needs) for key in table or ()} - set(keys)
    if unknown:
        names = ", ".join(f"{kind} '{name}'" for kind, name in sorted(unknown))
        raise ConfigError(f"settings are given for {names}, not registered by {' or '.join(plugins) or 'any plugin'}")
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
