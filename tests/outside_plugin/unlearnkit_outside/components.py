"""A target selector, a loss and a method, each with options."""

import attrs
import torch
from torch import Tensor

from unlearnkit.config import option
from unlearnkit.interfaces import (
    Generator,
    Job,
    Loss,
    Measures,
    Method,
    Pairs,
    Rendering,
    Step,
    TargetSelector,
)


@attrs.define(eq=False)
class Shift(TargetSelector):
    """The source, moved."""

    distance: float = option(1.0, gt=0, unit="latent units", help="how far to move")
    direction: str = option("up", choices=("up", "down"), help="which way to move")

    def select(self, erased: Tensor, generator: Generator, rng: torch.Generator) -> Tensor:
        return erased + (self.distance if self.direction == "up" else -self.distance)


@attrs.define(eq=False)
class Pixels(Loss):
    """Source shall look like target, pixel by pixel."""

    weight: float = option(1.0, ge=0, help="weight in the sum")

    def pairs(self, step: Step) -> Pairs:
        return step.pairs(step.erased, step.targets, constant=True)

    def terms(self, edited: Rendering, frozen: Rendering, measures: Measures) -> dict[str, Tensor]:
        return {"pixels": (edited.image - frozen.image).square().mean((1, 2, 3))}

    def weights(self) -> dict[str, float]:
        return {"pixels": self.weight}


@attrs.define(eq=False)
class Nudge(Method):
    """No loop: all parameters move by a little."""

    losses = ("outside-pixels",)
    target = "outside-shift"

    amount: float = option(0.01, help="what is added to every parameter")
    steps: int = option(1, ge=1, unit="steps", help="how often")

    tuning = ({"method.amount": (0.001, 0.01)},)

    def unlearn(self, job: Job) -> None:
        with torch.no_grad():
            for parameter in job.edited.editable_parameters().values():
                parameter.add_(self.amount * self.steps)
        for index in range(self.steps):
            job.progress.step(index, self.steps, {"total": 0.0})
