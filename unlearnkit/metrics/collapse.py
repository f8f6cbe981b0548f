"""Do different erased people all become the same new face?

Users of GUIDE found 99 % similarity between what replaced two people, each erased from a fresh generator. Inside one
run the metric ``identity`` says so (``erased_alike_*``); across runs, collect one embedding a run and ask here.
"""

from __future__ import annotations

import torch
from torch import Tensor

from unlearnkit.errors import ShapeError

__all__ = ["pairwise_similarity"]


def pairwise_similarity(embeddings: Tensor) -> dict[str, float]:
    """Similarity of every two of P people: ``mean`` and ``max`` of their cosines in [-1, 1], and ``n_pairs``.

    ``embeddings`` are unit vectors ``(P, D)``, or ``(P, V, D)`` in V views: then each pair's cosine is its mean over
    views. Hold both against the level of two strangers: far above it, replacements have collapsed. Pairs that are NaN
    (no face found) are left out; without any pair there is only ``n_pairs`` = 0.

    :raises ShapeError: if there are fewer than two people, or another number of dimensions.
    """
    if embeddings.ndim not in (2, 3) or len(embeddings) < 2:
        raise ShapeError(
            f"embeddings of shape {tuple(embeddings.shape)} given, expected (P, D) or (P, V, D) of P ≥ 2 people")
    people = embeddings.double().reshape(len(embeddings), -1, embeddings.shape[-1])
    cosines = torch.einsum("avd,bvd->abv", people, people).nanmean(2)
    above = torch.ones_like(cosines, dtype=torch.bool).triu(1)
    pairs = cosines[above & ~cosines.isnan()]
    if not len(pairs):
        return {"n_pairs": 0.0}
    return {"mean": float(pairs.mean()), "max": float(pairs.max()), "n_pairs": float(len(pairs))}
