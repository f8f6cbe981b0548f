"""Volume rendering of tri-planes as in the papers: three planes, everything sorted, colours composited twice.

The reference for `volume` and the native kernels, used only by tests and benchmarks. Formulas, arguments and shapes as
in `volume`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from unlearnkit.ops.volume import Composite, Look, importance, interval_weights

__all__ = ["composite", "march", "sample_planes"]


def sample_planes(planes: Tensor, points: Tensor, box_warp: float) -> Tensor:
    """Mean features ``(N, M, C)`` of points ``(N, M, 3)`` on planes ``(N, 3, C, h, w)``: (x, y), (x, z), (z, x).

    The third is the second transposed, a bug of the release that every published checkpoint was trained with.
    """
    x, y, z = (points * (2 / box_warp)).unbind(-1)
    grid = torch.stack([torch.stack(pair, -1) for pair in ((x, y), (x, z), (z, x))], dim=1)
    found = F.grid_sample(
        planes.flatten(0, 1), grid.flatten(0, 1)[:, None], mode="bilinear", padding_mode="zeros", align_corners=False
    )
    return found[:, :, 0].unflatten(0, planes.shape[:2]).mean(1).transpose(1, 2)


def march(look: Look, depths: Tensor, draws: Tensor, white_back: bool = False) -> Composite:
    """Coarse pass with colours, fine pass, then composite all samples in depth order."""
    density, colour = look(depths)
    coarse = composite(depths, density, colour, white_back)
    if not draws.shape[-1]:
        return coarse
    more = importance(depths, interval_weights(depths, density.detach()), draws)
    fine = look(more)
    return composite(torch.cat([depths, more], -1), torch.cat([density, fine[0]], -1),
                     torch.cat([colour, fine[1]], 2), white_back)


def composite(depths: Tensor, density: Tensor, colour: Tensor, white_back: bool = False) -> Composite:
    """Sort samples and colours by depth, and sum over the intervals."""
    order = depths.argsort(-1)
    ordered, density = depths.gather(-1, order), density.gather(-1, order)
    colour = colour.gather(2, order[..., None].expand_as(colour))
    weights = interval_weights(ordered, density)
    colours = (weights[..., None] * (colour[:, :, 1:] + colour[:, :, :-1]) / 2).sum(2)
    opacity = weights.sum(-1)
    middle = (ordered[..., 1:] + ordered[..., :-1]) / 2
    depth = torch.nan_to_num((weights * middle).sum(-1) / opacity, float("inf")).clamp(depths.min(), depths.max())
    return Composite(colours + 1 - opacity[..., None] if white_back else colours, depth, opacity)
