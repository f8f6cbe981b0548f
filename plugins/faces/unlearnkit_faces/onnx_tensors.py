"""Tensors of ONNX files, block-quantised ones as floating-point numbers. Nothing in the graph is run."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unlearnkit.errors import CheckpointError, ConfigError, one_line

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto

__all__ = ["LARGEST", "read_onnx", "require_onnx"]

Array = NDArray[np.generic]
LARGEST = 64 << 20
"""Bytes of the largest file that is read: de-quantising takes some 20 times as much, if all is one 8-bit tensor."""
PARTS = ("_quantized", "_scales", "_zero_point", "_shape", "_dequantized")


def require_onnx() -> None:
    """Check that the package that reads ONNX files is there.

    :raises ConfigError: if it is not.
    """
    if importlib.util.find_spec("onnx") is None:
        raise ConfigError("ONNX files are read with the package onnx, which is not installed; run: pip install onnx, "
                          "or install unlearnkit with its extra 'photoreal'")


def read_onnx(path: Path) -> dict[str, Tensor]:
    """Name -> tensor, of every tensor that is stored in an ONNX file itself.

    A weight that is stored in blocks of whole numbers (``NAME_quantized``, ``NAME_scales``, ``NAME_zero_point``, as
    OpenCV's model zoo writes them) is returned as ``NAME``, (q - zero point) * scale.

    :raises ConfigError: if the package onnx is not installed.
    :raises CheckpointError: if the file is too large, damaged, or keeps numbers in other files.
    """
    require_onnx()
    import onnx

    try:
        size = path.stat().st_size
        if size > LARGEST:
            raise CheckpointError(f"{path}: has {size / 1e6:,.0f} MB, expected at most {LARGEST / 1e6:,.0f}; give "
                                  "another file")
        graph = onnx.load_model_from_string(path.read_bytes()).graph
        stored = _stored(graph)
        return {**{name: torch.from_numpy(array.copy()) for name, array in stored.items() if not name.endswith(PARTS)},
                **_dequantised(graph, stored)}
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror or error})") from error
    except Exception as error:  # untrusted content: protobuf and numpy may raise anything
        raise CheckpointError(f"{path}: is no ONNX file, or damaged ({type(error).__name__}: {one_line(error)[:120]}); "
                              "get it again") from error


def _stored(graph: GraphProto) -> dict[str, Array]:
    from onnx import TensorProto, numpy_helper

    arrays = {}
    for tensor in graph.initializer:
        if tensor.data_location == TensorProto.EXTERNAL:
            raise ValueError(f"{tensor.name} lies in another file")
        arrays[tensor.name] = numpy_helper.to_array(tensor)
    return arrays


def _dequantised(graph: GraphProto, stored: dict[str, Array]) -> dict[str, Tensor]:
    found = {}
    for node in graph.node:
        if node.op_type == "DequantizeLinear":
            name = node.input[0].removesuffix("_quantized")
            if name in found:
                raise ValueError(f"{name} is stated twice")
            whole, scales, zeros = (stored[part] for part in node.input)
            found[name] = torch.from_numpy(_floats(node, whole, scales, zeros)).reshape(_shape(name, stored))
    return found


def _floats(node: NodeProto, whole: Array, scales: Array, zeros: Array) -> NDArray[np.float32]:
    """ONNX's DequantizeLinear with blocks along an axis (operator set 21)."""
    attributes = {attribute.name: attribute.i for attribute in node.attribute}
    axis, block = attributes.get("axis", 1), attributes.get("block_size", 0)
    blocks = list(whole.shape)
    blocks[axis] = -(-blocks[axis] // block)
    if list(scales.shape) != blocks or scales.shape != zeros.shape or whole.dtype.itemsize != 1:
        raise ValueError(f"{node.input[0]}: scales of shape {scales.shape} do not fit {whole.dtype} {whole.shape}")
    which = np.arange(whole.shape[axis]) // block
    steps = whole.astype(np.float32) - zeros.astype(np.float32).take(which, axis)
    return steps * scales.astype(np.float32).take(which, axis)


def _shape(name: str, stored: dict[str, Array]) -> list[int]:
    return [int(side) for side in stored[f"{name}_shape"].ravel()[:8]]
