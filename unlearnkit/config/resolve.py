"""From everything that has been said to one complete set of settings. Torch comes with the first component.

Precedence, lowest first: the components' own defaults; what plugins offer (``unlearnkit_defaults``); what the
method asks for (its class, then presets of registrations); the user (configuration file, then ``--set`` and
options).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from unlearnkit.config.tables import merge, nest
from unlearnkit.errors import ConfigError
from unlearnkit.options.fields import build, complete, option, unknown
from unlearnkit.people.names import check_distinct, check_name

if TYPE_CHECKING:
    from unlearnkit.plugins import Registry

__all__ = ["SECTIONS", "WAYS", "MetricSettings", "PersonSettings", "RequestSettings", "RunSettings", "resolve"]

SECTIONS = {
    "generator": "generator",
    "method": "method",
    "target": "target",
    "inverter": "inverter",
    "identity": "identity",
    "judge": "identity",
    "perceptual": "perceptual",
}
"""Table of the settings -> the kind of component it chooses by ``name``."""

WAYS = ("images", "latent", "latent_seed")
"""The three ways to say who somebody is."""

_LISTS = {"losses": "loss", "metrics": "metric"}
_REQUIRED = ("generator", "method")
Tables = dict[str, Any]


@attrs.frozen
class RunSettings:
    """The settings outside of all tables."""

    seed: int = option(0, ge=0, lt=2**63, help="start of every random number")
    device: str = option("auto", help="where to compute: auto, cpu, mps, cuda or cuda:N")
    save_every: float = option(20.0, ge=0.0, unit="seconds", help="time between checkpoints; 0 saves after each step")
    base: Path | None = option(None, help="earlier edit to start from: a run directory or an edit.safetensors")
    threads: int | None = option(None, ge=1, le=4096, help="CPU threads; by default as many as a container's quota "
                                 "allows, at most torch's choice")
    memory: str = option("keep", choices=("keep", "system"),
                         help="freed memory stays with the process (Linux with glibc), or goes back to the system")
    precision: str | None = option(
        None, choices=("float32", "tf32", "bf16"),
        help="of products on CUDA; bf16 is tf32 with the losses' networks in bfloat16; by default torch's choice")
    cuda_graph: bool = option(False, help="on CUDA, record a step once and replay it (experimental)")


@attrs.frozen
class PersonSettings:
    """``[[request.people]]``: one person to erase, in one of three ways."""

    name: str = option("person", validator=check_name, help="what to call the person in reports")
    images: tuple[Path, ...] = option((), help="pictures of the person; the first are erased, others judge")
    latent: Path | None = option(None, help="file that holds the person's latent")
    latent_seed: int | None = option(None, ge=0, lt=2**63, help="erase the person drawn from this seed")


@attrs.frozen
class RequestSettings(PersonSettings):
    """``[request]``: whom to erase, one person here or several as ``people``, and who must stay as they are."""

    people: tuple[PersonSettings, ...] = option((), help="several people to erase together")
    erase: int = option(1, ge=1, unit="pictures", help="how many pictures of each person are erased, the first ones")
    bystanders: tuple[Path, ...] = option((), help="pictures of people who must stay as they are")
    random_bystanders: int = option(8, ge=0, le=1000, help="how many drawn people join the bystanders")
    align: bool = option(False, help="find the face in each picture and crop it as FFHQ does")


@attrs.frozen
class MetricSettings:
    """``[metrics]``: what to measure."""

    names: tuple[str, ...] = option((), help="metrics to measure before and after")
    samples: int = option(200, ge=2, unit="pictures", help="how many random pictures estimates are made from")


@attrs.frozen
class _LossSettings:
    names: tuple[str, ...] = option((), help="losses that the method minimises")


def resolve(
    user_settings: Mapping[str, Any], registry: Registry, sections: tuple[str, ...] = tuple(SECTIONS)
) -> Tables:
    """Complete, plain settings: every option with its value; written to ``config.toml`` they replay the run.

    ``sections`` limits the work to some components (``sample`` needs no method); without ``method`` losses,
    metrics and the request are left out. None means absent.
    """
    user = nest(user_settings)
    _check_tables(user)
    below = _below(user, registry, sections)
    settings = merge(below, user)
    result: Tables = complete(RunSettings, build(RunSettings, _top(settings)))
    for section in sections:
        table = _component(section, settings, user, below, registry)
        if table is not None:
            result[section] = table
    if "method" in sections:
        result["request"] = _request(settings.get("request", {}))
        for listing, kind in _LISTS.items():
            result |= _listed(listing, kind, settings, user, registry)
        _agree(result, user)
    return result


# ---------------------------------------------------------------- what lies below the user's own words

def _below(user: Tables, registry: Registry, sections: tuple[str, ...]) -> Tables:
    """Offers and presets; each may name components that bring presets or offers of their own, so go round."""
    offers: Tables = {}
    presets: Tables = {}
    known = user
    for _ in range(8):
        presets = _presets(known, registry, sections)
        offers = merge(nest(registry.defaults(merge(offers, merge(presets, user)))), offers)
        before, known = known, merge(offers, merge(presets, user))
        if known == before:
            break
    below = merge(offers, presets)
    _check_tables(below)
    return below


def _presets(settings: Tables, registry: Registry, sections: tuple[str, ...]) -> Tables:
    chosen = [(SECTIONS[s], settings[s]["name"]) for s in sections if settings.get(s, {}).get("name")]
    # The method comes last: it knows best what it needs.
    chosen.sort(key=lambda pair: pair[0] == "method")
    presets: Tables = {}
    for kind, name in chosen:
        if kind == "method":
            presets = merge(presets, _wishes(registry.component_class(kind, name), settings["method"]))
        presets = merge(presets, registry.get(kind, name).preset)
    return presets


def _wishes(method: type, table: Tables) -> Tables:
    """The losses and the target selector that a method names: as options of its own, or in its class."""
    fields = attrs.fields_dict(method)
    target, losses = (
        table.get(name, fields[name].default) if name in fields else getattr(method, name, None)
        for name in ("target", "losses")
    )
    wishes: Tables = {"losses": {"names": list(losses)}} if losses else {}
    return wishes | ({"target": {"name": target}} if target else {})


# ---------------------------------------------------------------- one table at a time

def _component(
    section: str, settings: Tables, user: Tables, below: Tables, registry: Registry
) -> Tables | None:
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
    given, meant = user.get(section, {}), below.get(section, {}).get("name") == name
    options = _applicable(cls, table, given, meant)
    return {"name": name, **complete(cls, build(cls, options, section))}


def _applicable(cls: type, table: Tables, given: Tables, meant: bool) -> Tables:
    """Drop offers and presets that this component does not have, unless they were ``meant`` for it by name.

    A preset such as ``generator.noise`` speaks of whatever generator comes; not every one has noise.
    """
    known = {field.alias or field.name for field in attrs.fields(cls) if field.init}
    return {key: value for key, value in table.items() if key in known or key in given or meant}


def _listed(
    listing: str, kind: str, settings: Tables, user: Tables, registry: Registry
) -> Tables:
    """``[losses]`` and all ``[loss.NAME]``, or ``[metrics]`` and all ``[metric.NAME]``."""
    schema = _LossSettings if listing == "losses" else MetricSettings
    head = complete(schema, build(schema, settings.get(listing, {}), listing))
    names, tables = head["names"], settings.get(kind, {})
    for name in user.get(kind, {}):
        registry.get(kind, name)
        if name in names:
            continue
        if "names" in user.get(listing, {}):
            raise ConfigError(f"{kind}.{name} has settings, but '{name}' is not in {listing}.names = {names}")
        names.append(name)  # giving a table is enough to ask for the component
    if len(set(names)) < len(names):
        raise ConfigError(f"{listing}.names: got {names!r}, expected each name once")
    result: Tables = {}
    for name in names:
        cls = registry.component_class(kind, name)
        options = _applicable(cls, tables.get(name, {}), user.get(kind, {}).get(name, {}), True)
        result[name] = complete(cls, build(cls, options, f"{kind}.{name}"))
    return {listing: head, **({kind: result} if result else {})}


def _agree(result: Tables, user: Tables) -> None:
    """Where losses and target are options of the method too, both places say the same."""
    said, method = user.get("method", {}), result["method"]
    truths = {"losses": result["losses"]["names"], "target": result.get("target", {}).get("name")}
    for name, truth in truths.items():
        if name not in method or truth is None:
            continue
        if name in said and said[name] != truth:
            where = "losses.names" if name == "losses" else "target.name"
            raise ConfigError(f"method.{name} is {said[name]!r}, but {where} is {truth!r}; give {where} only")
        method[name] = truth


def _request(table: Tables) -> Tables:
    request = build(RequestSettings, table, "request")
    ways = [key for key in (*WAYS, "people") if getattr(request, key) not in ((), None)]
    if len(ways) > 1:
        raise ConfigError(f"request: {' and '.join(ways)} are given, expected only one of them")
    for place, person in enumerate(request.people):
        given = [key for key in WAYS if getattr(person, key) not in ((), None)]
        if len(given) != 1:
            said = " and ".join(given) or "none"
            raise ConfigError(f"request.people[{place}] ({person.name}): got {said}, expected one of {', '.join(WAYS)}")
    check_distinct([person.name for person in request.people])
    result = complete(RequestSettings, request)
    if request.people:
        if "name" in table:
            raise ConfigError(f"request.name: got {table['name']!r}, but request.people has names; give these only")
        del result["name"]
    return result


def _top(settings: Tables) -> Tables:
    return {key: value for key, value in settings.items() if not isinstance(value, dict)}


def _check_tables(settings: Tables) -> None:
    """Refuse sections that do not exist, and values where a table belongs."""
    top = attrs.fields_dict(RunSettings)
    tables = {*SECTIONS, "request", *_LISTS, *_LISTS.values()}
    for key, value in settings.items():
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
