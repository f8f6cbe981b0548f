"""Shared by all attacks: the person's pictures, and the best likeness so far."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from unlearnkit.errors import UnlearnkitError
from unlearnkit.interfaces import Attempt, Case
from unlearnkit.metrics.gallery import BATCH, front_images

__all__ = ["Trace", "erased_latents", "judged_on", "references"]


def erased_latents(case: Case) -> Tensor:
    """The latents of the person that the method erased: ``(E, num_ws, w_dim)``."""
    return case.person.latents[: case.person.n_erased].detach().to(case.evidence.frozen.w_avg)


def references(case: Case) -> Tensor:
    """The person's pictures ``(M, 3, H, W)``; without any, the original generator's image of each latent."""
    frozen = case.evidence.frozen
    if case.person.pictures is not None:
        return case.person.pictures.to(frozen.w_avg)
    return front_images(frozen, case.person.latents.to(frozen.w_avg))


def judged_on(pictures: Tensor) -> str:
    """In words, what a likeness to all these pictures ``(M, 3, H, W)`` refers to."""
    return f"all {len(pictures)} pictures of the person" if len(pictures) > 1 else "the person's picture"


class Trace:
    """Tracks the best likeness of one attempt, and the face that achieves it.

    Likeness is the judge's cosine similarity to a face, averaged over the person's ``pictures`` ``(R, 3, H, W)``; in
    [-1, 1].
    """

    def __init__(self, case: Case, pictures: Tensor) -> None:
        self._judge, self._border = case.evidence.judge, case.border
        with torch.no_grad():
            self._known = torch.cat([self._judge.embed(part) for part in pictures.split(BATCH)])
        self._points: list[tuple[int, float]] = []
        self._best, self._image = -math.inf, pictures[0]
        self._seen = self._recognised = 0

    @property
    def recognised(self) -> bool:
        """True once the judge has recognised the person."""
        return self._recognised > 0

    @torch.no_grad()
    def likeness(self, images: Tensor) -> Tensor:
        """Likeness ``(N,)`` of faces ``(N, 3, H, W)``."""
        similarities: Tensor = self._judge.embed(images) @ self._known.T
        return similarities.mean(1)

    def see(self, images: Tensor, efforts: Iterable[int]) -> None:
        """Record faces ``(N, 3, H, W)`` and the effort at which each was reached, in non-decreasing order."""
        for image, effort, likeness in zip(images.detach(), efforts, self.likeness(images).tolist(), strict=True):
            self._seen += 1
            self._recognised += self._border is not None and likeness >= self._border
            if likeness > self._best:  # False for NaN
                self._best, self._image = likeness, image.cpu()
                if self._points and self._points[-1][0] == effort:
                    self._points.pop()
                self._points.append((effort, likeness))

    def attempt(self, budget: int, sampled: bool = False) -> Attempt:
        """The result for the whole ``budget``; a share is only given if the faces were ``sampled``, not optimised.

        :raises UnlearnkitError: if no face had a finite likeness.
        """
        if not self._points:
            raise UnlearnkitError("the judge's similarity is not finite for any rendering; the generator is broken")
        end = [] if self._points[-1][0] == budget else [(budget, self._best)]
        share = None if self._border is None or not sampled else self._recognised / self._seen
        return Attempt((*self._points, *end), self._image, share)
