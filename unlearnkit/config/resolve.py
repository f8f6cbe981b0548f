"""Resolve user input, presets and defaults to one complete set of settings. Imports torch with the first component.

Precedence, lowest first: the components' own defaults; plugin defaults (``unlearnkit_defaults``); the method's
defaults (its class, then presets of registrations); the user (configuration file, then ``--set`` and options).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from unlearnkit.config.settings import (
    RUN,
    SECTIONS,
    Choice,
    LossSettings,
    MetricSettings,
    RequestSettings,
    RunSettings,
    Settings,
    Uses,
)
from unlearnkit.config.tables import merge, nest
from unlearnkit.errors import ConfigError, Gather
from unlearnkit.options import build, unknown
from unlearnkit.options.names import check_distinct

if TYPE_CHECKING:
    from unlearnkit.plugins import Registry

__all__ = ["resolve"]

_LISTS = {"losses": "loss", "metrics": "metric"}
_REQUIRED = ("generator", "method")
Tables = dict[str, Any]


def resolve(
    user_settings: Mapping[str, Any], registry: Registry, uses: Uses = RUN, *, mistakes: Gather | None = None
) -> Settings:
    """Complete settings of a command from the user's settings, as nested tables or dotted names.

    ``mistakes`` collects errors instead of raising them; the settings then lack the sections in ``failed``.

    :raises ConfigError: for a setting that does not exist, has an invalid value, or that the command does not use;
        :class:`~unlearnkit.errors.Mistakes` if there are several.
    """
    gathered = Gather() if mistakes is None else mistakes
    settings = _resolve(nest(user_settings), registry, uses, gathered)
    if mistakes is None:
        gathered.raise_any()
    return settings


def _resolve(given: Tables, registry: Registry, uses: Uses, mistakes: Gather) -> Settings:
    user: Tables = {}
    for key, table in given.items():
        with mistakes:
            _check_table(key, table)
            uses.check(key, table)
            user[key] = table
    offers, presets = _below(user, registry, uses, mistakes)
    settings = merge(merge(offers, presets), user)
    resolved: Tables = {}
    with mistakes:
        top = build(RunSettings, _top(settings))
        resolved |= {field.name: getattr(top, field.name) for field in attrs.fields(RunSettings)}
    for section in uses.sections:
        with mistakes:
            resolved[section] = _choice(section, settings, user, (offers, presets), registry)
    with mistakes:
        if uses.request:
            resolved["request"] = _request(settings.get("request", {}))
    if uses.lists:
        resolved |= _lists(settings, user, registry, mistakes)
        with mistakes:
            _agree(resolved, user)
    failed = {
        section for section in uses.sections
        if section not in resolved or (section in given and section not in user)
    }
    return Settings(**{"generator": None, **resolved}, uses=uses, failed=frozenset(failed))


# ---------------------------------------------------------------- defaults below the user's settings

def _below(user: Tables, registry: Registry, uses: Uses, mistakes: Gather) -> tuple[Tables, Tables]:
    """Plugin defaults, and presets; either may name components with presets or defaults of their own, so iterate."""
    offers: Tables = {}
    presets: Tables = {}
    known = user
    for _ in range(8):
        presets = _presets(known, registry, uses.sections, mistakes)
        offers = merge(nest(registry.defaults(merge(offers, merge(presets, user)))), offers)
        before, known = known, merge(offers, merge(presets, user))
        if known == before:
            break
    for key, table in merge(offers, presets).items():
        _check_table(key, table)
    return offers, presets


def _presets(
    settings: Tables, registry: Registry, sections: tuple[str, ...], mistakes: Gather
) -> Tables:
    chosen = [(SECTIONS[s], settings[s]["name"]) for s in sections if settings.get(s, {}).get("name")]
    # The method comes last, so that its presets win.
    chosen.sort(key=lambda pair: pair[0] == "method")
    presets: Tables = {}
    for kind, name in chosen:
        with mistakes:  # an unknown name has no presets; still check the other sections
            if kind == "method":
                presets = merge(presets, _method_defaults(registry.component_class(kind, name), settings["method"]))
            presets = merge(presets, registry.get(kind, name).preset)
    return presets


def _method_defaults(method: type, table: Tables) -> Tables:
    """The losses and target selector that a method names, as its options or class attributes."""
    fields = attrs.fields_dict(method)
    target, losses = (
        table.get(name, fields[name].default) if name in fields else getattr(method, name, None)
        for name in ("target", "losses")
    )
    defaults: Tables = {"losses": {"names": list(losses)}} if losses else {}
    return defaults | ({"target": {"name": target}} if target else {})


# ---------------------------------------------------------------- one section at a time

def _choice(
    section: str, settings: Tables, user: Tables, below: tuple[Tables, Tables], registry: Registry
) -> Choice[Any] | None:
    """``below``: plugin defaults, and presets."""
    kind, table = SECTIONS[section], dict(settings.get(section, {}))
    name = table.pop("name", None)
    if name is None:
        if section in _REQUIRED:
            names = ", ".join(registry.names(kind)) or "none; see 'unlearnkit plugins'"
            raise ConfigError(f"no {section} is chosen; give --{section} NAME (available: {names})")
        if user.get(section):
            raise ConfigError(f"{section} has settings but no name; set {section}.name")
        return None
    cls = registry.component_class(kind, name)
    meant = set(user.get(section, {}))
    for layer in below:  # who names a component means its options, and whoever does not means them where they exist
        if layer.get(section, {}).get("name") == name:
            meant |= layer[section].keys()
    return Choice(name, build(cls, _applicable(cls, table, meant), section))


def _applicable(cls: type, table: Tables, meant: set[str]) -> Tables:
    """Drop defaults and presets for options that this component lacks, unless they are ``meant`` for it.

    A preset such as ``generator.noise`` applies to any generator; not every one has that option.
    """
    known = {field.alias or field.name for field in attrs.fields(cls) if field.init}
    return {key: value for key, value in table.items() if key in known or key in meant}


def _lists(settings: Tables, user: Tables, registry: Registry, mistakes: Gather) -> Tables:
    """``[losses]`` and all ``[loss.NAME]``, ``[metrics]`` and all ``[metric.NAME]``."""
    resolved: Tables = {"losses": {}, "metrics": {}}
    with mistakes:
        losses = build(LossSettings, settings.get("losses", {}), "losses")
        resolved["losses"] = _listed("losses", losses.names, settings, user, registry, mistakes)
    with mistakes:
        metrics = build(MetricSettings, settings.get("metrics", {}), "metrics")
        resolved["samples"] = metrics.samples
        resolved["metrics"] = _listed("metrics", metrics.names, settings, user, registry, mistakes)
    return resolved


def _listed(
    listing: str, listed: tuple[str, ...], settings: Tables, user: Tables, registry: Registry,
    mistakes: Gather,
) -> dict[str, Choice[Any]]:
    kind = _LISTS[listing]
    names, tables = list(listed), settings.get(kind, {})
    for name in user.get(kind, {}):
        registry.get(kind, name)
        if name in names:
            continue
        if "names" in user.get(listing, {}):
            raise ConfigError(f"{kind}.{name} has settings, but '{name}' is not in {listing}.names = {names}")
        names.append(name)  # a table of its own is enough to select the component
    if len(set(names)) < len(names):
        raise ConfigError(f"{listing}.names: got {names!r}, expected each name once")
    choices: dict[str, Choice[Any]] = {}
    for name in names:
        with mistakes:
            cls = registry.component_class(kind, name)
            choices[name] = Choice(name, build(cls, tables.get(name, {}), f"{kind}.{name}"))
    return choices


def _agree(resolved: Tables, user: Tables) -> None:
    """Keep the method's own options ``losses`` and ``target``, where it has them, consistent with the sections."""
    method: Choice[Any] | None = resolved.get("method")
    if method is None:
        return
    given, target = user.get("method", {}), resolved.get("target")
    chosen = {"losses": tuple(resolved["losses"]), "target": None if target is None else target.name}
    changes: Tables = {}
    for name, value in chosen.items():
        if name not in attrs.fields_dict(type(method.component)) or value is None:
            continue
        if name in given and _hashable(given[name]) != value:
            where = "losses.names" if name == "losses" else "target.name"
            raise ConfigError(f"method.{name} is {given[name]!r}, but {where} is {value!r}; give {where} only")
        changes[name] = value
    if changes:
        resolved["method"] = attrs.evolve(method, component=attrs.evolve(method.component, **changes))


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _request(table: Tables) -> RequestSettings:
    request = build(RequestSettings, table, "request")
    ways = [*request.ways, *(["people"] if request.people else [])]
    if len(ways) > 1:
        raise ConfigError(f"request: {' and '.join(ways)} are given, expected only one of them")
    for place, person in enumerate(request.people):
        if len(person.ways) != 1:
            given = " and ".join(person.ways) or "none"
            raise ConfigError(f"request.people[{place}] ({person.name}): got {given}, expected one of images, latent, "
                              "latent_seed")
    check_distinct([person.name for person in request.people])
    if request.people and "name" in table:
        raise ConfigError(f"request.name: got {table['name']!r}, but request.people has names; give these only")
    return request


def _top(settings: Tables) -> Tables:
    return {key: value for key, value in settings.items() if not isinstance(value, dict)}


def _check_table(key: str, value: Any) -> None:
    """Refuse an unknown section, and a value where a table is expected."""
    top = attrs.fields_dict(RunSettings)
    tables = {*SECTIONS, "request", *_LISTS, *_LISTS.values()}
    if key not in top and key not in tables:
        raise ConfigError(unknown(key, key, [*top, *sorted(tables)]))
    if key in tables and not isinstance(value, dict):
        hint = f"; write {key}.name={value}" if key in SECTIONS else ""
        raise ConfigError(f"{key}: got {value!r}, expected a table of settings{hint}")
    if key in SECTIONS and not isinstance(value.get("name", ""), str):
        raise ConfigError(f"{key}.name: got {value['name']!r}, expected the name of a {SECTIONS[key]}")
    if key in top and isinstance(value, dict):
        raise ConfigError(f"{key}: got a table, expected a single value")
    for name, inner in value.items() if key in _LISTS.values() else ():
        if not isinstance(inner, dict):
            raise ConfigError(f"{key}.{name}: got {inner!r}, expected a table of settings")
