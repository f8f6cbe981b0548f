"""SFace (Zhong et al. 2021, arXiv 2205.12010) as OpenCV's model zoo publishes it, written for PyTorch.

The network is a MobileNet v1 of 13 depthwise-separable blocks for 112 × 112 faces, 128 numbers an embedding. Its
weights are read from the ONNX file with 8-bit blocks; results equal those of onnxruntime on the same file.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import attrs
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unlearnkit.config import option
from unlearnkit.interfaces import IdentityEncoder
from unlearnkit.options.domains import PHOTOGRAPHS
from unlearnkit.weights import WeightFile, find_file
from unlearnkit_faces.checks import check_pictures, prepared
from unlearnkit_faces.files import SFACE
from unlearnkit_faces.onnx_tensors import read_onnx, require_onnx
from unlearnkit_faces.template import ORL, window_crop
from unlearnkit_faces.weights import load_network

__all__ = ["SFace", "SFaceNetwork"]

WIDTHS = (32, 64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
"""Channels after the first convolution and after each block."""
HALVING = (3, 5, 7, 13)
"""Layers, counted from 1, whose depthwise convolution has stride 2."""
PARTS = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_var": "running_var"}
CONSTANTS = {"scalar_op1": 127.5, "scalar_op2": 1 / 128}
"""What the file subtracts from pictures of 0 to 255, and multiplies them with; other numbers are another network's."""


class SFaceNetwork(nn.Module):
    """Faces ``(N, 3, 112, 112)``, RGB of 0 to 255 -> embeddings ``(N, 128)``, not normalised."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleDict({"conv_1": _layer(3, WIDTHS[0])})
        for number, (before, after) in enumerate(pairwise(WIDTHS), 2):
            self.layers[f"conv_{number}_dw"] = _layer(before, before, groups=before, stride=1 + (number in HALVING))
            self.layers[f"conv_{number}"] = _layer(before, after, size=1)
        self.bn1 = nn.BatchNorm2d(WIDTHS[-1], eps=2e-5)
        self.pre_fc1 = nn.Linear(WIDTHS[-1] * 7 * 7, 128)
        self.fc1 = nn.BatchNorm1d(128, eps=2e-5)

    def forward(self, faces: Tensor) -> Tensor:
        """Embed faces."""
        x = (faces - CONSTANTS["scalar_op1"]) * CONSTANTS["scalar_op2"]
        for layer in self.layers.values():
            x = layer(x)
        embeddings: Tensor = self.fc1(self.pre_fc1(self.bn1(x).flatten(1)))
        return embeddings


def _layer(before: int, after: int, size: int = 3, groups: int = 1, stride: int = 1) -> nn.Module:
    convolution = nn.Conv2d(before, after, size, stride, size // 2, groups=groups, bias=False)
    parts = {"conv2d": convolution, "batchnorm": nn.BatchNorm2d(after, eps=1e-3), "relu": nn.PReLU(after)}
    layer = nn.Sequential()
    for name, part in parts.items():
        layer.add_module(name, part)
    return layer


def to_state(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The file's names -> the network's: ``conv_2_dw_relu_gamma`` is ``layers.conv_2_dw.relu.weight``."""
    state = {}
    for name, tensor in tensors.items():
        if tensor.numel() == 1 and name in CONSTANTS and float(tensor) == CONSTANTS[name]:
            continue
        old = next((part for part in PARTS if name.endswith(f"_{part}")), name.rpartition("_")[2])
        where, ending = name.removesuffix(old).rstrip("_"), PARTS.get(old, old)
        layer, _, part = where.rpartition("_")
        if part in ("conv2d", "batchnorm", "relu"):
            where = f"layers.{layer}.{part}"
        state[f"{where}.{ending}"] = tensor.flatten() if part == "relu" else tensor
    return state


@attrs.define(eq=False)
class SFace(IdentityEncoder):
    """SFace from OpenCV's model zoo (Apache-2.0): small, differentiable, 128-dimensional.

    The face is cut out of an FFHQ-aligned picture by a fixed window that brings the mean face onto the five points
    that SFace was trained on.
    """

    domain: ClassVar[str] = PHOTOGRAPHS
    weights: Path | None = option(None, help=f"{SFACE.file_name}; by default the one in torch's cache")
    _network: SFaceNetwork | None = attrs.field(init=False, default=None, repr=False)

    source: ClassVar[WeightFile] = SFACE
    levels_source: ClassVar[str] = f"{ORL}; border: OpenCV's for SFace, found on LFW (equal error on ORL: 0.427)"

    def levels(self) -> dict[str, float]:
        """Means on the ORL faces, OpenCV's border; people drawn by MobileStyleGAN have 0.14 ± 0.10 to one another."""
        return {"same_person": 0.823, "strangers": 0.125, "border": 0.363}

    def check(self) -> None:
        """Check that the weight file and the package onnx are there.

        :raises ConfigError: if either is missing; CheckpointError if it is another file.
        """
        find_file(self.weights, self.source)
        require_onnx()

    def prepare(self, device: torch.device) -> None:
        """Read the weights onto ``device``.

        :raises ConfigError: if there is no file, or the package onnx is missing; nothing is downloaded.
        :raises CheckpointError: if the file is damaged or belongs to another network.
        """
        path = find_file(self.weights, self.source)
        self._network = load_network(SFaceNetwork, to_state(read_onnx(path)), path, device)

    def embed(self, images: Tensor) -> Tensor:
        """Images ``(N, 3, S, S)`` in [-1, 1] -> unit embeddings ``(N, 128)``.

        :raises ShapeError: if the images have another shape.
        """
        check_pictures(images, square=True)
        faces = window_crop(images, 112)
        return F.normalize(prepared(self._network, "SFace")((faces + 1) * 127.5), dim=1)
