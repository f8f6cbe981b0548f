"""Precision of float32 matrix products, and of the losses' networks. The setting ``precision`` is

* ``none``: torch's defaults: float32 on a CPU; on CUDA TF32 (10-bit mantissa) in convolutions and float32 in matrix
  products
* ``float32``: float32 everywhere, including convolutions
* ``tf32``: TF32 in convolutions and matrix products on CUDA; a CPU still computes in float32
* ``bf16``: as ``tf32``, and the losses' networks run in bfloat16 (7-bit mantissa), on a CPU too

Weights, latents, renderings, distances, losses and Adam are always float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, TypeVar

import attrs
import torch
from torch import Tensor

from unlearnkit.interfaces import IdentityEncoder, Measures, Perceptual

__all__ = ["FastMeasures", "float32_products", "make_measures"]

T = TypeVar("T")


# ---------------------------------------------------------------- float32 products

@contextmanager
def float32_products(precision: str | None) -> Iterator[None]:
    """Context manager that sets CUDA's float32 matmul precision; None changes nothing."""
    switches = [] if precision is None else _switches(tf32=precision != "float32")
    before = [getattr(owner, name) for owner, name, _ in switches]
    try:
        for owner, name, value in switches:
            setattr(owner, name, value)
        yield
    finally:
        for (owner, name, _), value in zip(switches, before, strict=True):
            setattr(owner, name, value)


def _switches(tf32: bool) -> list[tuple[Any, str, Any]]:
    """Attributes of torch to set: (owner, name, value); torch >= 2.9 refuses a mixture of old and new names."""
    cuda, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    if hasattr(cudnn, "conv"):
        value = "tf32" if tf32 else "ieee"
        return [(owner, "fp32_precision", value) for owner in (cuda, cudnn.conv, cudnn.rnn)]
    return [(cuda, "allow_tf32", tf32), (cudnn, "allow_tf32", tf32)]


# ---------------------------------------------------------------- the losses' networks

@attrs.frozen(eq=False)
class FastMeasures(Measures):
    """The networks in channels_last on CUDA, and optionally in bfloat16; outputs are float32.

    On a CPU channels_last is slower in the backward pass (its weight and input gradients take oneDNN's slow path).
    """

    bfloat16: bool = False

    def features(self, images: Tensor) -> list[Tensor]:
        """Feature maps of images ``(N, 3, H, W)``, float32."""
        return [maps.float() for maps in self._run(self.perceptual.features, images)]

    def embed(self, images: Tensor) -> Tensor:
        """Unit embeddings ``(N, D)`` of images ``(N, 3, H, W)``, float32: of length 1 again after rounding."""
        embeddings = self._run(self.identity.embed, images)
        return torch.nn.functional.normalize(embeddings.float(), dim=1) if self.bfloat16 else embeddings

    def _run(self, network: Callable[[Tensor], T], images: Tensor) -> T:
        if images.device.type == "cuda":
            images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast(images.device.type, torch.bfloat16) if self.bfloat16 else nullcontext():
            return network(images)


def make_measures(
    perceptual: Perceptual, identity: IdentityEncoder, device: torch.device, precision: str | None
) -> Measures:
    """The losses' networks, configured for device and precision."""
    if device.type == "cuda" or precision == "bf16":
        return FastMeasures(perceptual, identity, bfloat16=precision == "bf16")
    return Measures(perceptual, identity)
