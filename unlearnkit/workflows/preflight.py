"""Checks before a run creates its folder; all mistakes are reported at once."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import Any

import torch

from unlearnkit.config import SECTIONS, Settings
from unlearnkit.edits.chain import Chain
from unlearnkit.errors import ConfigError, Gather, RunError, UnlearnkitError
from unlearnkit.interfaces import Component, IdentityEncoder
from unlearnkit.metrics.measuring import declared
from unlearnkit.numbers import About
from unlearnkit.options import domains as domains_of
from unlearnkit.people.pictures import check_picture
from unlearnkit.people.requests import check_request
from unlearnkit.plugins import registry

__all__ = ["check", "check_device", "check_folder"]

_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


def check(
    settings: Settings, chain: Chain | None = None, out: Path | None = None, *, pictures: bool = True
) -> None:
    """Check all that can be checked without loading networks: files, pictures, encoders, device, folder.

    ``pictures`` False: the people are known already, and their picture files may be gone.

    :raises UnlearnkitError: a single mistake, or :class:`~unlearnkit.errors.Mistakes` with all of them.
    """
    mistakes = Gather()
    for section, choice in settings.chosen().items():
        with mistakes:
            _check_component(section, choice.component)
    for kind, choices in (("loss", settings.losses), ("metric", settings.metrics)):
        for name, choice in choices.items():
            with mistakes:
                _check_component(f"{kind} {name}", choice.component)
    with mistakes:
        if settings.generator is not None:  # it determines whether there are numbers per view
            components = {name: choice.component for name, choice in settings.metrics.items()}
            declared(components, _about(settings, chain))
    for encoder in ("identity", "judge", "perceptual"):
        with mistakes:
            # Defaults for encoders depend on the generator: without one, it is unknown what is missing.
            if not settings.failed & {encoder, "generator"}:
                _check_encoder(settings, encoder)
    with mistakes:
        if "generator" not in settings.failed and not settings.request.mixed_domains:
            _check_domains(settings)
    if pictures:
        _check_people(settings, chain, mistakes)
    with mistakes:
        check_device(settings.device)
    with mistakes:
        if out is not None:
            check_folder(out)
    mistakes.raise_any()


def _about(settings: Settings, chain: Chain | None) -> About:
    """What the names of the metrics' numbers depend on."""
    earlier = tuple(name for link in (chain.links if chain else ()) for name in link.people or ())
    label = "perceptual" if settings.perceptual is None else settings.perceptual.component.label
    return About(tuple(settings.request.names), earlier, label, settings.generator.component.has_views)


def _check_people(settings: Settings, chain: Chain | None, mistakes: Gather) -> None:
    request = settings.request
    files = (*request.pictures, *request.bystanders)
    for path in files:
        with mistakes:
            check_picture(path, request.align)
    for person in request.erased:
        if person.latent is not None and not person.latent.is_file():
            mistakes.add(f"{person.latent} does not exist; give a file that 'unlearnkit invert' wrote")
    if files and settings.inverter is None and not settings.failed & {"inverter", "generator"}:
        mistakes.add(f"a picture needs an inverter: give --inverter NAME ({_candidates('inverter')})")
    if all(path.is_file() for path in files) and "generator" not in settings.failed:
        with mistakes:
            check_request(request, chain.erased if chain else None)


def check_device(device: str) -> None:
    """Refuse a device that is not available.

    :raises ConfigError: listing the available devices.
    """
    if not _DEVICE.fullmatch(device):
        raise ConfigError(f"device: got {device!r}, expected auto, cpu, mps, cuda or cuda:N")
    if not device.startswith("cuda"):
        return
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(device.partition(":")[2] or 0) >= count:
        available = f"has {count} CUDA device(s), numbered from 0" if count else "has no CUDA device; use cpu"
        raise ConfigError(f"device: got {device!r}, but this computer {available}")


def check_folder(out: Path) -> None:
    """Refuse a folder that cannot hold a new run.

    :raises RunError: if it is a file, or not empty.
    """
    if out.exists() and not out.is_dir():
        raise RunError(f"--out: {out} is a file, expected a folder")
    if out.is_dir() and set(os.listdir(out)) - {".lock"}:
        raise RunError(f"{out} is not empty, and a run never overwrites another; give a new folder with --out, "
                       f"or continue that run with --resume {out}")


def _check_component(where: str, component: Any) -> None:
    try:
        component.check()
    except UnlearnkitError as error:
        raise type(error)(f"{where}: {error}") from error


def _check_encoder(settings: Settings, section: str) -> None:
    """Check that an encoder is chosen, has gradients where a loss needs them, and that the judge is independent."""
    choice = getattr(settings, section)
    if choice is None:
        raise ConfigError(f"no {section} is chosen and no plugin offers one; give --{section} NAME "
                          f"({_candidates('identity' if section == 'judge' else section, section == 'identity')})")
    if section == "identity" and not choice.component.differentiable:
        raise ConfigError(f"identity encoder '{choice.name}' has no gradients, so it can only judge; give --identity "
                          f"NAME ({_candidates('identity', True)})")
    if section == "judge" and settings.identity is not None and settings.identity.table() == choice.table():
        raise ConfigError(
            f"identity and judge are both {choice.name!r}: the encoder that a loss uses may not judge its own work; "
            f"choose another with --judge NAME ({_candidates('identity', leave_out=choice.name)})"
        )


def _check_domains(settings: Settings) -> None:
    """Refuse encoders, perceptual distances and inverters that know other faces than the generator draws."""
    domains = settings.domains()
    drawn, wrong = domains["generator"], domains_of.mixed(domains)
    if not wrong:
        return
    named = ", ".join(f"{section} {getattr(settings, section).name!r} ({domains_of.words(domains[section])})"
                      for section in wrong)
    fits = "; ".join(f"--{section} {_of_domain(section, drawn)}" for section in wrong)
    raise ConfigError(
        f"generator {settings.generator.name!r} draws {domains_of.words(drawn)}, which other networks do not know: "
        f"{named}; give {fits}, or another --checkpoint (--set request.mixed_domains=true runs it anyway, but then "
        "nothing can be measured)"
    )


def _of_domain(section: str, domain: str) -> str:
    """Installed components that know a domain: ``one of a, b``."""
    kind = SECTIONS[section]
    fitting = []
    for name in registry().names(kind):
        with contextlib.suppress(UnlearnkitError):  # a broken plugin is no candidate
            component: type[Component] = registry().component_class(kind, name)
            if component.domain in (domain, domains_of.ANY):
                fitting.append(name)
    return f"one of {', '.join(fitting)}" if fitting else f"NAME (none that knows {domains_of.words(domain)} is there)"


def _candidates(kind: str, differentiable: bool = False, leave_out: str = "") -> str:
    """Installed alternatives, for messages: ``ready to use: a, b; need more than a name: c``."""
    ready, incomplete = [], []
    for name in registry().names(kind):
        try:
            component = registry().component_class(kind, name)()
            if name == leave_out or (differentiable and isinstance(component, IdentityEncoder) \
                    and not component.differentiable):
                continue
            component.check()
            ready.append(name)
        except (UnlearnkitError, TypeError):  # a file is missing, or an option is required
            incomplete.append(name)
    groups = [f"ready to use: {', '.join(ready)}"] if ready else []
    groups += [f"need more than a name: {', '.join(incomplete)}"] if incomplete else []
    return "; ".join(groups) or "none is installed"
