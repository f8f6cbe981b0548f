"""Checks that all components share: image shapes, and that ``prepare`` was called."""

from __future__ import annotations

from typing import TypeVar

from torch import Tensor

from unlearnkit.errors import ShapeError

__all__ = ["check_pictures", "prepared"]

T = TypeVar("T")


def check_pictures(images: Tensor, smallest: int = 1, square: bool = False) -> None:
    """Refuse anything but ``(N, 3, H, W)`` with H, W >= ``smallest``, and H = W where ``square``.

    :raises ShapeError: naming the shape given and the shape expected.
    """
    good = images.ndim == 4 and images.shape[1] == 3 and min(images.shape[2:]) >= smallest
    if not good or (square and images.shape[2] != images.shape[3]):
        sides = "H = W" if square else "H, W"
        raise ShapeError(f"pictures of shape {tuple(images.shape)} given, expected (N, 3, H, W) with "
                         f"{sides} >= {smallest}")


def prepared(part: T | None, name: str) -> T:
    """``part``, if it is loaded.

    :raises RuntimeError: if ``prepare`` was not called.
    """
    if part is None:
        raise RuntimeError(f"{name}: call prepare(device) before anything else")
    return part
