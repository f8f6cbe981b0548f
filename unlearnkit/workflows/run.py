"""A run: an experiment in a run directory, which can be interrupted and resumed bit for bit."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import attrs
import torch
from rich.console import Console
from torch import Tensor

from unlearnkit.config import Settings
from unlearnkit.edits.chain import Chain, open_chain
from unlearnkit.errors import Interrupted, RunError
from unlearnkit.files.atomic import sha256_file
from unlearnkit.files.keyed import new_key
from unlearnkit.files.plain import toml_bytes
from unlearnkit.interfaces import Generator, Progress
from unlearnkit.numbers import to_plain
from unlearnkit.ops import native
from unlearnkit.people.latents import load_people, save_people
from unlearnkit.plugins import registry
from unlearnkit.report import NUMBERS_FILE, write_report
from unlearnkit.report.show import show_people
from unlearnkit.report.worlds import mixed_sentence
from unlearnkit.runs import Run
from unlearnkit.streams import stream
from unlearnkit.work import handling
from unlearnkit.workflows.experiment import Experiment, load
from unlearnkit.workflows.preflight import check
from unlearnkit.workflows.progress import ProgressLine
from unlearnkit.workflows.targets import look_at_targets
from unlearnkit.workflows.write_back import doubt

__all__ = ["continue_run", "dry_run", "start_run"]

LATENTS, EDIT = "latents.safetensors", "edit.safetensors"


# ---------------------------------------------------------------- start, resume

def start_run(settings: Settings, out: Path | None, console: Console, kind: type[Run] = Run) -> Run:
    """Erase a person and write a run directory: ``out``, or a new one in ``runs/``.

    The folder is created only after the settings are checked, the networks loaded and the pictures read. ``kind`` is
    the class of run to return.

    :raises Interrupted: after a signal, once everything is saved. All other failures are UnlearnkitErrors too.
    """
    chain = _chain(settings)
    check(settings, chain, out)
    toml_bytes(settings.table())  # a path that no settings file can hold is told before networks are loaded
    with ProgressLine(console) as line:
        with line.task("loading networks"):
            experiment = load(settings, chain)
            doubtful = doubt(experiment)
        for note in (doubtful, mixed_sentence({"domains": settings.domains()})):
            if note:
                line.note(f"note: {note}")
        run = kind.create(out, settings.table(), _name(settings))
        run.update_manifest(write_back=doubtful)
        _finish(run, experiment, line)
    return run


def continue_run(folder: Path, console: Console, kind: type[Run] = Run) -> Run:
    """Resume an interrupted run from its last checkpoint; the result is bit-identical to an uninterrupted run.

    :raises RunError: if it is finished, written by another process, or its files have changed.
    """
    run = kind.open(folder, resume=True)
    with run, ProgressLine(console) as line:
        # The report reads the finished manifest, so after a kill between the two, the report is still missing.
        if run.manifest["status"] == "finished" and (run.path / "report.html").exists():
            run.clear_checkpoint()  # a kill after the report leaves it
            raise RunError(f"{folder} is finished; look at {folder / 'report.html'}, or start a new run")
        settings, unknown = run.settings, not (run.path / LATENTS).exists()
        chain = _chain(settings)
        check(settings, chain, pictures=unknown)
        with line.task("loading networks"):
            experiment = load(settings, chain, pictures=unknown)
        run.update_manifest(status="running")
        _finish(run, experiment, line)
    return run


def dry_run(settings: Settings, out: Path | None) -> str | None:
    """Run every check that :func:`start_run` does before it creates a folder; returns its note, see :func:`doubt`.

    :raises UnlearnkitError: as there; :class:`~unlearnkit.errors.Mistakes` if there are several.
    """
    chain = _chain(settings)
    check(settings, chain, out)
    toml_bytes(settings.table())
    return doubt(load(settings, chain))


def _name(settings: Settings) -> str:
    method = "none" if settings.method is None else settings.method.name
    return f"{method}-{settings.generator.name}"


def _chain(settings: Settings) -> Chain | None:
    """The earlier edits that the run is based on, or None."""
    return None if settings.base is None else open_chain(settings.base)


# ---------------------------------------------------------------- progress

class RunProgress(Progress):
    """Writes log and checkpoints of a run, shows a progress bar, and stops on request."""

    def __init__(self, run: Run, line: ProgressLine, save_every: float) -> None:
        self.run, self.line, self.saved, self.stop = run, line, time.monotonic(), False
        self.save_every = save_every

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The last checkpoint; the log is truncated to its step."""
        checkpoint = self.run.load_checkpoint()
        steps = 0 if checkpoint is None else int(checkpoint[1]["step"])
        self.run.truncate_log(steps)
        self.line.skip(steps)
        return checkpoint

    def due(self) -> bool:
        """True after a stop request, and every ``save_every`` seconds."""
        return self.stop or time.monotonic() - self.saved > self.save_every

    def save(self, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
        """Write a checkpoint, then stop if requested.

        :raises Interrupted: after saving, if a signal was received.
        """
        self.run.save_checkpoint(tensors, values)
        self.saved = time.monotonic()
        self.check()

    def step(self, index: int, total: int, terms: Mapping[str, float]) -> None:
        """Log one step, notify the plugins, advance the bar."""
        self.run.log(index, terms)
        registry().step_finished(self.run, index, terms)
        self.line.advance(index + 1, total, terms)

    def check(self) -> None:
        """Stop if a signal was received; unsaved work is redone on resume.

        :raises Interrupted: if so.
        """
        if self.stop:
            raise Interrupted(f"stopped; continue with: unlearnkit run --resume {self.run.path}")


def _stop_politely(progress: RunProgress) -> AbstractContextManager[None]:
    """Context manager in which SIGINT and SIGTERM make the run save and stop; a second one stops it immediately."""
    def ask(number: int, frame: Any) -> None:
        if progress.stop:
            raise KeyboardInterrupt
        progress.stop = True
        progress.line.note("stopping after this step; interrupt again to stop immediately")

    return handling((signal.SIGINT, signal.SIGTERM), ask)


# ---------------------------------------------------------------- the phases

def _finish(run: Run, experiment: Experiment, line: ProgressLine) -> None:
    """Run all phases after loading, and record the final status in the manifest."""
    progress = RunProgress(run, line, experiment.settings.save_every)
    with run:
        try:
            with _stop_politely(progress):
                kernels = dict(zip(("kernels", "instructions"), native.in_use(experiment.device.type), strict=True))
                source = experiment.parts.judge.levels_source
                run.update_manifest(**experiment.machine, **kernels, domains=experiment.settings.domains(),
                                    **({"levels_source": source} if source else {}))
                _execute(run, experiment, progress)
        except Interrupted:
            run.finish("interrupted")
            raise
        except KeyboardInterrupt:
            run.finish("interrupted")
            raise KeyboardInterrupt(f"stopped at once, what was not saved is done again; continue with: unlearnkit run "
                                    f"--resume {run.path}") from None
        except BaseException:
            run.finish("failed")
            raise


def _execute(run: Run, experiment: Experiment, progress: RunProgress) -> None:
    line = progress.line
    line.check = progress.check
    _check_base(run, experiment)
    with line.task("finding the latents"):
        _find_people(run, experiment)
    run.write_json(NUMBERS_FILE, to_plain(experiment.declared))
    if "target_look" not in run.manifest and (look := look_at_targets(experiment)):
        run.update_manifest(target_look={**attrs.asdict(look), "warning": look.warning})
        if look.warning:
            line.note(f"warning: {look.warning}")
    registry().run_started(run)
    experiment.unlearn(progress)
    progress.check()
    edit = run.path / EDIT
    changed = experiment.save_edit(edit)
    with line.stages("measuring", list(experiment.parts.metrics)) as starting:
        def begin(metric: str) -> None:
            progress.check()
            starting(metric)

        outcome = experiment.measure(begin)
        run.write_json("metrics.json", outcome.numbers)
    with line.task("drawing the report"), experiment.phase("report"):
        show_people(run, experiment.evidence, experiment.targets)
        steps = getattr(experiment.parts.method, "steps", None)
        run.finish("finished", timings=experiment.seconds, tensors_changed=changed, steps=steps,
                   edit=sha256_file(edit), metrics=sha256_file(run.path / "metrics.json"))
        write_report(run)
        registry().run_finished(run, outcome.numbers)
        run.clear_checkpoint()


def _find_people(run: Run, experiment: Experiment) -> None:
    """Compute people and targets once and save them, so that a resumed run uses the same bits."""
    path = run.path / LATENTS
    if path.exists():
        experiment.find_people(load_people(run.checked(LATENTS), experiment.device))
        run.record_hash(LATENTS)  # a kill may have come between the file and its hash
        return
    experiment.find_people()
    request = experiment.settings.request
    latents = [person.latent for person in request.erased if person.latent is not None]
    run.record_inputs([*request.pictures, *latents, *request.bystanders])
    run.update_manifest(distances=_distances(experiment.edited, experiment.request.erased, experiment.targets))
    save_people(path, experiment.request, experiment.targets)
    run.record_hash(LATENTS)


def _check_base(run: Run, experiment: Experiment) -> None:
    """Record the hashes of checkpoint and earlier edits at the start; refuse changed files on resume."""
    base, chain, manifest = experiment.edited.base, experiment.chain, run.manifest
    files = [(str(base.path), base.sha256, manifest["base"]["sha256"] if manifest.get("base") else None)]
    if chain is not None:
        links = manifest.get("chain") or [{"sha256": None}]
        files.append((str(chain.edit), chain.hashes[-1], links[-1]["sha256"]))
    for path, sha256, recorded in files:
        if recorded and sha256 != recorded:
            raise RunError(
                f"{path} is not the file this run started from (SHA-256 {recorded[:16]}...); "
                "put that file back, or start a new run"
            )
    run.update_manifest(base={"path": str(base.path), "format": base.format, "sha256": base.sha256})
    if chain is not None and not manifest.get("chain"):
        key = chain.key or run.key or new_key()
        run.update_manifest(chain=chain.tables(run.set_key(key)))


def _distances(generator: Generator, erased: Tensor, targets: Tensor) -> dict[str, float]:
    """Mean distance of erased latents and targets from w_avg (L2 over all elements), also relative to random ones."""
    random = generator.sample_latents(1000, stream(0, "distances"))
    with torch.no_grad():
        radius = float((random - generator.w_avg).flatten(1).norm(dim=1).mean())
    facts = {"mean_radius": radius}
    for name, latents in (("source", erased), ("target", targets)):
        distance = float((latents - generator.w_avg).flatten(1).norm(dim=1).mean())
        facts |= {f"{name}_to_w_avg": distance, f"{name}_to_w_avg_relative": distance / max(radius, 1e-12)}
    return facts
