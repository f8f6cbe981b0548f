"""The tensor operations that generators are made of, each under one name for every device.

Generators call these functions and never an implementation. Today all of them are the pure-PyTorch ones of
:mod:`unlearnkit.ops.reference`; a faster kernel takes its place behind the same name and the same numbers.
"""

from unlearnkit.ops.reference import bias_act, fir_filter, modulated_conv2d, upfirdn2d, upsample2d

__all__ = ["bias_act", "fir_filter", "modulated_conv2d", "upfirdn2d", "upsample2d"]
