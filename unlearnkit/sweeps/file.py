"""What a sweep's file says, as records."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from unlearnkit.config import PersonSettings, build, nest, option, read_toml
from unlearnkit.errors import ConfigError, Gather
from unlearnkit.interfaces import Launcher
from unlearnkit.options.fields import unknown
from unlearnkit.options.names import check_distinct
from unlearnkit.plugins import registry

__all__ = ["Grid", "Sweep", "read_sweep"]

_TABLES = ("common", "settings", "launcher")
_LAUNCHER = "local"


def _once(_: object, field: attrs.Attribute[Any], values: tuple[object, ...]) -> None:
    if len(set(values)) < len(values):
        raise ConfigError(f"{field.name}: got {list(values)!r}, expected each once")


@attrs.frozen
class Grid:
    """What is combined, each with each."""

    methods: tuple[str, ...] = option(help="names of methods", validator=_once)
    generators: tuple[str, ...] = option(help="names of generators", validator=_once)
    seeds: tuple[int, ...] = option((0,), ge=0, lt=2**63, help="seeds of runs", validator=_once)
    people: tuple[PersonSettings, ...] = option((), help="people, each erased alone; by default whom the settings say")

    def __attrs_post_init__(self) -> None:
        for name in ("methods", "generators", "seeds"):
            if not getattr(self, name):
                raise ConfigError(f"{name}: got an empty list, expected at least one")
        check_distinct([person.name for person in self.people])


@attrs.frozen
class Sweep:
    """A sweep: the grid, settings of all jobs, alternatives among settings (nested tables), and where it is done."""

    grid: Grid
    common: Mapping[str, Any]
    settings: tuple[Mapping[str, Any], ...]
    launcher_name: str
    launcher: Launcher


def read_sweep(path: Path, launcher: str | None = None) -> Sweep:
    """Read and check a sweep's file. ``launcher`` replaces the one that it names, and keeps options that it has.

    :raises ConfigError: for what is not there, or wrong; :class:`~unlearnkit.errors.Mistakes` if there are several.
    """
    tables, mistakes = read_toml(path), Gather()
    fields = [field.name for field in attrs.fields(Grid)]
    for key in tables:
        if key not in (*fields, *_TABLES):
            mistakes.add(unknown(key, key, [*fields, *_TABLES]))
    with mistakes:
        grid = build(Grid, {key: value for key, value in tables.items() if key in fields})
    with mistakes:
        common = _settings(tables.get("common", {}), "common")
    with mistakes:
        alternatives = tables.get("settings", [{}])
        if not isinstance(alternatives, list) or not alternatives:
            raise ConfigError(f"settings: got {alternatives!r}, expected tables, each headed by [[settings]]; "
                              "what all jobs have in common belongs into [common]")
        settings = tuple(_settings(table, f"settings[{place}]") for place, table in enumerate(alternatives))
    with mistakes:
        name, made = _launcher(tables.get("launcher", {}), launcher)
    mistakes.raise_any()
    return Sweep(grid, common, settings, name, made)


def _settings(table: object, where: str) -> Mapping[str, Any]:
    """Settings as nested tables; what the grid decides is refused, and the rest is checked where jobs are made."""
    if not isinstance(table, dict):
        raise ConfigError(f"{where}: got {table!r}, expected a table of settings")
    nested = nest(table)
    for section, field, instead in (("method", "name", "methods"), ("generator", "name", "generators")):
        if isinstance(nested.get(section), dict) and field in nested[section]:
            raise ConfigError(f"{where}.{section}.{field}: the sweep decides that; name it in {instead}")
    if "seed" in nested:
        raise ConfigError(f"{where}.seed: the sweep decides that; give seeds")
    return nested


def _launcher(table: object, replaced: str | None) -> tuple[str, Launcher]:
    if not isinstance(table, dict):
        raise ConfigError(f"launcher: got {table!r}, expected a table; write [launcher] and name = {table!r} below it")
    options = dict(table)
    named = options.pop("name", _LAUNCHER)
    if not isinstance(named, str):
        raise ConfigError(f"launcher.name: got {named!r}, expected the name of a launcher")
    name = named if replaced is None else replaced
    cls: type[Launcher] = registry().component_class("launcher", name)
    if name != named:
        known = {field.alias for field in attrs.fields(cls)}
        options = {key: value for key, value in options.items() if key in known}
    return name, build(cls, options, "launcher")
