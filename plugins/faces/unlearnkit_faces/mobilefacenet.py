"""MobileFaceNet (Chen et al. 2018, arXiv 1804.07573), with the layers of the file that foamliu/MobileFaceNet publishes.

It differs from the paper: 112 × 112 faces standardised as ImageNet's pictures, ReLU and ReLU6 in place of PReLU, and
a biased last convolution.
"""

from __future__ import annotations

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
from unlearnkit_faces.files import MOBILEFACENET
from unlearnkit_faces.template import ORL, window_crop
from unlearnkit_faces.weights import load_network, read_state

__all__ = ["MobileFaceNet", "MobileFaceNetwork"]

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's, for pictures in [0, 1]."""
STAGES = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))
"""Table 1 of the paper: expansion, channels, blocks, and the stride of the first block."""


class MobileFaceNetwork(nn.Module):
    """Standardised faces ``(N, 3, 112, 112)`` -> embeddings ``(N, 128)``, not normalised."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = _convolution(3, 64, 3, stride=2)
        self.dw_conv = _Separable()
        blocks, width = [], 64
        for expansion, channels, count, stride in STAGES:
            for index in range(count):
                blocks.append(_Bottleneck(width, channels, expansion, stride if index == 0 else 1))
                width = channels
        self.features = nn.Sequential(*blocks)
        self.conv2 = _convolution(width, 512, 1)
        self.gdconv = nn.ModuleDict({
            "depthwise": nn.Conv2d(512, 512, 7, groups=512, bias=False), "bn": nn.BatchNorm2d(512)})
        self.conv3 = nn.Conv2d(512, 128, 1)
        self.bn = nn.BatchNorm2d(128)

    def forward(self, faces: Tensor) -> Tensor:
        """Embed faces."""
        x = self.conv2(self.features(self.dw_conv(self.conv1(faces))))
        for part in (*self.gdconv.values(), self.conv3, self.bn):
            x = part(x)
        embeddings: Tensor = x.flatten(1)
        return embeddings


def _convolution(before: int, after: int, size: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, after, size, stride, size // 2, groups=groups, bias=False),
                         nn.BatchNorm2d(after), nn.ReLU6())


class _Separable(nn.Module):
    """The one block that is separable without expansion."""

    def __init__(self) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(64, 64, 3, padding=1, groups=64, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.pointwise = nn.Conv2d(64, 64, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(64)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn2(self.pointwise(F.relu(self.bn1(self.depthwise(x))))))


class _Bottleneck(nn.Module):
    """The inverted residual of MobileNet v2 (Sandler et al. 2018, section 3.3)."""

    def __init__(self, before: int, after: int, expansion: int, stride: int) -> None:
        super().__init__()
        wide = before * expansion
        self.conv = nn.Sequential(_convolution(before, wide, 1), _convolution(wide, wide, 3, stride, groups=wide),
                                  nn.Conv2d(wide, after, 1, bias=False), nn.BatchNorm2d(after))
        self.residual = stride == 1 and before == after

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        return x + y if self.residual else y


@attrs.define(eq=False)
class MobileFaceNet(IdentityEncoder):
    """MobileFaceNet (Apache-2.0): the smallest here, differentiable, 128-dimensional.

    The face is cut out of an FFHQ-aligned picture as for SFace.
    """

    domain: ClassVar[str] = PHOTOGRAPHS
    weights: Path | None = option(None, help="mobilefacenet.pt; by default the one in torch's cache")
    _network: MobileFaceNetwork | None = attrs.field(init=False, default=None, repr=False)

    source: ClassVar[WeightFile] = MOBILEFACENET
    levels_source: ClassVar[str] = f"{ORL}; border: equal error"

    def levels(self) -> dict[str, float]:
        """Means and border on the ORL faces; people drawn by MobileStyleGAN have 0.07 ± 0.12 to one another."""
        return {"same_person": 0.817, "strangers": 0.073, "border": 0.390}

    def check(self) -> None:
        """Check that the weight file is there.

        :raises ConfigError: if there is none; CheckpointError if it is another file.
        """
        find_file(self.weights, self.source)

    def prepare(self, device: torch.device) -> None:
        """Read the weights onto ``device``.

        :raises ConfigError: if there is no file; nothing is downloaded.
        :raises CheckpointError: if the file is damaged or belongs to another network.
        """
        path = find_file(self.weights, self.source)
        self._network = load_network(MobileFaceNetwork, read_state(path), path, device)

    def embed(self, images: Tensor) -> Tensor:
        """Images ``(N, 3, S, S)`` in [-1, 1] -> unit embeddings ``(N, 128)``.

        :raises ShapeError: if the images have another shape.
        """
        check_pictures(images, square=True)
        faces = (window_crop(images, 112) + 1) / 2
        mean, deviation = (faces.new_tensor(numbers).view(1, 3, 1, 1) for numbers in (MEAN, DEVIATION))
        return F.normalize(prepared(self._network, "MobileFaceNet")((faces - mean) / deviation), dim=1)
