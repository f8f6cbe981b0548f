"""What every component promises, whatever its kind: registration, options, settings, and that it can be prepared."""

from __future__ import annotations

import importlib.metadata
import inspect
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import attrs
import torch

from unlearnkit import interfaces
from unlearnkit.config import build, describe, read_toml, write_toml
from unlearnkit.errors import ConfigError, UnlearnkitError
from unlearnkit.options.domains import is_domain
from unlearnkit.options.fields import complete
from unlearnkit.plugins import GROUP
from unlearnkit.plugins.registration import KINDS
from unlearnkit.testing.expect import NotApplicable, expect
from unlearnkit.testing.subject import Subject

LONGEST_DESCRIPTION = 120


def check_registration_describes_it(subject: Subject) -> None:
    """The registration has one line of at most 120 characters that says what the component is."""
    line = subject.registration.description
    expect(bool(line), "a line of description as third argument of register", "an empty one")
    expect(len(line) <= LONGEST_DESCRIPTION, f"a description of at most {LONGEST_DESCRIPTION} characters",
           f"{len(line)}: {line!r}")


def check_registering_imports_no_torch(subject: Subject) -> None:
    """The plugin's module imports no torch, so that ``unlearnkit --help`` stays fast; only components may."""
    plugin = subject.registration.plugin
    points = importlib.metadata.entry_points(group=GROUP, name=plugin)
    if not points:
        raise NotApplicable(f"plugin '{plugin}' is not installed as an entry point")
    module = next(iter(points)).module
    expect(_imports_no_torch(module, os.pathsep.join(sys.path)),
           f"module {module} to import without torch (give components as 'package.module:Class' only)", "torch in it")


def check_it_is_an_attrs_component(subject: Subject) -> None:
    """It imports, and is a concrete attrs subclass of its interface."""
    cls = subject.cls  # where it is registered, this raises what 'unlearnkit run' would say
    interface = getattr(interfaces, KINDS[subject.kind][1])
    expect(issubclass(cls, interface), f"a subclass of unlearnkit.interfaces.{interface.__name__}", cls.__mro__)
    expect("__attrs_attrs__" in vars(cls), "an attrs class (@attrs.define), since its fields are its options", "none")
    missing = sorted(getattr(cls, "__abstractmethods__", ()))
    expect(not inspect.isabstract(cls), "every method of the interface", f"none for {', '.join(missing)}")


def check_domain_is_named(subject: Subject) -> None:
    """``domain`` is lower-case words joined by hyphens, such as ``photographs``; a generator's is known unprepared."""
    component: interfaces.Component = subject.build()
    declared = [component.domain]
    if isinstance(component, interfaces.Generator):
        declared.append(component.faces_domain())
    for domain in declared:
        expect(is_domain(domain), "a domain of lower-case words joined by hyphens, or 'any'", repr(domain))


def check_every_option_has_help(subject: Subject) -> None:
    """Each field that can be set is made by ``option(...)`` and says what it does."""
    for found in describe(subject.cls):
        expect(bool(found.help.strip()), f"option '{found.name}' to have help: option(..., help=\"...\"), "
               "or attrs.field(init=False) for what is no option", "none")


def check_defaults_build(subject: Subject) -> None:
    """Without settings it builds, or says which option must be given."""
    required = [found.name for found in describe(subject.cls) if found.required]
    try:
        build(subject.cls, {}, subject.kind)
    except ConfigError as error:
        expect(bool(required) and required[0] in str(error),
               f"defaults that are allowed, or an error that names {required or 'a required option'}", f"{error}")


