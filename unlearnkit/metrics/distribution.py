"""Distance between all that the generator made before and all that it makes now."""

from __future__ import annotations

import re

import attrs
import torch
from torch import Tensor

from unlearnkit.interfaces import Evidence, Metric
from unlearnkit.metrics.gallery import Gallery

__all__ = ["Distribution", "frechet_distance", "kernel_distance"]


@attrs.define
class Distribution(Metric):
    """Fréchet and kernel distance between N pictures before and N after, of the same random latents.

    Both are measured in the feature space of the perceptual distance and carry its label:
    ``frechet_<label>``, ``kid_<label>``. They are **not** FID or KID, which mean Inception-v3, and do not
    compare with published ones. Lower is better; 0 is no change. ``*_floor`` is the same distance between two
    disjoint halves of the pictures *before*: what chance alone gives with N/2 pictures each.

    The pictures are paired (same latent, same view), so no change gives 0 and the estimate is lower than with
    independent draws; the floor is not paired. The Fréchet distance grows as N falls (covariances of few
    samples), so compare equal N only (``n_distribution``); the kernel one is unbiased at any N.
    Neither shows *who* changed: one broken face in a thousand moves them little.
    """

    def measure(self, evidence: Evidence) -> dict[str, float]:
        """Both distances, their floors and counts; nothing with fewer than 4 samples."""
        sample = Gallery.of(evidence).sample if evidence.samples >= 4 else None
        if sample is None:
            return {}
        label = re.sub(r"[^a-z0-9]+", "_", evidence.perceptual.label.lower()).strip("_")
        before, after = sample.pooled_before, sample.pooled_after
        half = len(before) // 2
        return {
            f"frechet_{label}": frechet_distance(before, after),
            f"frechet_{label}_floor": frechet_distance(before[:half], before[half: 2 * half]),
            f"kid_{label}": kernel_distance(before, after),
            f"kid_{label}_floor": kernel_distance(before[:half], before[half: 2 * half]),
            "n_distribution": float(len(before)),
            "n_distribution_floor": float(half),
        }


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """|μ_a − μ_b|² + tr(C_a + C_b − 2 (C_a C_b)^½) of samples ``(N, D)`` and ``(M, D)``, in float64.

    With centred samples A, B (so that C = AᵀA) the last trace is the sum of the singular values of A Bᵀ: no
    square root of a singular D × D matrix is ever taken, which makes N < D as sound as N > D.
    """
    a, b = a.double(), b.double()
    means = (a.mean(0) - b.mean(0)).square().sum()
    a, b = (_root(x) for x in (a, b))
    cross = torch.linalg.svdvals(a @ b.T).sum()
    return max(0.0, float(means + a.square().sum() + b.square().sum() - 2 * cross))


def kernel_distance(a: Tensor, b: Tensor) -> float:
    """Unbiased squared MMD with the kernel (x·y/D + 1)³, of samples ``(N, D)`` each.

    mean over i ≠ j of k(aᵢ, aⱼ) + k(bᵢ, bⱼ) − 2 k(aᵢ, bⱼ). Leaving i = j out of the last term too keeps it
    unbiased when aᵢ and bᵢ belong together. About 0 means equal; it may fall a little below.
    """
    a, b = a.double(), b.double()
    kernels = _kernel(a, a) + _kernel(b, b) - 2 * _kernel(a, b)
    count = len(a)
    return float((kernels.sum() - kernels.diagonal().sum()) / (count * (count - 1)))


def _root(samples: Tensor) -> Tensor:
    """A with AᵀA = covariance and at most D rows."""
    centred = (samples - samples.mean(0)) / (len(samples) - 1) ** 0.5
    if len(centred) <= centred.shape[1]:
        return centred
    return torch.linalg.qr(centred, mode="r").R


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    return (a @ b.T / a.shape[1] + 1) ** 3
