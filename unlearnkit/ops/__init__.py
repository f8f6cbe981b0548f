"""The tensor operations of the generators, device-independent.

Generators call these functions, never an implementation: native kernels are used where they are installed and
applicable (:mod:`unlearnkit.ops.native` loads them, extensions/ holds their sources), pure PyTorch everywhere else,
with the same results.
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
