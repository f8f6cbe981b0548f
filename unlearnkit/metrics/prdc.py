"""Do the pictures stay plausible, and do they stay diverse? Precision, recall, density and coverage.

Written here from the papers because no kept library gives all four of features: ``prdc`` (its authors', MIT) has had no
release since 2020 and needs scikit-learn; ``torch-fidelity`` is well kept, but has precision and recall only, and its
public function takes pictures, not features. The tests hold these numbers against recorded ones of both.
"""

from __future__ import annotations

import attrs
import torch
from torch import Tensor

from unlearnkit.config import option
from unlearnkit.errors import ShapeError
from unlearnkit.interfaces import About, Evidence, Metric, Number
from unlearnkit.metrics.distribution import space
from unlearnkit.metrics.gallery import Gallery

__all__ = ["PRDC", "precision_recall_density_coverage"]

_MEANINGS = {
    "precision": "pictures after that look like some picture before",
    "recall": "pictures before that look like some picture after",
    "density": "how densely pictures after lie among those before",
    "coverage": "pictures before with a picture after close by",
}


@attrs.define
class PRDC(Metric):
    """Pictures after against pictures before, in the feature space of the perceptual distance, which gives its label.

    ``precision_<label>``, ``recall_<label>``, ``density_<label>``, ``coverage_<label>``, see
    :func:`precision_recall_density_coverage`, with the pictures before as the real ones. Higher is better: low
    precision or density says that new pictures look like none of the old; low recall or coverage that a part of the
    old is gone.

    The latents before and after are disjoint halves, since with equal ones each picture would lie next to itself.
    All four depend on N and k, and are below 1 where nothing has changed: ``*_floor`` is the same with both halves
    before. They do not show *which* people are gone, and with few samples in a large space differences below some
    hundredths are chance.
    """

    k: int = option(5, help="how many neighbours make a picture's ball", ge=1)

    def measure(self, evidence: Evidence) -> dict[str, float]:
        """The four numbers, the same of two halves before, and ``n_prdc`` in each half; nothing with N/2 ≤ k."""
        half = evidence.samples // 2
        if half <= self.k:
            return {}
        label, sample = space(evidence.perceptual.label), Gallery.of(evidence).sample
        real, other = sample.pooled_before[:half], slice(half, 2 * half)
        numbers = {"n_prdc": float(half)}
        for suffix, fake in (("", sample.pooled_after[other]), ("_floor", sample.pooled_before[other])):
            for name, value in precision_recall_density_coverage(real, fake, self.k).items():
                numbers[f"{name}_{label}{suffix}"] = value
        return numbers

    def numbers(self, about: About) -> tuple[Number, ...]:
        """The four numbers, and the same of two halves before."""
        found = []
        for name, meaning in _MEANINGS.items():
            full = f"{name}_{space(about.perceptual)}"
            most = None if name == "density" else 1.0
            title = f"{name.capitalize()} in {about.perceptual} features"
            found += [
                Number(full, f"{title}: {meaning}", "higher", count="n_prdc", reference=f"{full}_floor", least=0.0,
                       most=most, short=f"coverage ({about.perceptual})" if name == "coverage" else ""),
                Number(f"{full}_floor", f"{title}, frozen generator against itself", count="n_prdc", least=0.0,
                       most=most),
            ]
        return tuple(found)


def precision_recall_density_coverage(real: Tensor, fake: Tensor, k: int = 5) -> dict[str, float]:
    """Four numbers of features ``(N, D)`` and ``(M, D)``; a ball reaches to the k-th nearest of its own kind.

    * ``precision``: fraction of fakes in the ball of any real; ``recall``: of reals in the ball of any fake
      (Kynkäänniemi et al. 2019, arXiv 1904.06991, eq. 1 and 2; they use k = 3)
    * ``density``: mean over fakes of the number of balls of reals they lie in, over k; may exceed 1
    * ``coverage``: fraction of reals whose ball holds a fake (Naeem et al. 2020, arXiv 2002.09797, section 3; k = 5)

    :raises ShapeError: unless there are more than k of each, in one space.
    """
    if real.ndim != 2 or fake.ndim != 2 or real.shape[1] != fake.shape[1] or min(len(real), len(fake)) <= k:
        raise ShapeError(f"features {tuple(real.shape)} and {tuple(fake.shape)} given, expected (N, D) and (M, D) with "
                         f"N, M > k = {k}")
    real, fake = real.double(), fake.double()
    apart = torch.cdist(real, fake)
    in_real, in_fake = apart <= _radii(real, k)[:, None], apart <= _radii(fake, k)[None]
    numbers = {
        "precision": in_real.any(0),
        "recall": in_fake.any(1),
        "density": in_real.double().sum(0) / k,
        "coverage": in_real.any(1),
    }
    return {name: float(value.double().mean()) for name, value in numbers.items()}


def _radii(features: Tensor, k: int) -> Tensor:
    """Distance to the k-th nearest other one ``(N,)``; the nearest of all is each itself."""
    return torch.cdist(features, features).kthvalue(k + 1, dim=1).values
