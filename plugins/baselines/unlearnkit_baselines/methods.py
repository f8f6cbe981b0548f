"""Baselines that are the pair loop with other losses; each class documents its losses and their source.

All of them keep PairLoop's steps and learning rate (GUIDE's 1000 and 1e-4), so that they are comparable.
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
    """``L = l(w_u, w_avg)``: the person becomes the mean face, without any retain loss.

    The baseline of GUIDE's README (Seo et al., CVPR 2024): target ``average``, the local loss only. Weights are those
    of GUIDE's local loss in the released code.
    """

    losses: tuple[str, ...] = option(("guide-local",), help=LOSSES)
    target: str = option("average", help=TARGET)


@attrs.define(eq=False)
class GradientAscent(PairLoop):
    """``L = L_ascent + L_global``: away from the person's likeness, while random faces are retained.

    Gradient ascent as in the baseline of GED-Unlearning's released code: a retain loss plus the mean cosine similarity
    of feature maps, minimised. Ours: an identity term, GUIDE's retain loss, and weights of 1, since the released ones
    belong to other terms. There is no target: what replaces the person is left open.
    """

    losses: tuple[str, ...] = option(("ascent", "guide-global"), help=LOSSES)
    target: str | None = option(None, help=TARGET)  # ascent needs no target

    tuning = Guide.tuning


@attrs.define(eq=False)
class GradientAscentOnly(GradientAscent):
    """``L = L_ascent``: gradient ascent without a retain loss, to show why methods need one."""

    losses: tuple[str, ...] = option(("ascent",), help=LOSSES)

    tuning = ({"method.learning_rate": (5e-4, 1e-3, 2e-3, 4e-3)},)  # nothing retains, so nothing is balanced


@attrs.define(eq=False)
class RandomTarget(PairLoop):
    """``L = P(I_u(w_u), I_s(w_r)) + L_global``: the person is pulled towards a new random face at each step.

    "RMU" in GED-Unlearning's released code, with LPIPS; GUIDE's retain loss is our addition.
    """

    losses: tuple[str, ...] = option(("random-face", "guide-global"), help=LOSSES)
    target: str | None = option(None, help=TARGET)  # the loss draws its own

    tuning = Guide.tuning


@attrs.define(eq=False)
class Ewc(PairLoop):
    """``L = l(w_u, w_avg) + L_global + lambda * sum_i F_i (p_i - p0_i)^2``: elastic weight consolidation.

    Selective Amnesia (Heng & Soh, NeurIPS 2023; values from its released code): a forget term towards a surrogate,
    generative replay with weight 1, and EWC. There the surrogate is noise, or "middle aged man" for a celebrity; ours
    is the mean face. Replay is GUIDE's global loss. F without a likelihood is our definition: see the loss ``fisher``.
    """

    losses: tuple[str, ...] = option(("guide-local", "guide-global", "fisher"), help=LOSSES)
    target: str = option("average", help=TARGET)

    tuning = Guide.tuning


@attrs.define(eq=False)
class ProjectionHinge(PairLoop):
    """``L = L_hinge``: removes each latent's component along the person's direction above a threshold, nothing else.

    Feature unlearning of Moon et al. (AAAI 2024, arXiv 2303.05699; a secondary source), with the person's own direction
    as the feature. Reconstructing latents below the threshold is the retain part, so no other loss is added.
    """

    losses: tuple[str, ...] = option(("hinge",), help=LOSSES)
    target: str | None = option(None, help=TARGET)  # the threshold sets how far

    tuning = ({"method.learning_rate": (1e-3, 2e-3), "loss.hinge.threshold": (0.3, 0.0)},)
