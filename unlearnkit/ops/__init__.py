"""The tensor operations that generators are made of, each under one name for every device.

Generators call these functions and never an implementation: native kernels are used where they are installed and fit
(:mod:`unlearnkit.ops.native` finds them, extensions/ holds their sources), pure PyTorch everywhere else, with the same
numbers.
"""

from unlearnkit.ops.functions import (
    bias_act,
    fir_filter,
    modulated_conv2d,
    render_planes,
    sample_planes,
    styled_conv2d,
    unit_distance,
    upfirdn2d,
    upsample2d,
)
from unlearnkit.ops.volume import Composite, DecoderWeights

__all__ = [
    "Composite", "DecoderWeights", "bias_act", "fir_filter", "modulated_conv2d", "render_planes", "sample_planes",
    "styled_conv2d", "unit_distance", "upfirdn2d", "upsample2d",
]
