"""Streams of random numbers: one for each purpose, so that no two of them ever share a draw."""

from __future__ import annotations

import hashlib

import torch

__all__ = ["stream"]


def stream(seed: int, purpose: str, index: int = 0) -> torch.Generator:
    """A CPU generator of its own for ``purpose``, such as ``"bystanders"``; the same arguments give the same numbers.

    The seed is a hash of all three: with ``seed``, ``seed + 1``, ... the first latents of one purpose were those of
    another, and a bystander could be the erased person. torch seeds its Mersenne twister with 32 bits, so two of a
    hundred streams meet with a chance of one in a million.
    """
    digest = hashlib.sha256(f"unlearnkit/{seed}/{index}/{purpose}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:4], "big"))
