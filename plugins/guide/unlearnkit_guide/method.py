"""The method ``guide``: the UFO target and three losses, minimised with Adam over the synthesis network."""

from __future__ import annotations

import attrs

from unlearnkit.config import option
from unlearnkit.engine import PairLoop

__all__ = ["Guide"]


@attrs.define(eq=False)
class Guide(PairLoop):
    """``L = L_local + L_adjacency + L_global`` (weights as in the released code): 1000 steps of Adam at 1e-4."""

    losses: tuple[str, ...] = option(
        ("guide-local", "guide-adjacency", "guide-global"), help="losses that are summed, by name"
    )
    target: str = option("ufo", help="target selector, by name")

    # The weight that the bundled world offers, and the paper's.
    tuning = ({"method.learning_rate": (1e-3, 2e-3), "loss.guide-global.perceptual": (8.0, 1.0)},)
