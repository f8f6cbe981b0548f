"""One run: put the components together, run the method, measure, show, save."""

from __future__ import annotations

import copy
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import torch
from rich.console import Console
from torch import Tensor

from unlearnkit.edits import file as edits
from unlearnkit.edits.chain import Chain, open_chain
from unlearnkit.engine.machine import applied
from unlearnkit.engine.precision import make_measures
from unlearnkit.errors import Interrupted, RunError, UnlearnkitError
from unlearnkit.files.atomic import sha256_file
from unlearnkit.interfaces import Evidence, Generator, Job, Progress, Request
from unlearnkit.metrics.measuring import declared, measured
from unlearnkit.numbers import to_plain
from unlearnkit.people import requests
from unlearnkit.people.latents import load_people, save_people
from unlearnkit.people.names import erased_pictures, erased_tables
from unlearnkit.plugins import registry
from unlearnkit.report import NUMBERS_FILE, write_report
from unlearnkit.report.show import show_people
from unlearnkit.runs import Run
from unlearnkit.streams import stream
from unlearnkit.workflows.assembly import Parts, Timings, assemble, choose_targets, fit_target, pick_device
from unlearnkit.workflows.progress import ProgressLine

__all__ = ["run"]


# ---------------------------------------------------------------- run

class RunProgress(Progress):
    """Writes the log and the checkpoints of a run, shows a progress bar, and stops where the user asks to."""

    def __init__(self, run: Run, line: ProgressLine) -> None:
        self.run, self.line, self.saved, self.stop = run, line, time.monotonic(), False
        self.save_every = float(run.config["save_every"])

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """What the run saved last; the log is cut back to that moment."""
        found = self.run.load_checkpoint()
        steps = 0 if found is None else int(found[1]["step"])
        self.run.truncate_log(steps)
        self.line.skip(steps)
        return found

    def due(self) -> bool:
        """True when asked to stop, and every ``save_every`` seconds."""
        return self.stop or time.monotonic() - self.saved > self.save_every

    def save(self, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
        """Write a checkpoint; if asked to stop, this is the moment.

        :raises Interrupted: after saving, if a signal came.
        """
        self.run.save_checkpoint(tensors, values)
        self.saved = time.monotonic()
        self.check()

    def step(self, index: int, total: int, terms: Mapping[str, float]) -> None:
        """Log one step, tell the plugins, move the bar."""
        self.run.log(index, terms)
        registry().step_finished(self.run, index, terms)
        self.line.advance(index + 1, total, terms)

    def check(self) -> None:
        """Leave if a signal came; what is not saved yet is done again on resume."""
        if self.stop:
            raise Interrupted(f"stopped; continue with: unlearnkit run --resume {self.run.path}")


@contextmanager
def _signals(progress: RunProgress) -> Iterator[None]:
    """While this lasts, SIGINT and SIGTERM ask the run to save and end; a second one ends it at once."""
    def ask(number: int, frame: Any) -> None:
        if progress.stop:
            raise KeyboardInterrupt
        progress.stop = True
        progress.line.note("stopping after this step; once more to stop at once")

    numbers = (signal.SIGINT, signal.SIGTERM)
    try:
        old = {number: signal.signal(number, ask) for number in numbers}
    except ValueError:  # not in the main thread: signals are somebody else's business
        yield
        return
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def run(settings: Mapping[str, Any], out: Path | None, resume: Path | None, console: Console) -> Run:
    """Erase a person: run a method from complete ``settings`` and write a run directory.

    :raises Interrupted: after a signal, once everything is saved. Every other failure is an UnlearnkitError too.
    """
    if resume is not None:
        run = Run.open(resume, resume=True)
        # The report reads the finished manifest, so a kill can come between the two: then the report is still to do.
        if run.manifest["status"] == "finished" and (run.path / "report.html").exists():
            raise RunError(f"{resume} is finished; look at {resume / 'report.html'}, or start a new run")
        settings = run.config
        chain = _chain(settings)
        run.update_manifest(status="running")
    else:
        chain = _chain(settings)
        requests.check_request(settings["request"], chain.pictures if chain else ())
        name = f"{settings['method']['name']}-{settings['generator']['name']}"
        run = Run.create(out, settings, name)
    with run, ProgressLine(console) as line:
        progress = RunProgress(run, line)
        try:
            with _signals(progress), applied(settings) as used:
                run.update_manifest(**used)
                _execute(run, settings, chain, progress)
        except (Interrupted, KeyboardInterrupt):
            run.finish("interrupted")
            raise
        except UnlearnkitError:
            run.finish("failed")
            raise
    return run


def _chain(settings: Mapping[str, Any]) -> Chain | None:
    """The earlier edits that the run stands on, or None."""
    return open_chain(Path(settings["base"])) if settings.get("base") else None


def _execute(run: Run, settings: Mapping[str, Any], chain: Chain | None, progress: RunProgress) -> None:
    line, timings = progress.line, Timings()
    device = pick_device(settings["device"])
    with line.task("loading networks"), timings("load"):
        parts = assemble(settings, device)
        _check_base(run, parts.generator, chain)
        original = None if chain is None else copy.deepcopy(parts.generator)
        if chain is not None:
            edits.put_on(parts.generator, chain.edit)
        source = copy.deepcopy(parts.generator)
    with line.task("finding the latents"), timings("invert"):
        request, targets = _people(run, settings, parts, chain, device)
    evidence = Evidence(
        frozen=source, edited=parts.generator, request=request, judge=parts.judge, perceptual=parts.perceptual,
        seed=settings["seed"], samples=settings["metrics"]["samples"],
        original=original,
    )
    run.write_json(NUMBERS_FILE, to_plain(declared(parts.metrics, evidence.about)))
    registry().run_started(run)
    job = Job(
        edited=parts.generator, frozen=source, erased=request.erased, targets=targets, losses=parts.losses,
        measures=make_measures(parts.perceptual, parts.identity, device, settings.get("precision")),
        rng=stream(settings["seed"], "loop"), seed=settings["seed"], device=device, progress=progress,
        selector=parts.target, cuda_graph=settings.get("cuda_graph", False),
    )
    with timings("unlearn"):
        parts.method.unlearn(job)
    progress.check()
    edit = run.path / "edit.safetensors"
    changed = edits.save_edit(
        edit, source, parts.generator, settings["generator"]["name"], settings["method"]["name"],
        {key: value for key, value in settings["method"].items() if key != "name"}, original, chain,
    )
    with line.task("measuring"), timings("measure"):
        metrics = measured(parts.metrics, evidence, progress.check)
        run.write_json("metrics.json", metrics)
    with line.task("drawing the report"), timings("report"):
        show_people(run, evidence, targets)
        run.finish("finished", timings=timings.seconds, tensors_changed=changed,
                   steps=getattr(parts.method, "steps", None), edit=sha256_file(edit))
        write_report(run)
        registry().run_finished(run, metrics)
        run.clear_checkpoint()


def _check_base(run: Run, generator: Generator, chain: Chain | None) -> None:
    """Note the hashes of checkpoint and earlier edits at the start; refuse other files on resume."""
    base = {"path": str(generator.base.path), "format": generator.base.format, "sha256": generator.base.sha256}
    manifest = run.manifest
    wanted = [(base["path"], base["sha256"], manifest["base"]["sha256"] if manifest.get("base") else None)]
    if chain is not None:
        known = manifest.get("chain") or [{"sha256": None}]
        wanted.append((str(chain.edit), chain.hashes[-1], known[-1]["sha256"]))
    for path, found, noted in wanted:
        if noted and found != noted:
            raise RunError(
                f"{path} is not the file this run started from (SHA-256 {noted[:16]}...); "
                "put that file back, or start a new run"
            )
    run.update_manifest(base=base)
    if chain is not None and not manifest.get("chain"):
        run.update_manifest(chain=[link.table() for link in chain.links])


def _people(
    run: Run, settings: Mapping[str, Any], parts: Parts, chain: Chain | None, device: torch.device
) -> tuple[Request, Tensor]:
    """The request and its targets ``(P, num_ws, w_dim)``; found once, then kept, so a resume sees the same bits."""
    path = run.path / "latents.safetensors"
    if path.exists():
        request, targets = load_people(path, device)
        fit_target(settings, parts, request.erased)
        return request, targets
    table = settings["request"]
    request = requests.make_request(table, parts.generator, parts.inverter, settings["seed"], device)
    if chain is not None and chain.latents is not None:
        before = load_people(chain.latents, device)[0]
        request = attrs.evolve(request, earlier=(*before.earlier, *before.people))
    targets = choose_targets(settings, parts, request.erased)
    latents = [person["latent"] for person in erased_tables(table) if person.get("latent")]
    run.record_inputs([*erased_pictures(table), *map(Path, [*latents, *(table.get("bystanders") or ())])])
    run.update_manifest(distances=_distances(parts.generator, request.erased, targets))
    save_people(path, request, targets)
    return request, targets


def _distances(generator: Generator, sources: Tensor, targets: Tensor) -> dict[str, float]:
    """Where source and target lie, in latent units (L2 over all numbers) and in mean distances from w_avg."""
    random = generator.sample_latents(1000, stream(0, "distances"))
    with torch.no_grad():
        radius = float((random - generator.w_avg).flatten(1).norm(dim=1).mean())
    facts = {"mean_radius": radius}
    for name, latents in (("source", sources), ("target", targets)):
        distance = float((latents - generator.w_avg).flatten(1).norm(dim=1).mean())
        facts |= {f"{name}_to_w_avg": distance, f"{name}_to_w_avg_relative": distance / max(radius, 1e-12)}
    return facts
