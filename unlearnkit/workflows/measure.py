"""Measure again: a finished run with another judge or more pictures, or an edited checkpoint beside its original."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import torch
from rich.console import Console

from unlearnkit.config import MEASURE, SAMPLE, Settings, resolve
from unlearnkit.config.tables import merge, user_tables
from unlearnkit.errors import ConfigError, RunError
from unlearnkit.files import atomic
from unlearnkit.files.atomic import sha256_file
from unlearnkit.files.plain import json_bytes
from unlearnkit.interfaces import Person, Request
from unlearnkit.numbers import Number, to_plain
from unlearnkit.people.requests import invert_pictures
from unlearnkit.plugins import registry
from unlearnkit.report import Verdict, sentences, verdict
from unlearnkit.runs import Run
from unlearnkit.workflows.assembly import prepared
from unlearnkit.workflows.audit import EDIT, load_edited
from unlearnkit.workflows.experiment import Experiment, load
from unlearnkit.workflows.options import RunOptions, absolute, align_setting
from unlearnkit.workflows.preflight import check
from unlearnkit.workflows.progress import ProgressLine

__all__ = ["FORMAT", "Measured", "MeasureOptions", "measure_checkpoint", "measure_run"]

FORMAT = "unlearnkit-measured-1"
_RUN_FIXED = ("generator", "request", "base", "losses", "loss", "identity")


@attrs.frozen(kw_only=True)
class MeasureOptions:
    """What :func:`measure_run` measures with, where it is to differ from the run; pictures are added to the run's."""

    judge: str | None = None
    perceptual: str | None = None
    inverter: str | None = None
    image: tuple[Path, ...] = ()
    bystander: tuple[Path, ...] = ()
    align: bool | str | None = None
    face: int | str | None = None
    seed: int | None = None
    set: Sequence[str] | Mapping[str, Any] = ()
    device: str | None = None


@attrs.frozen(eq=False)
class Measured:
    """Numbers by name, their declarations, and the verdict; ``file`` is where they were written, if anywhere.

    ``run`` is the folder of the run, None for a checkpoint.
    """

    numbers: dict[str, float]
    declared: dict[str, Number]
    verdict: Verdict
    manifest: dict[str, Any]
    people: list[str]
    document: dict[str, Any]
    file: Path | None = None
    run: Path | None = None


def measure_run(folder: Path, options: MeasureOptions, out: Path | None, console: Console) -> Measured:
    """Measure a finished run again; nothing of it changes. Writes ``measured.json``, then ``measured-2.json``, into it.

    ``out``: another new file instead. Extra pictures belong to the run's only person, and are judged, never erased.

    :raises RunError: if the run is not finished, or its edit or latents are not those that it wrote.
    :raises ConfigError: for settings that the run has fixed, or a picture whose person is not clear.
    """
    run = Run.open(folder)
    if run.manifest["status"] != "finished":
        raise RunError(f"{folder} is not finished ({run.manifest['status']}), so there is no edit to measure yet; "
                       f"finish it with: unlearnkit run --resume {folder}")
    settings = _settings_of(run, options)
    check(settings, pictures=False)
    with ProgressLine(console) as line:
        with line.task("loading networks"):
            experiment = load_edited(run, settings, measures=True)
        if options.image or options.bystander:
            with line.task("finding the latents"):
                experiment.find_people((_with_more(experiment.request, options, experiment), experiment.targets))
        facts = {**run.manifest, **_facts(experiment)}
        found = _measured(experiment, line, facts, {"run": run.manifest["name"], "edit": sha256_file(run.path / EDIT)})
    found = attrs.evolve(found, run=folder)
    if out is not None:
        return _written(found, out)
    with run:
        return attrs.evolve(found, file=run.write_json(f"{_free_name(run.path)}.json", found.document))


def measure_checkpoint(
    checkpoint: Path, original: RunOptions, out: Path | None, console: Console
) -> Measured:
    """Measure an edited checkpoint beside its original, which ``original`` names together with the people.

    :raises ConfigError: if both files hold the same weights, or networks of different shapes.
    """
    tables = original.tables()
    settings = resolve(tables, registry(), MEASURE)
    check(settings)
    edited = resolve({"generator": {**tables.get("generator", {}), "checkpoint": absolute(checkpoint)}}, registry(),
                     SAMPLE)
    with ProgressLine(console) as line:
        with line.task("loading networks"):
            experiment = load(settings, unlearns=False, measures=True)
            _put_weights(experiment, prepared(edited.generator, experiment.device).module, checkpoint)
        with line.task("finding the latents"):
            experiment.find_people()
        found = _measured(experiment, line, _facts(experiment), {"checkpoint": sha256_file(checkpoint)})
    return found if out is None else _written(found, out)


# ---------------------------------------------------------------- parts

