"""Independent random number streams, one per purpose."""

from __future__ import annotations

import hashlib

import torch

__all__ = ["stream"]


def stream(seed: int, purpose: str, index: int = 0) -> torch.Generator:
    """A separate CPU random number generator for ``purpose``, such as ``"bystanders"``; deterministic.

    The seed is a hash of all three arguments: with ``seed``, ``seed + 1``, ... the first latents of one purpose would
    equal those of another, and a bystander could be the erased person. torch seeds its Mersenne Twister with 32 bits,
    so the chance that two of a hundred streams coincide is one in a million.
    """
    digest = hashlib.sha256(f"unlearnkit/{seed}/{index}/{purpose}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:4], "big"))
