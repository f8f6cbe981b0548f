"""The tensor operations that generators are made of, each under one name for every device.

Generators call these functions and never an implementation. Today all of them are the pure-PyTorch ones of
:mod:`unlearnkit.ops.reference` and :mod:`unlearnkit.ops.volume`; a faster kernel takes its place behind the same name
and the same numbers.
"""

from unlearnkit.ops.reference import bias_act, fir_filter, modulated_conv2d, upfirdn2d, upsample2d
from unlearnkit.ops.volume import Composite, march, merged_planes, sample_planes

__all__ = [
    "Composite", "bias_act", "fir_filter", "march", "merged_planes", "modulated_conv2d", "sample_planes",
    "upfirdn2d", "upsample2d",
]
