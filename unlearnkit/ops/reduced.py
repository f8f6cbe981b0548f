"""bfloat16 on CPUs while a method trains: large maps are held in bfloat16 with channels last, all else stays float32.

Processors with AMX multiply bfloat16 several times faster than float32, but only where channels come last: so a map is
converted where it becomes large, stays as it is from layer to layer, and is converted back where it leaves (a picture,
features of a loss). Weights are cast where they are used; their gradients arrive in float32.

Off by default. :func:`bfloat16_maps` switches it on for what is computed inside, :mod:`unlearnkit.engine.precision`
decides when that is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor

__all__ = ["MIN_PIXELS", "bfloat16_maps", "cast_weight", "is_reduced", "plain_map", "reduced_map"]

MIN_PIXELS = 32 * 32
"""Pixels from which a map is large. NVIDIA's recipe reduces the four largest resolutions, 32 to 256 pixels."""

_on: ContextVar[bool] = ContextVar("bfloat16_maps", default=False)


@contextmanager
def bfloat16_maps(on: bool = True) -> Iterator[None]:
    """Context manager: generators hold their large maps in bfloat16, on a CPU; with ``on`` False they do not."""
    token = _on.set(on)
    try:
        yield
    finally:
        _on.reset(token)


def is_reduced(x: Tensor) -> bool:
    """True if the map ``(N, C, H, W)`` is in bfloat16 already."""
    return x.dtype == torch.bfloat16


def reduced_map(x: Tensor) -> Tensor:
    """``x (N, C, H, W)`` in bfloat16 with channels last where that is on and the map large; otherwise ``x`` itself."""
    large = x.dtype == torch.float32 and x.shape[2] * x.shape[3] >= MIN_PIXELS
    if not (large and _on.get() and x.device.type == "cpu"):
        return x
    made: Tensor = _Recast.apply(x, torch.bfloat16)
    return made


def plain_map(x: Tensor) -> Tensor:
    """``x (N, C, H, W)`` in float32 with channels first if it is in bfloat16; otherwise ``x`` itself."""
    if not is_reduced(x):
        return x
    made: Tensor = _Recast.apply(x, torch.float32)
    return made


def cast_weight(weight: Tensor, x: Tensor) -> Tensor:
    """A convolution's weight ``(O, I, k, k)`` for the map ``x``: the float32 number itself, or a bfloat16 copy."""
    return weight.to(torch.bfloat16, memory_format=torch.channels_last) if is_reduced(x) else weight


class _Recast(torch.autograd.Function):
    """A map in the other type and layout; its gradient in those of the map, so that no layout is mixed on the way."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, dtype: torch.dtype) -> Tensor:
        ctx.dtype = x.dtype
        return _recast(x, dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return _recast(grad, ctx.dtype), None


def _recast(x: Tensor, dtype: torch.dtype) -> Tensor:
    if dtype == torch.bfloat16:
        return x.to(dtype, memory_format=torch.channels_last)
    if not x.is_contiguous(memory_format=torch.channels_last):
        return x.to(dtype).contiguous()
    # Sample by sample as a transposed matrix: four times faster than torch's copy between the two layouts.
    made = torch.empty(x.shape, dtype=dtype)
    for sample, out in zip(x, made, strict=True):
        out.flatten(1).copy_(sample.flatten(1).float())
    return made
