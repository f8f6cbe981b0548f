"""Precision of float32 matrix products, and of networks while a method trains. The setting ``precision`` is

* ``none``: torch's defaults: float32 on a CPU; on CUDA TF32 (10-bit mantissa) in convolutions and float32 in matrix
  products
* ``float32``: float32 everywhere, including convolutions
* ``tf32``: TF32 in convolutions and matrix products on CUDA; a CPU still computes in float32
* ``bf16``: as ``tf32``, and while a method trains the losses' networks run in bfloat16 (7-bit mantissa); on a CPU also
  the large maps of both generators, if the processor multiplies bfloat16 faster than float32; otherwise a CPU stays
  with float32

Weights, latents, pictures, features that losses compare, distances, losses and Adam are always float32, and so is
whatever is measured.
"""

from __future__ import annotations

import platform
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

import attrs
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from unlearnkit.interfaces import IdentityEncoder, Measures, Perceptual

__all__ = [
    "FastMeasures", "bfloat16_instructions", "effective_precision", "float32_products", "make_measures",
    "trains_in_bfloat16",
]

T = TypeVar("T")
INSTRUCTIONS = ("amx_bf16",)
"""What makes training in bfloat16 faster, as Linux names it. Not ``avx512_bf16``: with it alone, StyleGAN2's iteration
took a third longer than in float32 (docs/performance.md).
"""


# ---------------------------------------------------------------- what the processor has

def bfloat16_instructions(cpu_info: Path = Path("/proc/cpuinfo")) -> str | None:
    """The instructions of this processor that make training in bfloat16 faster; None without.

    Also None where the system does not tell (other than Linux), or torch was built without oneDNN.
    """
    try:
        lines = cpu_info.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])
    return next((name for name in INSTRUCTIONS if name in flags and torch.backends.mkldnn.is_available()), None)


def effective_precision(precision: str | None, device: torch.device) -> str | None:
    """What ``precision`` means on ``device``, in words for the manifest: ``bf16 (amx_bf16)``, or why it is float32."""
    if precision != "bf16" or device.type != "cpu":
        return precision
    found = bfloat16_instructions()
    return f"bf16 ({found})" if found else f"float32 (bf16 was asked for, but {_lacking()})"


def _lacking() -> str:
    return f"this processor ({platform.machine()}) has no {' or '.join(INSTRUCTIONS)}"


def trains_in_bfloat16(precision: str | None, device: torch.device) -> bool:
    """True if generators hold large maps in bfloat16 while a method trains: ``bf16`` on a CPU with instructions for it.

    Warns on a processor for which ``bf16`` was asked in vain.
    """
    reduces = _reduces(precision, device)
    if precision == "bf16" and device.type == "cpu" and not reduces:
        warnings.warn(f"precision=bf16: {_lacking()}, so this run computes in float32", stacklevel=2)
    return reduces


def _reduces(precision: str | None, device: torch.device) -> bool:
    return precision == "bf16" and device.type == "cpu" and bfloat16_instructions() is not None


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
    """The networks in channels_last on CUDA, or in bfloat16 and channels_last anywhere; outputs are float32.

    In float32 on a CPU channels_last is slower in the backward pass of many layers (oneDNN's slow path).
    """

    bfloat16: bool = False
    _weights: dict[int, tuple[Tensor, Tensor]] = attrs.field(init=False, factory=dict, repr=False)

    def features(self, images: Tensor) -> list[Tensor]:
        """Feature maps of images ``(N, 3, H, W)``, float32."""
        return [maps.float() for maps in self._run(self.perceptual.features, images)]

    def embed(self, images: Tensor) -> Tensor:
        """Unit embeddings ``(N, D)`` of images ``(N, 3, H, W)``, float32: of length 1 again after rounding."""
        embeddings = self._run(self.identity.embed, images)
        return F.normalize(embeddings.float(), dim=1) if self.bfloat16 else embeddings

    def _run(self, network: Callable[[Tensor], T], images: Tensor) -> T:
        kind = images.device.type
        if self.bfloat16 or kind == "cuda":
            images = images.contiguous(memory_format=torch.channels_last)
        if not self.bfloat16:
            return network(images)
        with torch.autocast(kind, torch.bfloat16), _CpuRules(self._weights) if kind == "cpu" else nullcontext():
            return network(images)


class _CpuRules(TorchFunctionMode):
    """autocast with what it lacks on a CPU: frozen weights are cast once, layers that bfloat16 slows down left out.

    Those are depthwise convolutions with a stride (the gradient of their input is 40 times slower than in float32) and
    fully connected layers, which are bound by reading their weights.
    """

    def __init__(self, weights: dict[int, tuple[Tensor, Tensor]]) -> None:
        super().__init__()
        self._weights = weights

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.linear or (func is F.conv2d and _is_strided_depthwise(*args, **kwargs)):
            with torch.autocast("cpu", enabled=False):
                return func(args[0].float(), *args[1:], **kwargs)
        if func is F.conv2d:
            args = (args[0], self._cast(args[1]), *args[2:])
        return func(*args, **kwargs)

    def _cast(self, weight: Tensor) -> Tensor:
        """The weight ``(O, I, k, k)`` in bfloat16 with channels last; kept, unless it is trained."""
        if weight.requires_grad or not isinstance(weight, torch.nn.Parameter):
            return weight
        if id(weight) not in self._weights:
            cast = weight.detach().to(torch.bfloat16, memory_format=torch.channels_last)
            self._weights[id(weight)] = weight, cast  # the weight too: its id is good while it lives
        return self._weights[id(weight)][1]


def _is_strided_depthwise(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1,
) -> bool:
    """Arguments as of :func:`torch.nn.functional.conv2d`."""
    return groups > 1 and groups == x.shape[1] and stride not in (1, (1, 1), [1, 1])


def make_measures(
    perceptual: Perceptual, identity: IdentityEncoder, device: torch.device, precision: str | None
) -> Measures:
    """The losses' networks, configured for device and precision."""
    if device.type == "cuda":
        return FastMeasures(perceptual, identity, bfloat16=precision == "bf16")
    if _reduces(precision, device):
        return FastMeasures(perceptual, identity, bfloat16=True)
    return Measures(perceptual, identity)
