"""More ways to fine-tune a person back: over a grid of settings, and on nothing but other people."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import attrs
import torch
from torch import Tensor

from unlearnkit.attacks.relearning import Lesson, Setting, learn, stranger
from unlearnkit.attacks.resemblance import Guided, Resemblance
from unlearnkit.attacks.trace import Trace, erased_latents, judged_on, references
from unlearnkit.attacks.words import speedup
from unlearnkit.config import option
from unlearnkit.interfaces import Attempt, Case, Holds, Recovery
from unlearnkit.metrics.gallery import front_images

__all__ = ["BenignRelearning", "RelearningGrid"]

_JITTER = 0.1
"""How far an attacker's own inversions lie from ours, in standard deviations of the latents; for seeds above 0."""

_SOME: Any = attrs.validators.min_len(1)


@attrs.frozen
class _Cell:
    """One setting of the grid."""

    setting: Setting
    pictures: int
    seed: int

    @property
    def words(self) -> str:
        """``adam, learning rate 0.001, 1 picture, style layers, seed 0``."""
        setting = self.setting
        part = "style layers" if setting.styles_only else "all layers"
        several = "" if self.pictures == 1 else "s"
        return (f"{setting.optimiser}, learning rate {setting.learning_rate:g}, {self.pictures} picture{several}, "
                f"{part}, seed {self.seed}")


@attrs.define(eq=False)
class RelearningGrid(Guided):
    """Relearning with every combination of settings; the worst for the edit is the result, and the remark names it.

    How durable an edit is hangs on the settings of the attack (Qi et al., arXiv 2412.07097), so one setting shows
    little. Each combination runs until the judge recognises the person, on the edited generator and on the floor of
    ``relearning``. The worst is the one with the largest speedup over its floor, then with the fewest steps. All are
    judged on the same pictures: those that none of them sees, if the person has as many.
    """

    holds: ClassVar[Holds] = Holds(photo=True, encoder=True, compute="training")
    control: ClassVar[str] = "floor"
    control_is: ClassVar[str] = "the original generator learns the same pictures where it shows a stranger"
    quick: ClassVar[Mapping[str, Any]] = MappingProxyType(
        {"steps": 6, "pictures": [1], "learning_rates": [3e-4, 1e-3, 3e-3]})

    steps: int = option(30, ge=1, unit="steps", help="optimiser steps of each combination")
    learning_rates: list[float] = option([2e-4, 1e-3], gt=0, validator=_SOME,
                                         help="Adam's learning rates; SGD's are 100 times as large")
    optimisers: list[str] = option(["adam", "sgd"], choices=("adam", "sgd"), validator=_SOME, help="optimisers")
    pictures: list[int] = option([1, 3], ge=1, validator=_SOME,
                                 help="numbers of pictures the attacker has; each step takes the next one")
    parts: list[str] = option(["all", "styles"], choices=("all", "styles"), validator=_SOME,
                              help="what is trained: all, or the style layers alone")
    seeds: list[int] = option([0], ge=0, validator=_SOME,
                              help="seeds of the error of the attacker's own inversions; 0: no error")

    def attack(self, case: Case) -> Recovery:
        """Try every combination on copies of the edited and of the original generator."""
        pictures = references(case)
        most = min(max(self.pictures), len(pictures))
        unseen = pictures[most:] if len(pictures) > most else pictures
        cells = self._cells(case, len(pictures))
        tried = [(cell, *self._both(case, cell, pictures, unseen, (2 * place, 2 * len(cells))))
                 for place, cell in enumerate(cells)]
        cell, edited, control = max(tried, key=lambda one: self._ease(case, *one[1:]))
        found = sum(_effort(case, edited) is not None for _, edited, _ in tried)
        held_out = f"{len(unseen)} pictures that none was fine-tuned on"
        judged = held_out if len(pictures) > most else judged_on(pictures)
        remark = f"Worst of {len(tried)} settings: {cell.words}. The person comes back in {found} of them."
        return Recovery(edited, control, judged, remark)

    def _cells(self, case: Case, available: int) -> list[_Cell]:
        """Combinations without those that are the same here: too few pictures, no style layers."""
        parts = self.parts if case.evidence.edited.style_layers() else ["all"]
        counts = [min(count, available) for count in self.pictures]
        axes = (self.learning_rates, self.optimisers, parts, counts, self.seeds)
        return list(dict.fromkeys(
            _Cell(Setting(rate, optimiser, part == "styles"), count, seed)
            for rate, optimiser, part, count, seed in itertools.product(*axes)
        ))

    def _both(
        self, case: Case, cell: _Cell, pictures: Tensor, unseen: Tensor, part: tuple[int, int]
    ) -> tuple[Attempt, Attempt]:
        """The attempts on the edited and on the original generator: ``part`` of all trainings, and the next one."""
        evidence = case.evidence
        latents = case.person.latents[: cell.pictures].detach().to(evidence.frozen.w_avg)
        if cell.seed:
            rng = evidence.stream("attack/relearning-grid", cell.seed)
            spread = (evidence.random_latents(200, rng) - evidence.frozen.w_avg).square().mean().sqrt()
            latents = latents + _JITTER * spread * torch.randn(latents.shape, generator=rng).to(latents)
        elsewhere = stranger(case) + latents - latents[:1]
        lesson = Resemblance(case, pictures[: cell.pictures], self)
        edited, control = (
            learn(case, generator, Lesson(start, lesson, batch=1), Trace(case, unseen), self.steps, cell.setting,
                  early=True, part=(part[0] + second, part[1]))
            for second, (generator, start) in enumerate(((evidence.edited, latents), (evidence.frozen, elsewhere)))
        )
        return edited, control

    def _ease(self, case: Case, edited: Attempt, control: Attempt) -> tuple[float, float, float]:
        effort = _effort(case, edited)
        ratio = 0.0 if effort is None else speedup(effort, _effort(case, control), self.steps)[0] or 0.0
        return ratio, -float(self.steps + 1 if effort is None else effort), edited.points[-1][1]


