"""The attacker's objective: how renderings compare with the pictures they have, without the judge."""

from __future__ import annotations

from typing import ClassVar

import attrs
import torch
from torch import Tensor

from unlearnkit.config import option
from unlearnkit.interfaces import Attack, Case

__all__ = ["Guided", "Resemblance"]


@attrs.define(eq=False)
class Guided(Attack):
    """An attack that optimises renderings to resemble pictures; the unit of effort is an optimiser step."""

    unit: ClassVar[str] = "optimiser steps"

    steps: int = option(60, ge=1, unit="steps", help="optimiser steps")
    perceptual_weight: float = option(1.0, ge=0, help="weight of the perceptual distance to the pictures")
    pixel_weight: float = option(1.0, ge=0, help="weight of the mean absolute pixel difference")
    identity_weight: float = option(0.5, ge=0, help="weight of 1 - identity similarity, by the attacker's encoder")

    @property
    def budget(self) -> int:
        """Optimiser steps."""
        return self.steps


class Resemblance:
    """Weighted sum of perceptual distance, mean absolute pixel difference, and 1 - identity similarity.

    ``pictures`` ``(N, 3, H, W)``: image i is compared with picture i. Their features are computed once. Without an
    encoder for the attacker, the identity term is left out.
    """

    def __init__(self, case: Case, pictures: Tensor, weights: Guided) -> None:
        self._perceptual, self._identity, self._weights = case.evidence.perceptual, case.identity, weights
        self._pictures = pictures
        with torch.no_grad():
            self._features = self._perceptual.features(pictures)
            self._embedded = None if self._identity is None else self._identity.embed(pictures)

    def loss(self, images: Tensor, which: Tensor | None = None) -> Tensor:
        """One value per image ``(N,)``, differentiable; ``which``: the pictures ``(N,)`` to compare with, else all."""
        weights, at = self._weights, slice(None) if which is None else which
        total = weights.pixel_weight * (images - self._pictures[at]).abs().flatten(1).mean(1)
        if weights.perceptual_weight:
            known = [features[at] for features in self._features]
            distance = self._perceptual.distance(self._perceptual.features(images), known)
            total = total + weights.perceptual_weight * distance
        if self._identity is not None and self._embedded is not None and weights.identity_weight:
            alike = (self._identity.embed(images) * self._embedded[at]).sum(1)
            total = total + weights.identity_weight * (1 - alike)
        return total
