"""Draft pictures: synthesis stops early, and a linear head that is fitted here makes the picture.

Half of a picture's time goes into its last block, and half of the rest into the one before. While a method trains, what
the earlier blocks show is enough; whatever is measured or looked at is drawn by the whole network.
"""

from __future__ import annotations

import copy
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from unlearnkit.ops.reduced import bfloat16_maps, cast_weight, plain_map
from unlearnkit_mobilestylegan.network import MobileStyleGAN

__all__ = ["Draft", "fit_head"]

FACES, SEED = 16, 20240617
"""Random people on whom the head is fitted. With 24 instead of 12 the unexplained variance falls from 9 to 8 % at 256
pixels and from 14 to 11 % at 128 (sixteen other people, each against the variance of its own picture)."""


class Draft:
    """Stops synthesis at ``resolution`` pixels; the head is fitted to ``network`` when it is first needed.

    A copy is the same object: the frozen and the edited generator share one head, fitted before anything was trained.
    """

    def __init__(self, network: MobileStyleGAN, resolution: int) -> None:
        self.resolution = resolution
        self._network: MobileStyleGAN | None = copy.deepcopy(network)

    def __deepcopy__(self, memo: object) -> Draft:
        return self

    @cached_property
    def head(self) -> tuple[Tensor, Tensor]:
        """Weight ``(3, C, 1, 1)`` and bias ``(3,)``."""
        assert self._network is not None
        with bfloat16_maps(False):
            weight, bias = fit_head(self._network, self.resolution)
        self._network = None
        return weight, bias

    def __call__(self, network: MobileStyleGAN, latents: Tensor, output: int, feature: int) -> tuple[Tensor, Tensor]:
        """Pictures ``(N, 3, output, output)`` and features of latents ``(N, rows, dim)``; differentiable."""
        x, features = network.synthesis.trunk(latents, feature, self.resolution)
        weight, bias = self.head
        image = plain_map(F.conv2d(x, cast_weight(weight, x), bias.to(x.dtype)))
        if output < self.resolution:
            image = F.avg_pool2d(image, self.resolution // output)
        elif output > self.resolution:
            image = F.interpolate(image, (output, output), mode="bilinear", align_corners=False)
        return image, features


@torch.no_grad()
def fit_head(network: MobileStyleGAN, resolution: int) -> tuple[Tensor, Tensor]:
    """Least squares to the whole network's pictures of ``FACES`` random people, always the same ones.

    A head of 3 × 3 pixels explains hardly more than one of a single pixel (a tenth of what is left), so this is one.
    """
    rng = torch.Generator().manual_seed(SEED)
    rows, dim = network.synthesis.num_rows, network.mapping.w_avg.shape[0]
    z = torch.randn(FACES, dim, generator=rng).to(network.mapping.w_avg)
    gram = moment = torch.zeros(1, 1)
    for w in network.mapping(z):
        latent = w.expand(1, rows, dim)
        x, _ = network.synthesis.trunk(latent, resolution, resolution)
        picture, _ = network.synthesis(latent, resolution, resolution)
        # On the CPU in double precision: the features are correlated, and not every device has double precision.
        columns = torch.cat([x[0].flatten(1), x.new_ones(1, resolution**2)]).cpu().double()
        gram, moment = gram + columns @ columns.T, moment + columns @ picture[0].flatten(1).T.cpu().double()
    ridge = 1e-7 * gram.diagonal().mean() * torch.eye(len(gram), dtype=torch.float64)
    head = torch.linalg.solve(gram + ridge, moment).T.to(network.mapping.w_avg)
    return head[:, :-1, None, None].contiguous(), head[:, -1].contiguous()
