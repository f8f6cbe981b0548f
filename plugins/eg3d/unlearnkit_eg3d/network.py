"""EG3D: a StyleGAN2 that draws tri-planes, a volume renderer, and super-resolution; tensors named as published.

Chan et al., "Efficient Geometry-aware 3D Generative Adversarial Networks", CVPR 2022.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from unlearnkit_stylegan2.layers import RESAMPLE_TAPS, SynthesisBlock
from unlearnkit_stylegan2.network import Generator as StyleGAN2

from unlearnkit.errors import ShapeError
from unlearnkit.ops import fir_filter
from unlearnkit_eg3d.cameras import check_cameras
from unlearnkit_eg3d.volume import Decoder, Draws, Rendered, RenderSettings, rays, render

__all__ = ["VARIANTS", "Drawn", "SuperResolution", "TriPlaneGenerator", "Variant"]

PLANE_CHANNELS = 32
SR_CLAMP = 256.0


@attrs.frozen
class Variant:
    """One of the release's super-resolution networks: input size, the two blocks, and how the input is resized."""

    input: int
    widths: tuple[int, int]
    resolutions: tuple[int, int]
    ups: tuple[int, int]
    only_enlarge: bool = False
    antialias: bool = True
    has_filter: bool = True

    def scaled(self, img_resolution: int) -> Variant:
        """The same network for pictures of another size, all its resolutions halved or doubled alike.

        :raises ShapeError: unless the sizes fit.
        """
        sizes = [size * img_resolution / self.resolutions[1] for size in (self.input, *self.resolutions)]
        if min(sizes) < 4 or any(size != int(size) for size in sizes):
            raise ShapeError(f"super-resolution to {self.resolutions[1]} pixels cannot be scaled to {img_resolution}")
        first, middle, last = map(int, sizes)
        return attrs.evolve(self, input=first, resolutions=(middle, last))


VARIANTS: Mapping[str, Variant] = {
    "SuperresolutionHybrid2X": Variant(64, (128, 64), (64, 128), (1, 2)),
    "SuperresolutionHybrid4X": Variant(128, (128, 64), (128, 256), (1, 2), only_enlarge=True),
    "SuperresolutionHybrid8X": Variant(128, (128, 64), (256, 512), (2, 2)),
    "SuperresolutionHybrid8XDC": Variant(128, (256, 128), (256, 512), (2, 2), has_filter=False),
    "SuperresolutionHybridDeepfp32": Variant(128, (128, 64), (128, 256), (1, 2), only_enlarge=True, antialias=False),
}


class SuperResolution(nn.Module):
    """Feature picture ``(N, 32, r, r)`` -> picture ``(N, 3, R, R)``; styled by the last row of the latents only."""

    def __init__(self, variant: Variant, w_dim: int, *, clamp: float | None = SR_CLAMP, antialias: bool = True,
                 channels: int = PLANE_CHANNELS) -> None:
        super().__init__()
        self.variant, self.antialias = variant, antialias and variant.antialias
        if variant.has_filter:
            self.register_buffer("resample_filter", fir_filter(RESAMPLE_TAPS))
        for i, inputs in enumerate((channels, variant.widths[0])):
            self.add_module(f"block{i}", SynthesisBlock(
                inputs, variant.widths[i], w_dim=w_dim, resolution=variant.resolutions[i], img_channels=3,
                is_last=i == 1, conv_clamp=clamp, up=variant.ups[i]))

    def forward(self, image: Tensor, features: Tensor, ws: Tensor, *, noise_mode: str = "none",
                generator: torch.Generator | None = None) -> Tensor:
        rows = ws[:, -1:].repeat(1, 3, 1)
        size, wanted = features.shape[-1], self.variant.input
        if size < wanted or (size != wanted and not self.variant.only_enlarge):
            features, image = (F.interpolate(x, size=(wanted, wanted), mode="bilinear", align_corners=False,
                                             antialias=self.antialias) for x in (features, image))
        for block in (self.get_submodule("block0"), self.get_submodule("block1")):
            features, image = block(features, image, rows, noise_mode=noise_mode, generator=generator)
        return image


