"""Baselines that are the pair loop with other losses: the class says which, and where each comes from.

Steps and step size are PairLoop's (GUIDE's 1000 and 1e-4) for all of them, so that they can be compared.
"""

from __future__ import annotations

import attrs
from unlearnkit_guide.method import Guide

from unlearnkit.config import option
from unlearnkit.engine import PairLoop

__all__ = ["AverageTarget", "Ewc", "GradientAscent", "GradientAscentOnly", "ProjectionHinge", "RandomTarget"]

LOSSES = "losses that are summed, by name"
TARGET = "target selector, by name"


@attrs.define(eq=False)
class AverageTarget(PairLoop):
    """``L = l(w_u, w_avg)``: the person becomes the mean face, and nothing holds the rest.

    The baseline of GUIDE's README (Seo et al., CVPR 2024): target ``average``, the local loss only. Weights are those
    of GUIDE's local loss, read in the released program.
    """

    losses: tuple[str, ...] = option(("guide-local",), help=LOSSES)
    target: str = option("average", help=TARGET)


@attrs.define(eq=False)
class GradientAscent(PairLoop):
    """``L = L_ascent + L_global``: away from the person's looks, while random people stay as they are.

    Gradient ascent as a baseline in GED-Unlearning's released program (read there): a retaining loss plus the mean
    cosine of feature maps, minimised. Ours: an identity term, GUIDE's retaining loss, and weights of 1, since those of
    the program belong to other terms. It has no target: nobody says who takes the person's place.
    """

    losses: tuple[str, ...] = option(("ascent", "guide-global"), help=LOSSES)
    target: str | None = option(None, help=TARGET)  # moving away needs no target

    tuning = Guide.tuning


@attrs.define(eq=False)
class GradientAscentOnly(GradientAscent):
    """``L = L_ascent``: gradient ascent with nothing to hold the rest, to show why methods retain at all."""

    losses: tuple[str, ...] = option(("ascent",), help=LOSSES)

    tuning = ({"method.learning_rate": (5e-4, 1e-3, 2e-3, 4e-3)},)  # nothing retains, so nothing is balanced


@attrs.define(eq=False)
class RandomTarget(PairLoop):
    """``L = P(I_u(w_u), I_s(w_r)) + L_global``: another random face at each step takes the person's place.

    "RMU" in GED-Unlearning's released program (read there), with LPIPS; ours is GUIDE's retaining loss.
    """

    losses: tuple[str, ...] = option(("random-face", "guide-global"), help=LOSSES)
    target: str | None = option(None, help=TARGET)  # it draws its own

    tuning = Guide.tuning


@attrs.define(eq=False)
class Ewc(PairLoop):
    """``L = l(w_u, w_avg) + L_global + lambda * sum_i F_i (p_i - p0_i)^2``: elastic weight consolidation.

    Selective Amnesia (Heng & Soh, NeurIPS 2023; read in its released program): a forgetting term towards a surrogate,
    generative replay with weight 1, and EWC. There the surrogate is noise, or "middle aged man" for a celebrity; ours
    is the mean face. Replay is GUIDE's global loss. What F is without a likelihood is ours: see the loss ``fisher``.
    """

    losses: tuple[str, ...] = option(("guide-local", "guide-global", "fisher"), help=LOSSES)
    target: str = option("average", help=TARGET)

    tuning = Guide.tuning


@attrs.define(eq=False)
class ProjectionHinge(PairLoop):
    """``L = L_hinge``: latents lose what they have of the person beyond a threshold, and keep all else.

    Feature unlearning of Moon et al. (AAAI 2024, arXiv 2303.05699; a secondary source), with the person's own direction
    as the feature. Reconstruction of what lies below the threshold is its retaining part, so no other loss is added.
    """

    losses: tuple[str, ...] = option(("hinge",), help=LOSSES)
    target: str | None = option(None, help=TARGET)  # the threshold says how far

    tuning = ({"method.learning_rate": (1e-3, 2e-3), "loss.hinge.threshold": (0.3, 0.0)},)
