"""What a method promises: it edits what may be edited, reports its steps, and resumes to the bit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import attrs
import torch
from torch import Tensor

from unlearnkit.config import build, nest
from unlearnkit.errors import Interrupted
from unlearnkit.interfaces import Component, Generator, Job, Method, Progress
from unlearnkit.plugins import registry
from unlearnkit.testing.expect import NotApplicable, expect, same_bits, snapshot, twice
from unlearnkit.testing.subject import Subject
from unlearnkit.testing.world import ToyGenerator, make_job

SEED = 11


@attrs.define(eq=False)
class Memory(Progress):
    """Asks to save at every step, keeps what is saved and reported, and stops after ``stop_after`` saves."""

    stop_after: int = 10**9
    kept: tuple[dict[str, Tensor], dict[str, Any]] | None = None
    saves: int = 0
    reported: list[tuple[int, int, dict[str, float]]] = attrs.field(factory=list)

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """What was saved last."""
        return None if self.kept is None else (snapshot(self.kept[0]), dict(self.kept[1]))

    def due(self) -> bool:
        """Always."""
        return True

    def save(self, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
        """Keep copies; stop where asked to."""
        self.kept, self.saves = (snapshot(tensors), dict(values)), self.saves + 1
        if self.saves >= self.stop_after:
            raise Interrupted("the check asks the method to stop")

    def step(self, index: int, total: int, terms: Mapping[str, float]) -> None:
        """Keep the report."""
        self.reported.append((index, total, dict(terms)))


def check_something_is_edited(subject: Subject) -> None:
    """A few steps change editable parameters, and leave them finite."""
    for made in subject.worlds():
        before = snapshot(made.module.state_dict())
        after = _run(subject, made).edited.module.state_dict()  # with the adapters that a method may add
        expect(not same_bits(before, dict(after)), "parameters that changed", "the same bits as before")
        bad = [name for name, value in after.items() if not value.isfinite().all()]
        expect(not bad, "finite parameters", f"NaN or infinity in {', '.join(bad[:4])}")


def check_only_editable_parameters_change(subject: Subject) -> None:
    """Nothing else in the network changes, nor anything in ``job.frozen``, erased and targets."""
    made = subject.world()
    free = set(made.editable_parameters())
    before = snapshot(made.module.state_dict())
    job = _job(subject, made)
    others = snapshot({"erased": job.erased, "targets": job.targets, **_named("frozen.", job.frozen)})
    subject.fresh().unlearn(job)
    state = made.module.state_dict()
    moved = [name for name in before if name not in free and not same_bits(before[name], state[name])]
    expect(not moved, "changes in editable parameters only", f"changes in {', '.join(moved[:4])}")
    now = {"erased": job.erased, "targets": job.targets, **_named("frozen.", job.frozen)}
    touched = [name for name in others if not same_bits(others[name], now[name])]
    expect(not touched, "job.frozen, erased and targets to stay", f"changes in {', '.join(touched[:4])}")


def check_several_people_at_once(subject: Subject) -> None:
    """A request of several people works like one of a single person."""
    after = _run(subject, subject.world(), people=3).edited.editable_parameters()
    expect(all(bool(value.isfinite().all()) for value in after.values()), "finite parameters", "NaN or infinity")


def check_the_seed_decides_everything(subject: Subject) -> None:
    """Two runs with one seed end in the same bits, whatever torch's global random numbers are."""
    runs = iter([(subject.fresh(), _job(subject, subject.world())) for _ in range(2)])

    def run() -> dict[str, Tensor]:
        method, job = next(runs)
        method.unlearn(job)
        return snapshot(job.edited.module.state_dict())

    first, second = twice(run)
    expect(same_bits(first, second), "two runs with the same seed to end in the same bits", "different ones")


def check_steps_are_reported(subject: Subject) -> None:
    """``progress.step`` is called after each step, in order, with finite plain numbers."""
    progress = Memory()
    _run(subject, subject.world(), progress=progress)
    if not progress.reported:
        raise NotApplicable("it reports no steps, which a method without a loop need not")
    indices, totals = [index for index, _, _ in progress.reported], {total for _, total, _ in progress.reported}
    expect(indices == list(range(len(indices))), "steps 0, 1, 2, ...", f"{indices[:5]}")
    fits = len(totals) == 1 and min(totals) >= len(indices)  # more, where a method may end early
    expect(fits, f"one total of at least {len(indices)} at each step", f"{sorted(totals)}")
    for name, value in progress.reported[-1][2].items():
        plain = isinstance(value, int | float) and math.isfinite(value)
        expect(plain, f"'{name}' to be a finite plain number", f"{value!r} of type {type(value).__name__}")


def check_resume_is_exact(subject: Subject) -> None:
    """Stopped at any save and resumed from there, a run ends in the same bits as one that was never stopped."""
    whole = Memory()
    wanted = snapshot(_run(subject, subject.world(), progress=whole).edited.module.state_dict())
    if whole.saves < 2:
        raise NotApplicable("it saves nothing before its end, so there is nothing to resume from")
    for stop in range(1, whole.saves):
        first = Memory(stop_after=stop)
        try:
            _run(subject, subject.world(), progress=first)
        except Interrupted:
            pass
        else:
            expect(False, "Interrupted, raised by progress.save, to end the run", "a run that goes on")
        # Another seed: every later random number must come from what was saved.
        second = Memory(kept=first.kept)
        ended = _run(subject, subject.world(), progress=second, seed=SEED + 1).edited.module.state_dict()
        expect(same_bits(wanted, dict(ended)), f"the same bits after a stop at save {stop} and a resume",
               "different ones")
        expect(len(second.reported) < len(whole.reported), "a resumed run to do the remaining steps only",
               f"{len(second.reported)} of {len(whole.reported)} steps again")


# ---------------------------------------------------------------- a run for a method

def _run(
    subject: Subject, made: Generator, people: int = 1, seed: int = SEED, progress: Progress | None = None
) -> Job:
    job = _job(subject, made, people, seed)
    if progress is not None:
        job.progress = progress
    subject.fresh().unlearn(job)
    return job


def _job(subject: Subject, made: Generator, people: int = 1, seed: int = SEED) -> Job:
    """A job with the losses and the target that the method asks for by name."""
    method: Method = subject.component
    frozen = type(made)() if isinstance(made, ToyGenerator) else subject.world()
    preset = {} if subject.component_class is not None else nest(subject.registration.preset)
    tables = preset.get("loss", {})
    losses = {name: _part("loss", name, tables.get(name, {})) for name in method.losses}
    job = make_job(made, frozen, losses, people, seed)
    if method.target is not None:
        job.selector = _part("target", method.target, preset.get("target", {}))
        job.selector.fit(job.erased, made, job.measures, torch.Generator().manual_seed(4))
        with torch.no_grad():
            job.targets = job.selector.select(job.erased, made, torch.Generator().manual_seed(3))
    return job


def _part(kind: str, name: str, preset: Mapping[str, Any]) -> Any:
    """A loss or a target selector as a run of this method would have it: with what its registration presets."""
    options = {key: value for key, value in preset.items() if key != "name"}
    part: Component = build(registry().component_class(kind, name), options, f"{kind}.{name}")
    part.prepare(torch.device("cpu"))
    return part


def _named(prefix: str, made: Generator) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in made.module.state_dict().items()}
