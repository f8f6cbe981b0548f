"""Audit a run directory: rebuild its generators, attack, write ``audit.json`` and ``audit.html`` into it.

The report is written anew, since its verdict counts the audit, and the manifest notes the
audit's hash; nothing else of the run changes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
from rich.console import Console

from unlearnkit.attacks.page import write_audit_page
from unlearnkit.attacks.running import Result, judge_levels, run_attacks
from unlearnkit.attacks.summary import summary
from unlearnkit.attacks.trace import references
from unlearnkit.config import AUDIT, Settings, build, nest, parse_set
from unlearnkit.edits.chain import edit_file, open_chain, read_links
from unlearnkit.engine.machine import applied
from unlearnkit.errors import ConfigError, RunError
from unlearnkit.files.atomic import sha256_file
from unlearnkit.interfaces import Attack, Case
from unlearnkit.numbers import Levels
from unlearnkit.options.domains import mixed
from unlearnkit.options.fields import complete
from unlearnkit.people.latents import load_people
from unlearnkit.plugins import registry
from unlearnkit.report import write_report
from unlearnkit.report.worlds import world_sentence
from unlearnkit.runs import Run
from unlearnkit.workflows.experiment import Experiment, load
from unlearnkit.workflows.progress import ProgressLine

__all__ = ["FORMAT", "Audit", "attack_tables", "audit_run", "build_attacks", "load_edited"]

FORMAT = "unlearnkit-audit-1"
LATENTS, EDIT = "latents.safetensors", "edit.safetensors"


@attrs.frozen(eq=False)
class Audit:
    """The results of an audit, the two files it wrote, and the base checkpoint of the run."""

    results: list[Result]
    numbers: Path
    page: Path
    base: Path


def audit_run(
    folder: Path, names: Sequence[str], tables: Mapping[str, Mapping[str, Any]], *, seed: int, device: str | None,
    quick: bool, console: Console,
) -> Audit:
    """Attack the edited generator of a finished run; earlier audits are kept, the next is ``audit-2``, and so on.

    * ``names``: attacks to run, all if empty; ``tables``: their options, by attack
    * ``quick``: short attempts; ``device`` None: the run's own

    :raises RunError: if the run is not finished. All other failures are UnlearnkitErrors too.
    """
    attacks = build_attacks(names, tables, quick)
    run = Run.open(folder)
    if run.manifest["status"] != "finished":
        raise RunError(f"{folder} is not finished ({run.manifest['status']}), so there is no edit to attack yet; "
                       f"finish it with: unlearnkit run --resume {folder}")
    began, settings = time.monotonic(), run.settings_for(AUDIT)
    settings = attrs.evolve(settings, device=device or settings.device, seed=seed)
    with run, ProgressLine(console) as line, applied(settings):
        run.lock()
        with line.task("loading networks"):
            experiment = load_edited(run, settings)
            evidence, targets, identity = experiment.evidence, experiment.targets, experiment.parts.identity
            for attack in attacks.values():
                attack.prepare(experiment.device)
            scale = Levels(None, None) if mixed(settings.domains()) else judge_levels(evidence)
        results: list[Result] = []
        for name, attack in attacks.items():
            with line.task(f"{name}: {attack.budget} {attack.unit} ({len(results) + 1} of {len(attacks)})"):
                results += run_attacks(evidence, {name: attack}, targets=targets, identity=identity, scale=scale)
        stem = _free_name(run)
        numbers = run.write_json(f"{stem}.json", {
            "format": FORMAT, "run": run.manifest["name"], "seed": seed, "device": str(experiment.device),
            "quick": quick, "judge": run.chosen["judge"], "identity": run.chosen["identity"],
            "world": world_sentence({"domains": settings.domains()}),
            "levels": {"strangers": scale.strangers, "same_person": scale.same, "border": scale.border,
                       "words": scale.words},
            "levels_source": evidence.judge.levels_source,
            "n_people": len(evidence.request.people),
            "n_pictures": {person.name: len(person.latents) for person in evidence.request.people},
            "settings": {name: complete(type(attack), attack) for name, attack in attacks.items()},
            "seconds": round(time.monotonic() - began, 3), "summary": [way.plain() for way in summary(results)],
            "results": [result.plain() for result in results],
        })
        run.update_manifest(audits={numbers.name: sha256_file(numbers)})
        known = {person.name: references(Case(evidence, person))[0].cpu() for person in evidence.request.people}
        page = write_audit_page(run, stem, run.read_json(f"{stem}.json"), results, known)
        write_report(run)  # its verdict counts the audit
    return Audit(results, numbers, page, experiment.edited.base.path)


def attack_tables(sets: Iterable[str] | Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Options by attack, from ``attack.NAME.FIELD=VALUE``, or values by dotted name.

    :raises ConfigError: for any other setting.
    """
    assigned = dict(sets.items() if isinstance(sets, Mapping) else (parse_set(text) for text in sets))
    for key in assigned:
        if len(key.split(".")) != 3 or not key.startswith("attack."):
            raise ConfigError(f"--set {key}: expected attack.NAME.FIELD=VALUE, such as attack.relearning.steps=20; "
                              "the run fixed everything else")
    return dict(nest(assigned).get("attack", {}))


def build_attacks(
    names: Sequence[str], tables: Mapping[str, Mapping[str, Any]], quick: bool
) -> dict[str, Attack]:
    """The requested attacks, by name; given options override those of ``quick``.

    :raises ConfigError: for options of an attack that is not run.
    :raises PluginError: for an unknown attack.
    """
    plugins = registry()
    chosen = list(dict.fromkeys(names)) or list(plugins.names("attack"))
    for name in tables:
        plugins.get("attack", name)
        if name not in chosen:
            raise ConfigError(f"attack.{name} has settings, but is not run: leave them out, or add --attack {name}")
    attacks: dict[str, Attack] = {}
    for name in chosen:
        cls: type[Attack] = plugins.component_class("attack", name)
        attacks[name] = build(cls, {**(cls.quick if quick else {}), **tables.get(name, {})}, f"attack.{name}")
    return attacks


def load_edited(run: Run, settings: Settings, *, measures: bool = False) -> Experiment:
    """Load a finished run into memory: its generators, people, targets and encoders; with ``measures`` its metrics too.

    If the run is based on an earlier edit, its frozen generator has that edit applied.

    :raises RunError: if its edit or latents are not those that it wrote, or the earlier edit's file has changed.
    """
    chain = None if settings.base is None else open_chain(_edit_below(run, settings.base))
    edit, latents = run.checked(EDIT), run.checked(LATENTS)  # before networks take their time
    experiment = load(settings, chain, pictures=False, unlearns=False, measures=measures)
    experiment.put_on(edit)
    experiment.find_people(load_people(latents, experiment.device))
    return experiment


def _edit_below(run: Run, base: Path) -> Path:
    """The edit that a run with ``base`` started from.

    :raises RunError: if that file has changed, since the control would be another generator.
    """
    edit, noted = edit_file(base), [link.sha256 for link in read_links(run.manifest)]
    if not noted or sha256_file(edit) != noted[-1]:
        raise RunError(f"{edit} is not the edit that {run.path} started from; put that file back to audit this run")
    return edit


def _free_name(run: Run) -> str:
    """``audit``, or ``audit-2`` and so on if that is taken."""
    names = ("audit" if number == 1 else f"audit-{number}" for number in range(1, 10_000))
    return next(name for name in names if not any((run.path / f"{name}{end}").exists() for end in (".json", ".html")))
