"""Re-inversion that stays where faces are likely: how unlikely a latent brings the person back?"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import attrs
import torch
from torch import Tensor
from torch.nn.functional import leaky_relu

from unlearnkit.attacks.resemblance import Guided, Resemblance
from unlearnkit.attacks.trace import Trace, erased_latents, judged_on, references
from unlearnkit.config import option
from unlearnkit.interfaces import Attempt, Case, Evidence, Generator, Holds, Recovery
from unlearnkit.ticks import tick

__all__ = ["Likelihood", "ReinversionBounded"]

_SAMPLES = 2000
_FLOOR = 1e-3
"""Least standard deviation of a direction, relative to the largest: directions in which no latent varies have none."""


class Likelihood:
    """The space P_N+ (Zhu et al., arXiv 2012.09036, section 3.1), in which random latents are about normal.

    Undoing the last leaky ReLU of the mapping network (``Generator.latent_slope``) gives P; whitening P by the mean and
    covariance of random latents gives P_N, and one such row for each layer P_N+. The radius of a latent is the root of
    the mean square of its coordinates there, the Mahalanobis distance divided by that of a typical random latent: about
    1 for those.
    """

    def __init__(self, latents: Tensor, slope: float) -> None:
        """Measure mean and covariance of random ``latents`` ``(N, num_ws, w_dim)``, whose rows are one distribution.

        ``slope``: of the leaky ReLU that the latents went through, 1 for none.
        """
        self._slope = slope
        rows = leaky_relu(latents[:, 0].cpu().double(), 1 / slope)
        self._mean = rows.mean(0)
        values, self._axes = torch.linalg.eigh(torch.cov(rows.T))
        deviations = values.clamp_min(0).sqrt()
        self._deviations = deviations.clamp_min(_FLOOR * deviations.max().clamp_min(1e-12))

    def whiten(self, latents: Tensor) -> Tensor:
        """Latents ``(N, L, w_dim)`` -> P_N+ ``(N, L, w_dim)``."""
        straight = leaky_relu(latents.cpu().double(), 1 / self._slope)
        return ((straight - self._mean) @ self._axes / self._deviations).to(latents)

    def colour(self, points: Tensor) -> Tensor:
        """P_N+ ``(N, L, w_dim)`` -> latents: the inverse of :meth:`whiten`, differentiable."""
        axes, deviations, mean = (part.to(points) for part in (self._axes, self._deviations, self._mean))
        return leaky_relu((points * deviations) @ axes.T + mean, self._slope)

    @staticmethod
    def radius(points: Tensor) -> Tensor:
        """The radius of points ``(N, L, w_dim)`` in P_N+: ``(N,)``."""
        return points.square().flatten(1).mean(1).sqrt()


@attrs.define(eq=False)
class ReinversionBounded(Guided):
    """The search of ``reinversion-w-plus`` inside a ball of likely latents, and how large that ball has to be.

    W+ holds a likeness of almost anybody somewhere (arXiv 1904.03189), so an unbounded search shows little. Here
    latents move in P_N+, and after each step every latent outside its ball is drawn back onto it. The unit of effort is
    the radius of the ball, in per cent of the radius inside which 95 % of the bystanders' own inversions lie: their
    latents if the request has at least three inverted ones, otherwise random people stand in, and the remark says so.
    For each of ``radii`` one search starts from the erased latent and ``starts`` from random ones, all at once.

    The control, a ceiling, is the same search in the original generator.
    """

    holds: ClassVar[Holds] = Holds(photo=True, encoder=True, compute="search")
    unit: ClassVar[str] = "per cent of the bystanders' radius"
    control: ClassVar[str] = "ceiling"
    control_is: ClassVar[str] = "the same search in the original generator"
    quick: ClassVar[Mapping[str, Any]] = MappingProxyType({"steps": 15, "radii": [50, 100], "starts": 0})

    learning_rate: float = option(0.05, gt=0, unit="standard deviations of P_N", help="Adam's learning rate")
    radii: list[int] = option([25, 50, 75, 100], ge=1, le=1000, unit="per cent", help="radii, of the bystanders' one",
                              validator=attrs.validators.min_len(1))
    starts: int = option(1, ge=0, le=100, help="random starts of each radius, beside the erased latent")

    @property
    def budget(self) -> int:
        """The largest radius."""
        return max(self.radii)

    def attack(self, case: Case) -> Recovery:
        """Search the edited generator, then the original one."""
        evidence, pictures = case.evidence, references(case)
        random = evidence.random_latents(_SAMPLES, evidence.stream("attack/reinversion-bounded"))
        space = Likelihood(random, evidence.frozen.latent_slope)
        bound, whose = _bystanders_radius(evidence, space, random)
        own = float(space.radius(space.whiten(erased_latents(case)[:1])))
        edited, control = (self._search(case, generator, space, bound, random)
                           for generator in (evidence.edited, evidence.frozen))
        remark = (f"The radius is {bound:.2f} ({whose}; a typical random latent: 1); the person's own latent lies at "
                  f"{100 * own / bound:.0f} % of it.")
        return Recovery(edited, control, judged_on(pictures), remark)

    def _search(self, case: Case, generator: Generator, space: Likelihood, bound: float, random: Tensor) -> Attempt:
        pictures, radii, each = references(case), sorted(set(self.radii)), 1 + self.starts
        starts = torch.cat([erased_latents(case)[:1], random[: self.starts]]).repeat(len(radii), 1, 1)
        limit = (bound / 100 * torch.tensor(radii).to(starts)).repeat_interleave(each)
        resemblance = Resemblance(case, pictures[:1].expand(len(starts), -1, -1, -1), self)
        points = _inside(space.whiten(starts), limit).requires_grad_(True)
        adam = torch.optim.Adam([points], lr=self.learning_rate)
        traces = [Trace(case, pictures) for _ in radii]
        for step in range(self.steps + 1):
            tick(step, self.steps + 1)
            images = generator.render_front(space.colour(points))
            for trace, part in zip(traces, images.split(each), strict=True):
                trace.see(part, [step] * each)
            if step < self.steps:
                (points.grad,) = torch.autograd.grad(resemblance.loss(images).sum(), [points])
                adam.step()
                with torch.no_grad():
                    points.copy_(_inside(points, limit))
        return _by_radius(dict(zip(radii, (trace.attempt(self.steps) for trace in traces), strict=True)))


def _by_radius(attempts: Mapping[int, Attempt]) -> Attempt:
    """The best likeness as a function of the radius; a larger ball holds the smaller ones."""
    points: list[tuple[int, float]] = []
    image = next(iter(attempts.values())).image
    for radius, attempt in attempts.items():
        best = attempt.points[-1][1]
        if points and best <= points[-1][1]:
            best = points[-1][1]
        else:
            image = attempt.image
        points.append((radius, best))
    return Attempt(tuple(points), image)


def _inside(points: Tensor, limit: Tensor) -> Tensor:
    """Points ``(N, L, w_dim)`` drawn back to radii ``limit`` ``(N,)``."""
    return points * (limit / Likelihood.radius(points).clamp_min(1e-12)).clamp_max(1.0)[:, None, None]


def _bystanders_radius(evidence: Evidence, space: Likelihood, random: Tensor) -> tuple[float, str]:
    """The radius inside which 95 % of the bystanders' latents lie, and whose latents those are, in words."""
    inverted = [person.latents.to(random) for person in evidence.request.bystanders if person.pictures is not None]
    latents = torch.cat(inverted) if inverted else random
    if len(latents) < 3:
        latents = random
    whose = f"{len(latents)} random people" if latents is random else f"{len(latents)} pictures of bystanders, inverted"
    return float(space.radius(space.whiten(latents)).quantile(0.95)), f"95 % of {whose}"
