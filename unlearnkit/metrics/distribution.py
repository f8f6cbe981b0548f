"""Distance between all that the generator made before and all that it makes now."""

from __future__ import annotations

import re

import attrs
import torch
from torch import Tensor

from unlearnkit.interfaces import About, Evidence, Metric, Number
from unlearnkit.metrics.gallery import Gallery
from unlearnkit.metrics.naturalness import strangeness, strangeness_numbers

__all__ = ["Distribution", "frechet_distance", "frechet_to_moments", "kernel_distance", "space"]


@attrs.define
class Distribution(Metric):
    """Fréchet and kernel distance between N pictures before and N after, of the same random latents.

    Both are measured in the feature space of the perceptual distance and carry its label:
    ``frechet_<label>``, ``kid_<label>``. They are **not** FID or KID, which mean Inception-v3, and do not
    compare with published ones. Lower is better.

    The N pictures are paired (same latent, same view), so no change gives 0 and the estimate is lower than with
    independent draws. ``*_unpaired`` compares independent draws: one half of the latents before, the other half after.
    ``*_floor`` is the same with both halves *before*: what chance alone gives ``*_unpaired`` when nothing has changed.

    The Fréchet distance grows as N falls (covariances of few samples), so compare equal N only (``n_distribution``,
    ``n_distribution_floor`` in each half); the kernel one is unbiased at any N.
    How strange the erased person and the bystanders look now is in :mod:`unlearnkit.metrics.naturalness`.
    Neither shows *who* changed: one broken face in a thousand moves them little.
    """

    def measure(self, evidence: Evidence) -> dict[str, float]:
        """Both distances, paired and not, their floors and counts; nothing with fewer than 4 samples."""
        sample = Gallery.of(evidence).sample if evidence.samples >= 4 else None
        if sample is None:
            return {}
        label, before, after = space(evidence.perceptual.label), sample.pooled_before, sample.pooled_after
        half = len(before) // 2
        first, second = slice(0, half), slice(half, 2 * half)
        numbers = {"n_distribution": float(len(before)), "n_distribution_floor": float(half)}
        for name, distance in ((f"frechet_{label}", frechet_distance), (f"kid_{label}", kernel_distance)):
            numbers[name] = distance(before, after)
            numbers[f"{name}_unpaired"] = distance(before[first], after[second])
            numbers[f"{name}_floor"] = distance(before[first], before[second])
        return numbers | strangeness(evidence)

    def numbers(self, about: About) -> tuple[Number, ...]:
        """Both distances of the same latents, of different ones, and of the frozen generator with itself."""
        label, features = space(about.perceptual), f"in {about.perceptual} features"
        return (
            *pairings(f"frechet_{label}", f"Fréchet distance {features}", "n_distribution",
                      short=f"Fréchet ({about.perceptual})", least=0.0),
            *pairings(f"kid_{label}", f"Kernel distance (MMD²) {features}", "n_distribution"),
            *strangeness_numbers(about.perceptual),
        )


def pairings(
    name: str, title: str, count: str, short: str = "", least: float | None = None
) -> tuple[Number, Number, Number]:
    """Declares a distance between N pictures before and after, ``*_unpaired`` and ``*_floor``, with their counts.

    ``least``: zero for a distance; None for an unbiased estimate of one, which may fall below.
    """
    halves, floor = f"{count}_floor", f"{name}_floor"
    return (
        Number(name, f"{title}, same latents before and after", "lower", count=count, least=least,
               short=short and f"{short}, paired"),
        Number(f"{name}_unpaired", f"{title}, different latents", "lower", count=halves, reference=floor, least=least,
               short=short and f"{short}, unpaired"),
        Number(floor, f"{title}, frozen generator against itself", count=halves, least=least),
    )


def space(label: str) -> str:
    """What names of numbers call the feature space of a perceptual distance: ``LPIPS (VGG)`` -> ``lpips_vgg``."""
    return re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_")


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


def frechet_to_moments(a: Tensor, mean: Tensor, covariance: Tensor) -> float:
    """The same between samples ``(N, D)`` and a Gaussian, mean ``(D,)`` and covariance ``(D, D)``, in float64.

    With C_a = AᵀA, tr (C_a C)^½ is the sum of the roots of the eigenvalues of the symmetric A C Aᵀ.
    """
    a, mean, covariance = a.double(), mean.double(), covariance.double()
    means = (a.mean(0) - mean).square().sum()
    a = _root(a)
    cross = torch.linalg.eigvalsh(a @ covariance @ a.T).clamp(min=0).sqrt().sum()
    return max(0.0, float(means + a.square().sum() + covariance.trace() - 2 * cross))


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