def check_wrong_values_are_refused(subject: Subject) -> None:
    """A value that an option does not allow ends in a ConfigError that names the option."""
    cls, given = subject.cls, subject.options()
    types = {found.name: found.type for found in describe(cls)}
    for field in (field for field in attrs.fields(cls) if field.init):
        if types[field.alias] != "any value" and not types[field.alias].startswith("dict"):
            wrong: Any = {"no": ["such", "value"]}
            _expect_refusal(field.alias, wrong, lambda: build(cls, {**given, field.alias: wrong}, subject.kind))  # noqa: B023
        for outside in _outside(field):
            _expect_refusal(field.alias, outside, lambda: cls(**{**given, field.alias: outside}))  # noqa: B023


def check_settings_survive_a_file(subject: Subject) -> None:
    """Written to ``config.toml`` and read again, the options build an equal component: a run can be replayed."""
    component = subject.build()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.toml"
        write_toml(path, {"component": complete(subject.cls, component)})
        again: Any = build(subject.cls, read_toml(path)["component"], subject.kind)
    for found in describe(subject.cls):
        wanted, got = complete(subject.cls, component), complete(subject.cls, again)
        expect(wanted.get(found.name) == got.get(found.name),
               f"option '{found.name}' to be {wanted.get(found.name)!r} again", repr(got.get(found.name)))


def check_components_share_nothing(subject: Subject) -> None:
    """Two components have no mutable option in common: changing one leaves the other alone."""
    one, other = subject.build(), subject.build()
    for field in attrs.fields(subject.cls):
        value = getattr(one, field.name, None)
        shared = isinstance(value, list | dict | set) and value is getattr(other, field.name, None)
        expect(not shared, f"a {type(value).__name__} '{field.name}' of its own in each component", "the same one")


def check_prepare_works_or_says_what_is_missing(subject: Subject) -> None:
    """``prepare`` loads the component, or raises an UnlearnkitError that says what is missing."""
    component = subject.build()
    try:
        component.prepare(torch.device("cpu"))
    except UnlearnkitError as error:
        expect(subject.needs is not None,
               "prepare() to succeed (give the test settings=..., or needs=\"what is missing\")", error)
        expect(len(str(error)) > 20, "a sentence that says what is missing", repr(str(error)))
    except Exception as error:
        expect(False, "prepare() to succeed or raise an UnlearnkitError", f"{type(error).__name__}: {error}")


def check_what_is_missing_is_found_early(subject: Subject) -> None:
    """``check`` raises an UnlearnkitError where ``prepare`` would, and only there: a run asks it before it starts."""
    early = _problem(lambda: subject.build().check())
    if subject.needs is None:
        late = _problem(lambda: subject.component)
    else:
        late = _problem(lambda: subject.build().prepare(torch.device("cpu")))
    if late is None:
        expect(early is None, "check() to accept a component that prepare() can load", early)
    else:
        expect(early is not None, "check() to raise an UnlearnkitError where prepare() cannot load the component",
               f"nothing from check(); from prepare(): {late}")


def _problem(action: Callable[[], object]) -> str | None:
    """What the user is told to mend; None if ``action`` works."""
    try:
        action()
    except (UnlearnkitError, NotApplicable) as error:
        return str(error)
    return None


def _outside(field: Any) -> list[Any]:
    """Values that the field's own bounds and choices forbid."""
    bounds, values = field.metadata.get("bounds", {}), []
    values += [bounds[name] - 1 for name in ("gt", "ge") if name in bounds]
    values += [bounds[name] + 1 for name in ("lt", "le") if name in bounds]
    if field.metadata.get("choices") is not None:
        values.append("no such choice")
    return values


def _expect_refusal(name: str, value: Any, make: Any) -> None:
    wanted = f"a ConfigError that names '{name}' for the value {value!r}"
    try:
        made = make()
    except ConfigError as error:
        expect(name in str(error), wanted, f"the message {str(error)!r}")
    except Exception as error:
        expect(False, wanted, f"{type(error).__name__}: {error}")
    else:
        expect(False, wanted, f"{made!r}")


@lru_cache(maxsize=64)
def _imports_no_torch(module: str, path: str) -> bool:
    program = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    return subprocess.run([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": path}).returncode == 0