def _effort(case: Case, attempt: Attempt) -> int | None:
    return next((effort for effort, best in attempt.points if case.border is not None and best >= case.border), None)


@attrs.define(eq=False)
class BenignRelearning(Guided):
    """Fine-tunes on other people alone, as any later user would, and watches whether the person comes back.

    A language model's forgetting can be undone by fine-tuning on what was kept (arXiv 2505.22310). The others are the
    bystanders, with their pictures, or people whom the original generator draws. The control, a floor, fine-tunes the
    original generator on the same pictures and looks where it shows a stranger.
    """

    holds: ClassVar[Holds] = Holds(photo=True, encoder=True, compute="training")
    control: ClassVar[str] = "floor"
    control_is: ClassVar[str] = "the original generator, fine-tuned likewise, where it shows a stranger"
    quick: ClassVar[Mapping[str, Any]] = MappingProxyType({"steps": 15})

    people: int = option(16, ge=1, help="other people: bystanders first, then drawn ones")
    batch: int = option(2, ge=1, help="pictures in a step")
    learning_rate: float = option(1e-3, gt=0, help="Adam's learning rate")

    def attack(self, case: Case) -> Recovery:
        """Fine-tune copies of the edited and of the original generator."""
        evidence, pictures = case.evidence, references(case)
        latents, shown = self._others(case)
        resemblance = Resemblance(case, shown, self)
        edited, control = (
            learn(case, generator, Lesson(latents, resemblance, watched, self.batch), Trace(case, pictures), self.steps,
                  Setting(self.learning_rate))
            for generator, watched in ((evidence.edited, erased_latents(case)), (evidence.frozen, stranger(case)))
        )
        return Recovery(edited, control, judged_on(pictures))

    def _others(self, case: Case) -> tuple[Tensor, Tensor]:
        """Latents of other people and their pictures."""
        evidence = case.evidence
        drawn = evidence.random_latents(self.people, evidence.stream("attack/benign-relearning"))
        latents = torch.cat([*(person.latents.to(drawn) for person in evidence.request.bystanders), drawn])
        known = [front_images(evidence.frozen, person.latents.to(drawn)) if person.pictures is None
                 else person.pictures.to(drawn) for person in evidence.request.bystanders]
        pictures = torch.cat([*known, front_images(evidence.frozen, drawn)])
        return latents[: self.people], pictures[: self.people]
