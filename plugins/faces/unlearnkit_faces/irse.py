"""Residual face networks "IR", with or without squeeze-and-excitation (Deng et al. 2018, arXiv 1801.07698).

Written from the papers and the names and shapes of the published state dicts; parameter names are theirs.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["FaceNetwork", "ir_101", "ir_se50", "residual_body"]

WIDTHS = (64, 128, 256, 512)
SIDE = 7
"""Side of the last feature map: 112 pixels downsampled four times by 2."""


class SqueezeExcite(nn.Module):
    """Channel gates from channel means (Hu et al. 2017, arXiv 1709.01507): ``(N, C, h, w)`` -> same."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // reduction, 1, bias=False)
        self.fc2 = nn.Conv2d(channels // reduction, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gates: Tensor = self.fc2(F.relu(self.fc1(x.mean((2, 3), keepdim=True))))
        return x * gates.sigmoid()


class Block(nn.Module):
    """One residual block: ``(N, C_in, h, w)`` -> ``(N, C_out, h / stride, w / stride)``."""

    def __init__(self, c_in: int, c_out: int, stride: int, squeeze: bool) -> None:
        super().__init__()
        self.shortcut_layer = nn.MaxPool2d(1, stride) if c_in == c_out else nn.Sequential(
            nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out))
        layers = [
            nn.BatchNorm2d(c_in),
            nn.Conv2d(c_in, c_out, 3, 1, 1, bias=False),
            nn.PReLU(c_out),
            nn.Conv2d(c_out, c_out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(c_out),
        ]
        self.res_layer = nn.Sequential(*layers, *([SqueezeExcite(c_out)] if squeeze else []))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.res_layer(x) + self.shortcut_layer(x)
        return out


def input_layer() -> nn.Sequential:
    """The first convolution, 3 -> 64 channels at full resolution."""
    return nn.Sequential(nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.PReLU(64))


def residual_body(depths: tuple[int, int, int, int], squeeze: bool) -> nn.Sequential:
    """Four stages of residual blocks; the first block of each halves the resolution."""
    blocks, c_in = [], WIDTHS[0]
    for width, depth in zip(WIDTHS, depths, strict=True):
        for index in range(depth):
            blocks.append(Block(c_in, width, 2 if index == 0 else 1, squeeze))
            c_in = width
    return nn.Sequential(*blocks)


class FaceNetwork(nn.Module):
    """Faces ``(N, 3, 112, 112)`` in [-1, 1] -> embeddings of unit length ``(N, 512)``."""

    def __init__(
        self, depths: tuple[int, int, int, int], squeeze: bool, dropout: float, affine: bool
    ) -> None:
        super().__init__()
        self.input_layer = input_layer()
        self.body = residual_body(depths, squeeze)
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(512), nn.Dropout(dropout), nn.Flatten(), nn.Linear(512 * SIDE * SIDE, 512),
            nn.BatchNorm1d(512, affine=affine))

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(self.output_layer(self.body(self.input_layer(x))), dim=1)


def ir_se50() -> FaceNetwork:
    """ArcFace's IR-SE50, as in ``model_ir_se50.pth``."""
    return FaceNetwork((3, 4, 14, 3), squeeze=True, dropout=0.6, affine=True)


def ir_101() -> FaceNetwork:
    """CurricularFace's IR-101, as in ``CurricularFace_Backbone.pth``."""
    return FaceNetwork((3, 13, 30, 3), squeeze=False, dropout=0.4, affine=False)
