"""Relearning: fine-tunes the edited generator on a few pictures of the person, and measures how fast they come back."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import attrs
import torch
from torch import Tensor

from unlearnkit.attacks.resemblance import Guided, Resemblance
from unlearnkit.attacks.trace import Trace, erased_latents, references
from unlearnkit.config import option
from unlearnkit.interfaces import Attempt, Case, Generator, Holds, Recovery
from unlearnkit.metrics.gallery import front_images
from unlearnkit.ticks import tick

__all__ = ["Lesson", "Relearning", "Setting", "learn", "stranger"]

_STRANGERS = 16
"""Random people to choose a stranger from."""


@attrs.define(eq=False)
class Relearning(Guided):
    """Adam on the weights of the edited generator, until its erased latent shows the person again.

    The attacker has the first k ``pictures`` and their latents. The control is the floor: the **original** generator
    learns the same pictures, with the same optimiser, at latents where it shows somebody else. The comparison is fair
    because both start from a stranger's face, if possible the same one (the request's target, which the edit maps the
    erased latent to), and both must learn the person's face at that latent. Only one of them was trained to forget it.
    If the edited generator is faster, the person is still in its weights and the edit only hides them; if it needs as
    many steps, they are as forgotten as somebody who was never there.

    If the person has more than k pictures, likeness is measured on the held-out ones, so that memorising a picture does
    not count as recovering the person. Fine-tuning happens on copies of the generators.
    """

    holds: ClassVar[Holds] = Holds(photo=True, encoder=True, compute="training")
    control: ClassVar[str] = "floor"
    control_is: ClassVar[str] = "the original generator learns the same pictures where it shows a stranger"
    quick: ClassVar[Mapping[str, Any]] = MappingProxyType({"steps": 24})

    pictures: int = option(1, ge=1, help="number of pictures the attacker has (k)")
    learning_rate: float = option(2e-4, gt=0, le=1e3, help="Adam's learning rate")

    def attack(self, case: Case) -> Recovery:
        """Fine-tune a copy of the edited generator, then one of the original."""
        evidence = case.evidence
        pictures = references(case)
        k = min(self.pictures, len(pictures))
        unseen = pictures[k:] if len(pictures) > k else pictures
        latents = case.person.latents[:k].detach().to(evidence.frozen.w_avg)
        # The stranger's latents have the same relative positions as the person's.
        elsewhere = stranger(case) + latents - latents[:1]
        resemblance = Resemblance(case, pictures[:k], self)
        edited, control = (
            learn(case, generator, Lesson(start, resemblance), Trace(case, unseen), self.steps,
                  Setting(self.learning_rate))
            for generator, start in ((evidence.edited, latents), (evidence.frozen, elsewhere))
        )
        held_out = f"{len(unseen)} pictures that it was not fine-tuned on"
        judged = held_out if len(pictures) > k else "the fine-tuned pictures"
        return Recovery(edited, control, judged)


@attrs.frozen
class Setting:
    """How a generator is fine-tuned; ``styles_only``: the style layers alone."""

    learning_rate: float
    optimiser: str = "adam"
    styles_only: bool = False

    def parameters(self, generator: Generator) -> list[torch.nn.Parameter]:
        """The parameters of ``generator`` that are trained."""
        layers = generator.style_layers() if self.styles_only else []
        styles = [parameter for layer in layers for parameter in (layer.weight, layer.bias)]
        return styles or list(generator.editable_parameters().values())

    def make(self, parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """The optimiser; SGD has Nesterov's momentum, and a learning rate 100 times as large."""
        if self.optimiser == "sgd":
            return torch.optim.SGD(parameters, lr=100 * self.learning_rate, momentum=0.9, nesterov=True)
        return torch.optim.Adam(parameters, lr=self.learning_rate)


@attrs.frozen(eq=False)
class Lesson:
    """What is taught: ``latents`` ``(N, num_ws, w_dim)`` shall show pictures; ``resemblance`` compares with those.

    * ``watched``: the latents at which the person is looked for; None: the taught ones
    * ``batch``: how many pictures a step takes, in turn; None: all
    """

    latents: Tensor
    resemblance: Resemblance
    watched: Tensor | None = None
    batch: int | None = None


def learn(
    case: Case, generator: Generator, lesson: Lesson, trace: Trace, steps: int, setting: Setting, early: bool = False,
    part: tuple[int, int] = (0, 1),
) -> Attempt:
    """Fine-tune a copy of ``generator``, and look for the person before each of ``steps`` steps and at the end.

    * ``early``: stop as soon as the judge recognises the person; the curve then stays where it is
    * ``part``: number and count of the trainings that belong together, from 0, for the progress
    """
    learner = copy.deepcopy(generator)
    learner.module.requires_grad_(False)
    parameters = setting.parameters(learner)
    for parameter in parameters:
        parameter.requires_grad_(True)
    optimiser, taught = setting.make(parameters), lesson.latents
    watched = taught if lesson.watched is None else lesson.watched
    for step in range(steps):
        tick(part[0] * steps + step, part[1] * steps)
        which = torch.arange(len(taught) if lesson.batch is None else min(lesson.batch, len(taught)))
        which = ((which + step * len(which)) % len(taught)).to(taught.device)
        images = learner.render_front(taught[which])
        shown = images if lesson.watched is None else front_images(learner, watched)
        trace.see(shown, [step] * len(shown))
        if early and trace.recognised:
            return trace.attempt(steps)
        optimiser.zero_grad(set_to_none=True)
        lesson.resemblance.loss(images, which).mean().backward()
        optimiser.step()
    trace.see(front_images(learner, watched), [steps] * len(watched))
    return trace.attempt(steps)


def stranger(case: Case) -> Tensor:
    """A latent ``(1, num_ws, w_dim)`` at which the original generator shows somebody else.

    The request's target unless the judge recognises the person in it; otherwise, of a few random people, the one with
    the median likeness to the person.
    """
    frozen = case.evidence.frozen
    trace = Trace(case, references(case))
    if case.target is not None and not torch.equal(case.target.to(frozen.w_avg), erased_latents(case)[:1]):
        target = case.target.detach().to(frozen.w_avg)
        if case.border is None or float(trace.likeness(front_images(frozen, target))) < case.border:
            return target
    random = case.evidence.random_latents(_STRANGERS, case.evidence.stream("attack/stranger"))
    likeness = trace.likeness(front_images(frozen, random))
    return random[likeness.argsort(stable=True)[_STRANGERS // 2]][None]
