"""The three losses of lethe: erase the person, erase whom a search finds instead, keep everybody else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import attrs
import torch
from torch import Tensor

from unlearnkit.config import option
from unlearnkit.engine import micro_batch_size
from unlearnkit.interfaces import Job, Loss, Measures, Pairs, Rendering, Step
from unlearnkit_lethe.targets import spread, strangers_level

__all__ = ["Erase", "Keep", "Seek"]

_FLAT = 1e-4
"""Likeness per latent unit below which a slope is rounding: at the erased latent itself, before anything is edited."""


@attrs.define(eq=False)
class Unrecognised(Loss):
    """``perceptual * P(images) + recognised * max(0, similarity to the erased - strangers' level)``."""

    perceptual: float = option(0.3, help="weight of the perceptual distance", ge=0.0)
    recognised: float = option(4.0, help="weight of being recognised as somebody to be erased", ge=0.0)
    faces: Tensor = attrs.field(init=False, repr=False)  # (P, D), of those to be erased
    level: float = attrs.field(init=False, repr=False)

    def begin(self, job: Job) -> None:
        """See the faces to be erased, as the frozen generator draws them."""
        with torch.no_grad():
            self.faces = job.measures.embed(job.frozen.render_front(job.erased))
        self.level = strangers_level(job.measures.identity)

    def weights(self) -> dict[str, float]:
        """The two weights by name."""
        return {"perceptual": self.perceptual, "recognised": self.recognised}

    def terms(self, edited: Rendering, frozen: Rendering, measures: Measures) -> dict[str, Tensor]:
        """The two distances, each ``(N,)``."""
        return {
            "perceptual": measures.perceptual_distance(edited, frozen),
            "recognised": (self.likeness(edited, measures) - self.level).clamp_min(0),
        }

    def likeness(self, edited: Rendering, measures: Measures) -> Tensor:
        """Similarity ``(N,)`` to whomever to be erased it is most like."""
        return (measures.embed(edited.image) @ self.faces.T).amax(1)


@attrs.define(eq=False)
class Erase(Unrecognised):
    """The erased latent, and random ones near it, render as the target, shifted alike, and are not recognised."""

    samples: int = option(2, help="neighbours per step and erased latent", ge=1)
    alpha_max: float = option(15.0, help="maximum distance of a neighbour", unit="latent units", gt=0.0)

    def pairs(self, step: Step) -> Pairs:
        """``1 + samples`` pairs per erased latent: itself, then neighbours that are drawn anew at every step."""
        erased, targets = (one.repeat_interleave(self.samples, 0) for one in (step.erased, step.targets))
        alpha = self.alpha_max * torch.rand(len(erased), generator=step.rng).to(erased.device, non_blocking=True)
        delta = alpha[:, None, None] * step.directions(erased)
        return step.pairs(torch.cat([step.erased, erased + delta]), torch.cat([step.targets, targets + delta]))


class Turn:
    """Some latents of each pool ``(P, pool, num_ws, w_dim)``, and which way from there the likeness grows.

    * ``whose``: indices of pool and latent, ``(P, 1)`` and ``(P, samples)``
    * ``latents``, ``uphill``: ``(P * samples, num_ws, w_dim)``
    """

    def __init__(self, pools: Tensor, samples: int, rng: torch.Generator) -> None:
        people, size = pools.shape[:2]
        taken = torch.stack([torch.randperm(size, generator=rng)[:samples] for _ in range(people)])
        self.whose = torch.arange(people)[:, None].to(pools.device), taken.to(pools.device)
        self.latents = pools[self.whose].flatten(0, 1).requires_grad_(True)
        self.uphill = torch.zeros_like(self.latents)

    def look(self, likeness: Tensor) -> None:
        """Add the gradient of ``likeness`` ``(n,)``, of some of the latents; their graph stays for the step's own."""
        if likeness.requires_grad:
            (uphill,) = torch.autograd.grad(likeness.sum(), self.latents, retain_graph=True, materialize_grads=True)
            self.uphill = self.uphill + uphill


@attrs.define(eq=False)
class Seek(Unrecognised):
    """Latents that are on a search for the person render as whom they started from, and are not recognised.

    A pool per erased latent: random people and the mean face, pulled to the erased identity on the frozen generator
    by Adam, one row for all layers; and the erased latent itself. (Whoever has a photo searches from the mean face,
    or from where an encoder sees the person.) Each step takes ``samples`` of them, and their similarity's gradient,
    which the step's own graph gives, moves them ``climb`` further up for their next turn: they keep searching the
    generator as it is by then ("free" adversarial training, Shafahi et al., NeurIPS 2019, on latents instead of
    pictures).
    """

    perceptual: float = option(0.1, help="weight of the perceptual distance", ge=0.0)
    samples: int = option(3, help="of the pool per step and erased latent", ge=1)
    pool: int = option(16, help="random latents on a search, per erased latent", ge=1, le=10_000)
    pull_steps: int = option(15, help="steps that pull a random latent to the person beforehand", ge=0, le=10_000)
    pull: float = option(0.1, help="Adam's learning rate of these", unit="standard deviations of the latents", gt=0.0)
    climb: float = option(4.0, help="how far a latent moves on after its turn", unit="latent units", ge=0.0)
    restart: int = option(10, help="one latent of each pool starts again every so many steps", ge=1)
    _origins: Tensor = attrs.field(init=False, repr=False)  # (P, 2 + pool, num_ws, w_dim), as the next two
    _starts: Tensor = attrs.field(init=False, repr=False)
    _now: Tensor = attrs.field(init=False, repr=False)
    _turn: Turn | None = attrs.field(init=False, default=None, repr=False)

    def begin(self, job: Job) -> None:
        """Draw the pools and pull each latent to its person on the frozen generator."""
        Unrecognised.begin(self, job)
        people = len(job.erased)
        drawn = job.random_latents(people * self.pool, job.stream("lethe/pool")).unflatten(0, (people, -1))
        drawn = torch.cat([job.frozen.w_avg.detach().expand_as(drawn[:, :1]), drawn], 1)
        faces = self.faces.repeat_interleave(drawn.shape[1], 0)
        scale, size = spread(job.frozen), micro_batch_size(job.device, job.frozen.resolution, len(faces))
        parts = zip(drawn.flatten(0, 1).split(size), faces.split(size), strict=True)
        pulled = torch.cat([self._pull(*part, scale, job) for part in parts]).view_as(drawn)
        self._origins = torch.cat([job.targets[:, None], drawn], 1)
        self._starts = torch.cat([job.erased[:, None], pulled], 1)
        self._now, self._turn = self._starts.clone(), None

    def pairs(self, step: Step) -> Pairs:
        """``samples`` of each erased latent's pool, to be rendered as whom they started from."""
        self._climb()
        if step.index % self.restart == 0:
            again = step.index // self.restart % self._now.shape[1]
            self._now[:, again] = self._starts[:, again]
        self._turn = turn = Turn(self._now, self.samples, step.rng)
        return step.pairs(turn.latents, self._origins[turn.whose].flatten(0, 1))

    def likeness(self, edited: Rendering, measures: Measures) -> Tensor:
        """Similarity ``(N,)``, as of any of these losses; remembers which way it grows."""
        likeness = Unrecognised.likeness(self, edited, measures)
        if self._turn is not None:
            self._turn.look(likeness)
        return likeness

    def memory(self) -> dict[str, Tensor]:
        """Where the searches are."""
        self._climb()
        return {"now": self._now}

    def recall(self, memory: Mapping[str, Tensor]) -> None:
        """Go on from there."""
        self._now, self._turn = memory["now"].to(self._now, copy=True), None

    def _climb(self) -> None:
        """Move the latents of the last turn on, all rows alike."""
        if self._turn is not None:
            uphill = self._turn.uphill.mean(1, keepdim=True).expand_as(self._turn.uphill)
            length = uphill.flatten(1).norm(dim=1).clamp_min(_FLAT)[:, None, None]
            moved = self._now[self._turn.whose] + self.climb * (uphill / length).unflatten(0, (len(self._now), -1))
            self._now[self._turn.whose], self._turn = moved, None

    def _pull(self, latents: Tensor, faces: Tensor, scale: float, job: Job) -> Tensor:
        offset = torch.zeros_like(latents[:, :1], requires_grad=True)
        adam = torch.optim.Adam([offset], lr=self.pull)
        for _ in range(self.pull_steps):
            likeness = (job.measures.embed(job.frozen.render_front(latents + scale * offset)) * faces).sum(1)
            (uphill,) = torch.autograd.grad(likeness.sum(), [offset])
            offset.grad = -uphill
            adam.step()
        return (latents + scale * offset).detach()


@attrs.define(eq=False)
class Keep(Loss):
    """``weight * (P(images) + identity * (1 - similarity))`` at random people and at mixtures of two.

    Bystanders are photos inverted into W+, whose rows differ; random people alone would not stand in for them.
    """

    retains: ClassVar[bool] = True
    samples: int = option(7, help="latents per step", ge=1)
    mixtures: int = option(3, help="of these, how many are mixtures of two random people", ge=0)
    mixing: float = option(0.6, help="largest share of the second person in a row of a mixture", ge=0.0, le=1.0)
    weight: float = option(10.0, help="weight of both terms", ge=0.0)
    identity: float = option(0.5, help="weight of 1 - identity similarity beside the perceptual distance", ge=0.0)

    def pairs(self, step: Step) -> Pairs:
        """``samples`` latents, each paired with itself."""
        latents, others = step.random_latents(self.samples), step.random_latents(self.samples)
        share = self.mixing * torch.rand(*latents.shape[:2], 1, generator=step.rng)
        share[: max(0, self.samples - self.mixtures)] = 0.0
        latents = latents + share.to(latents) * (others - latents)
        return step.pairs(latents, latents)

    def weights(self) -> dict[str, float]:
        """The two weights by name."""
        return {"perceptual": self.weight, "identity": self.weight * self.identity}

    def terms(self, edited: Rendering, frozen: Rendering, measures: Measures) -> dict[str, Tensor]:
        """The two distances, each ``(N,)``."""
        return {
            "perceptual": measures.perceptual_distance(edited, frozen),
            "identity": 1 - measures.identity_similarity(edited, frozen),
        }