def _settings_of(run: Run, options: MeasureOptions) -> Settings:
    """The run's settings, with what the options change."""
    tables = MEASURE.only(run.config)
    chosen = {"judge": options.judge, "perceptual": options.perceptual, "inverter": options.inverter}
    for section, name in chosen.items():
        if name is not None and name != run.chosen.get(section):
            tables[section] = {"name": name}  # options of the run's own belong to another component
    given = user_tables(None, options.set, {
        "seed": options.seed, "device": options.device, "request.align": align_setting(options.align),
        "request.face": options.face,
    })
    fixed = [key for key in user_tables(None, options.set, {}) if key in _RUN_FIXED]
    if fixed:
        raise ConfigError(f"--set {fixed[0]}: the run fixed this; measure takes settings of judge, perceptual, "
                          "metrics, metric, inverter and of the machine")
    names = given.get("metrics", {}).get("names")
    if names is not None and "metric" in tables:  # options of metrics that are left out now
        tables["metric"] = {name: options for name, options in tables["metric"].items() if name in names}
    return resolve(merge(tables, given), registry(), MEASURE)


def _with_more(request: Request, options: MeasureOptions, experiment: Experiment) -> Request:
    """The request with the extra pictures, inverted on the frozen generator."""
    settings = experiment.settings.request
    images, bystanders = (
        invert_pictures(paths, settings, experiment.frozen, experiment.parts.inverter, experiment.device)
        for paths in (options.image, options.bystander)
    )
    people = list(request.people)
    if images is not None:
        if len(people) != 1 or people[0].pictures is None:
            raise ConfigError("--image adds pictures of the run's person, but it has several people, or a latent "
                              "without a picture; leave --image out")
        latents, pictures = images
        people[0] = attrs.evolve(people[0], latents=torch.cat([people[0].latents, latents]),
                                 pictures=torch.cat([people[0].pictures.to(pictures), pictures]))
    kept = list(request.bystanders)
    if bystanders is not None:
        kept += [Person(path.stem, latent[None], picture[None])
                 for path, latent, picture in zip(options.bystander, *bystanders, strict=True)]
    return attrs.evolve(request, people=tuple(people), bystanders=tuple(kept))


def _put_weights(experiment: Experiment, other: torch.nn.Module, path: Path) -> None:
    """Load the edited checkpoint's weights into the edited generator."""
    mine, theirs = experiment.edited.module.state_dict(), other.state_dict()
    unlike = [name for name in {**mine, **theirs} if name not in mine or name not in theirs
              or mine[name].shape != theirs[name].shape]
    if unlike:
        raise ConfigError(f"{path} is not an edited version of {experiment.edited.base.path}: {unlike[0]} differs in "
                          "shape or is missing; give its original with --original")
    if all(torch.equal(mine[name], theirs[name]) for name in mine):
        raise ConfigError(f"{path} holds the same weights as {experiment.edited.base.path}: nothing was edited; give "
                          "its original with --original")
    experiment.edited.module.load_state_dict(theirs)


def _facts(experiment: Experiment) -> dict[str, Any]:
    """What the verdict needs of a manifest."""
    return {"domains": experiment.settings.domains(), "levels_source": experiment.parts.judge.levels_source}


def _measured(
    experiment: Experiment, line: ProgressLine, manifest: dict[str, Any], what: Mapping[str, Any]
) -> Measured:
    began = time.monotonic()
    metrics = list(experiment.parts.metrics)
    with line.stages("measuring", metrics) as starting:
        outcome = experiment.measure(starting)
    people = [person.name for person in experiment.request.people]
    bystanders = [person.name for person in experiment.request.bystanders]
    result = verdict(outcome.numbers, manifest, people, bystanders)
    table = experiment.settings.table()
    document = {
        "format": FORMAT, **what, "seconds": round(time.monotonic() - began, 3),
        "settings": {key: table[key] for key in ("judge", "perceptual", "metrics", "metric", "seed") if key in table},
        "n_pictures": {person.name: len(person.latents) for person in experiment.request.people},
        "verdict": {"tone": result.tone, "answer": result.answer, "sentences": sentences(result)},
        "metrics": outcome.numbers, "numbers": to_plain(outcome.declared),
    }
    quiet = {key: value for key, value in manifest.items() if key not in ("seconds", "memory")}  # those of the run
    return Measured(outcome.numbers, outcome.declared, result, quiet, people, document)


def _written(found: Measured, out: Path) -> Measured:
    with atomic.plain_errors("write", out):
        atomic.write_new(out, json_bytes(found.document))
    return attrs.evolve(found, file=out)


def _free_name(folder: Path) -> str:
    """``measured``, or ``measured-2`` and so on if that is taken."""
    names = ("measured" if number == 1 else f"measured-{number}" for number in range(1, 10_000))
    with contextlib.suppress(StopIteration):
        return next(name for name in names if not (folder / f"{name}.json").exists())
    raise RunError(f"{folder} holds 9,999 measurements; give --out FILE")
