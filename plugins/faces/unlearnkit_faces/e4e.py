"""The encoders of e4e (Tov et al. 2021, arXiv 2102.02766) and pSp (Richardson et al. 2020, arXiv 2008.00951).

Both are an IR-SE50 trunk with a feature pyramid and one small *style* head per StyleGAN2 layer. They differ in how
the heads' outputs are interpreted: pSp's are the rows of the latent, e4e's are a first row and offsets from it.
Written from the papers and the names and shapes of the published state dicts.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unlearnkit_faces.irse import input_layer, residual_body

__all__ = ["SIDE", "StyleEncoder"]

SIDE = 256
"""Input resolution of the encoder."""
WIDTH = 512
TAPS = (6, 20, 23)
"""Blocks of the trunk whose outputs (128, 256 and 512 channels) feed the pyramid."""
COARSE, MIDDLE = 3, 7
"""First style heads on the 32 × 32 and on the 64 × 64 map."""


class ScaledLinear(nn.Module):
    """StyleGAN2's equalised linear layer: weights are stored with unit variance and scaled at run time."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width, width))
        self.bias = nn.Parameter(torch.empty(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight / math.sqrt(self.weight.shape[1]), self.bias)


class Style(nn.Module):
    """One map ``(N, 512, side, side)`` -> one row ``(N, 512)``: stride-2 convolutions down to one pixel."""

    def __init__(self, side: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(int(math.log2(side))):
            layers += [nn.Conv2d(WIDTH, WIDTH, 3, stride=2, padding=1), nn.LeakyReLU()]
        self.convs = nn.Sequential(*layers)
        self.linear = ScaledLinear(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        row: Tensor = self.linear(self.convs(x).flatten(1))
        return row


class StyleEncoder(nn.Module):
    """Images ``(N, 3, 256, 256)`` in [-1, 1] -> rows ``(N, num_ws, 512)``, usually offsets from the mean latent.

    ``progressive`` interprets the heads as e4e does, otherwise as pSp does.
    """

    def __init__(self, num_ws: int, progressive: bool = True) -> None:
        super().__init__()
        self.progressive = progressive
        self.input_layer = input_layer()
        self.body = residual_body((3, 4, 14, 3), squeeze=True)
        self.styles = nn.ModuleList(
            Style(16 if index < COARSE else 32 if index < MIDDLE else 64) for index in range(num_ws))
        self.latlayer1 = nn.Conv2d(256, WIDTH, 1)
        self.latlayer2 = nn.Conv2d(128, WIDTH, 1)

    def forward(self, images: Tensor) -> Tensor:
        coarse, middle, fine = self._pyramid(images)
        rows = torch.stack([
            style(coarse if index < COARSE else middle if index < MIDDLE else fine)
            for index, style in enumerate(self.styles)
        ], dim=1)
        if not self.progressive:
            return rows
        return torch.cat([rows[:, :1], rows[:, :1] + rows[:, 1:]], dim=1)

    def _pyramid(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Maps of 512 channels: 16 × 16, 32 × 32 and 64 × 64."""
        x, taken = self.input_layer(images), []
        for index, block in enumerate(self.body):
            x = block(x)
            if index in TAPS:
                taken.append(x)
        fine, middle, coarse = taken
        middle = _add(coarse, self.latlayer1(middle))
        return coarse, middle, _add(middle, self.latlayer2(fine))


def _add(small: Tensor, large: Tensor) -> Tensor:
    return F.interpolate(small, large.shape[2:], mode="bilinear", align_corners=True) + large