@attrs.frozen(eq=False)
class Drawn:
    """One forward pass: picture ``(N, 3, R, R)``, tri-planes ``(N, 96, h, w)``, raw picture and depth
    ``(N, ., r, r)`` of neural rendering, and the rays' numbers."""

    image: Tensor
    planes: Tensor
    raw: Tensor
    depth: Tensor
    rendered: Rendered


class TriPlaneGenerator(nn.Module):
    """z and a camera -> latents -> tri-planes -> rays -> picture.

    :param settings: how to render; ``neural_resolution`` rays a side; ``sr_noise`` the noise of super-resolution.
    """

    def __init__(
        self, *, backbone: Mapping[str, Any], variant: Variant, settings: RenderSettings, neural_resolution: int,
        decoder_lr_multiplier: float = 1.0, sr_antialias: bool = True, sr_noise: str = "none",
        sr_clamp: float | None = SR_CLAMP, c_scale: float = 0.0, c_zero: bool = False,
    ) -> None:
        super().__init__()
        self.settings, self.neural_resolution, self.sr_noise = settings, neural_resolution, sr_noise
        self.c_scale = 0.0 if c_zero else c_scale
        self.backbone = StyleGAN2(**{**backbone, "img_channels": 3 * PLANE_CHANNELS})
        self.decoder = Decoder(lr_multiplier=decoder_lr_multiplier)
        self.superresolution = SuperResolution(
            variant, self.backbone.w_dim, clamp=sr_clamp, antialias=sr_antialias)
        self.img_resolution = variant.resolutions[1]

    def mapping(self, z: Tensor, c: Tensor, **truncation: Any) -> Tensor:
        """``z (N, z_dim)`` and the camera ``c (N, 25)`` that it is conditioned on -> latents."""
        ws: Tensor = self.backbone.mapping(z, c * self.c_scale, **truncation)
        return ws

    def planes(self, ws: Tensor, **noise: Any) -> Tensor:
        """Tri-planes ``(N, 96, h, w)``; on a CPU equal neighbours among the latents, one head seen by several cameras,
        are drawn once unless noise makes each of them different. A GPU would have to wait for how many there are."""
        if ws.device.type != "cpu" or noise.get("noise_mode") == "random" or ws.requires_grad or len(ws) < 2:
            drawn: Tensor = self.backbone.synthesis(ws, **noise)
            return drawn
        rows, back = torch.unique_consecutive(ws, dim=0, return_inverse=True)
        drawn = self.backbone.synthesis(rows, **noise)
        return drawn if len(rows) == len(ws) else drawn[back]

    def forward(
        self, ws: Tensor, views: Tensor, *, noise_mode: str = "const", generator: torch.Generator | None = None,
        draws: Draws | None = None,
    ) -> Drawn:
        """Draw latents ``(N, num_ws, w_dim)`` as cameras ``(N, 25)`` see them; ``draws`` None: no chance in the rays.

        :raises ShapeError: if latents or cameras do not fit.
        """
        views = check_cameras(views, len(ws)).to(ws, non_blocking=True)
        planes = self.planes(ws, noise_mode=noise_mode, generator=generator)
        side = self.neural_resolution
        origins, directions = rays(views, side)
        if draws is None:
            draws = Draws.fixed(len(ws), side * side, self.settings, ws.device)
        split = planes.unflatten(1, (3, PLANE_CHANNELS))
        found = render(split, self.decoder, origins, directions, self.settings, draws)
        features = found.features.transpose(1, 2).unflatten(2, (side, side)).contiguous()
        raw = features[:, :3]
        mode = "none" if noise_mode == "none" else self.sr_noise
        image = self.superresolution(raw, features, ws, noise_mode=mode, generator=generator)
        return Drawn(image, planes, raw, found.depth.unflatten(1, (side, side))[:, None], found)

