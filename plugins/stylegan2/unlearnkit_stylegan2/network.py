"""StyleGAN2 in plain PyTorch: mapping network, synthesis network, and the generator of both.

Formulas: Karras et al., arXiv 1912.04958 (StyleGAN2) and 2006.06676 (class conditioning). Parameters and
buffers carry the names of NVIDIA's PyTorch releases, so `load_state_dict` takes their weights strictly. There
is one numerical path, the same in `train()` and `eval()`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from unlearnkit.errors import ShapeError
from unlearnkit.ops.reduced import plain_map
from unlearnkit_stylegan2.layers import RESAMPLE_TAPS, FullyConnected, SynthesisBlock

__all__ = [
    "ARCHITECTURES", "Generator", "MappingNetwork", "SynthesisNetwork", "block_channels", "block_resolutions",
]

ARCHITECTURES = ("skip", "resnet", "orig")
NORM_EPS = 1e-8


def block_resolutions(img_resolution: int) -> list[int]:
    """The resolutions 4, 8, ... up to `img_resolution`.

    :raises ShapeError: unless `img_resolution` is a power of two from 8 to 1024.
    """
    if img_resolution not in {2**k for k in range(3, 11)}:
        raise ShapeError(f"img_resolution is {img_resolution}; a StyleGAN2 has a power of two from 8 to 1024")
    return [2**k for k in range(2, img_resolution.bit_length())]


def block_channels(img_resolution: int, channel_base: int, channel_max: int) -> dict[int, int]:
    """Count the feature channels of each resolution r: `min(channel_base / r, channel_max)`.

    :raises ShapeError: as :func:`block_resolutions`.
    """
    return {r: max(1, min(channel_base // r, channel_max)) for r in block_resolutions(img_resolution)}


class MappingNetwork(nn.Module):
    """From the normal distribution to the latent space W, optionally conditioned on a label or camera."""

    w_avg: Tensor

    def __init__(
        self, z_dim: int, c_dim: int, w_dim: int, num_ws: int, *, num_layers: int = 8,
        lr_multiplier: float = 0.01, embed_features: int | None = None, layer_features: int | None = None,
    ) -> None:
        super().__init__()
        self.z_dim, self.c_dim, self.w_dim = z_dim, c_dim, w_dim
        self.num_ws, self.num_layers = num_ws, num_layers
        embedded = 0
        if c_dim > 0:
            embedded = w_dim if embed_features is None else embed_features
            self.embed = FullyConnected(c_dim, embedded)
        hidden = w_dim if layer_features is None else layer_features
        widths = [z_dim + embedded, *[hidden] * (num_layers - 1), w_dim]
        for i in range(num_layers):
            self.add_module(f"fc{i}", FullyConnected(
                widths[i], widths[i + 1], activation="lrelu", lr_multiplier=lr_multiplier))
        self.register_buffer("w_avg", torch.zeros(w_dim))

    def forward(
        self, z: Tensor, c: Tensor | None = None, *, truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
    ) -> Tensor:
        """Map `z` `(N, z_dim)` and, if `c_dim > 0`, `c` `(N, c_dim)` to `(N, num_ws, w_dim)`.

        :param truncation_psi: 1 leaves the latents as they are, 0 gives the mean one.
        :param truncation_cutoff: only rows before this one are truncated; None for all.
        :raises ShapeError: if `z` or `c` does not fit.
        """
        if z.ndim != 2 or z.shape[1] != self.z_dim:
            raise ShapeError(f"mapping: z is {tuple(z.shape)}; this network needs (N, {self.z_dim})")
        x = _normalised(z.to(self.w_avg.dtype))
        if self.c_dim > 0:
            if c is None or c.shape != (z.shape[0], self.c_dim):
                given = None if c is None else tuple(c.shape)
                raise ShapeError(f"mapping: c is {given}; this network needs ({z.shape[0]}, {self.c_dim})")
            x = torch.cat([x, _normalised(self.embed(c.to(x.dtype)))], dim=1)
        for i in range(self.num_layers):
            x = getattr(self, f"fc{i}")(x)
        ws = x[:, None, :].repeat(1, self.num_ws, 1)
        if truncation_psi == 1:
            return ws
        cutoff = self.num_ws if truncation_cutoff is None else truncation_cutoff
        return torch.cat([self.w_avg.lerp(ws[:, :cutoff], truncation_psi), ws[:, cutoff:]], dim=1)


class SynthesisNetwork(nn.Module):
    """From latents W+ to pictures, block by block from 4×4 up."""

    def __init__(
        self, w_dim: int, img_resolution: int, img_channels: int = 3, *, channel_base: int = 32768,
        channel_max: int = 512, channels: Mapping[int, int] | None = None, architecture: str = "skip",
        conv_clamp: float | None = None, resample_filter: tuple[float, ...] = RESAMPLE_TAPS,
    ) -> None:
        super().__init__()
        if architecture not in ARCHITECTURES:
            raise ShapeError(f"architecture is {architecture!r}; use one of {', '.join(ARCHITECTURES)}")
        self.w_dim, self.img_resolution, self.img_channels = w_dim, img_resolution, img_channels
        self.architecture = architecture
        self.resolutions = block_resolutions(img_resolution)
        self.channels = dict(channels or block_channels(img_resolution, channel_base, channel_max))
        self.num_ws = 2 * len(self.resolutions)
        for r in self.resolutions:
            self.add_module(f"b{r}", SynthesisBlock(
                self.channels[r // 2] if r > 4 else 0, self.channels[r], w_dim=w_dim, resolution=r,
                img_channels=img_channels, is_last=r == img_resolution, architecture=architecture,
                conv_clamp=conv_clamp, resample_taps=resample_filter))

    def adapt(self, make: Callable[[int], nn.Module]) -> dict[str, nn.Module]:
        """Put `make(channels)` behind each block but the last, whose features nobody reads; returns them by name.

        Asked again, it returns the adapters that are there.
        """
        added: dict[str, nn.Module] = {}
        for r in self.resolutions[:-1]:
            block: SynthesisBlock = getattr(self, f"b{r}")
            if block.adapter is None:
                block.adapter = make(self.channels[r]).to(block.resample_filter.device)
            added[f"b{r}.adapter"] = block.adapter
        return added

    def affine_layers(self) -> list[tuple[str, int, FullyConnected]]:
        """Every affine layer: its name, the row of latents that it reads, and the layer itself."""
        found = []
        row = 0
        for r in self.resolutions:
            block: SynthesisBlock = getattr(self, f"b{r}")
            names = ["conv1"] if block.is_first else ["conv0", "conv1"]
            for i, name in enumerate([*names, *(["torgb"] if block.has_rgb else [])]):
                found.append((f"b{r}.{name}.affine", row + i, getattr(block, name).affine))
            row += block.num_conv
        return found

    def forward(
        self, ws: Tensor, *, noise_mode: str = "const", generator: torch.Generator | None = None,
        feature: int | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Draw the pictures of latents.

        :param ws: `(N, num_ws, w_dim)`.
        :param noise_mode: 'const' (the file's noise, deterministic), 'random' (drawn anew), 'none'.
        :param generator: draws the random noise; None for torch's global one.
        :param feature: a resolution r, to get the feature map `(N, channels[r], r, r)` of its block as well.
        :returns: the picture `(N, img_channels, R, R)`, about [-1, 1] but not clamped; with `feature`, the
            pair of picture and feature map.
        :raises ShapeError: if `ws`, `noise_mode` or `feature` does not fit.
        """
        if ws.ndim != 3 or ws.shape[1:] != (self.num_ws, self.w_dim):
            needed = f"(N, {self.num_ws}, {self.w_dim})"
            raise ShapeError(f"synthesis: ws is {tuple(ws.shape)}; this network needs {needed}")
        if feature is not None and feature not in self.resolutions:
            raise ShapeError(f"synthesis: feature is {feature!r}; use one of {self.resolutions}")
        ws = ws.to(next(self.parameters()).dtype)
        x = image = kept = None
        row = 0
        for r in self.resolutions:
            block: SynthesisBlock = getattr(self, f"b{r}")
            # To-RGB shares its row of latents with the first convolution of the next block.
            rows = ws[:, row : row + block.num_conv + 1]
            x, image = block(x, image, rows, noise_mode=noise_mode, generator=generator)
            if block.adapter is not None:
                x = block.adapter(plain_map(x))
            row += block.num_conv
            kept = plain_map(x) if r == feature else kept
        assert image is not None
        return image if kept is None else (image, kept)


class Generator(nn.Module):
    """StyleGAN2: `mapping` (z to W) and `synthesis` (W+ to picture); see the two parts for the settings.

    :param channels: feature channels by resolution, where `channel_base` and `channel_max` cannot say it.
    """

    def __init__(
        self, *, z_dim: int, c_dim: int, w_dim: int, img_resolution: int, img_channels: int = 3,
        num_layers: int = 8, lr_multiplier: float = 0.01, embed_features: int | None = None,
        layer_features: int | None = None, channel_base: int = 32768, channel_max: int = 512,
        channels: Mapping[int, int] | None = None, architecture: str = "skip",
        conv_clamp: float | None = None, resample_filter: tuple[float, ...] = RESAMPLE_TAPS,
    ) -> None:
        super().__init__()
        self.z_dim, self.c_dim, self.w_dim = z_dim, c_dim, w_dim
        self.img_resolution, self.img_channels = img_resolution, img_channels
        self.synthesis = SynthesisNetwork(
            w_dim, img_resolution, img_channels, channel_base=channel_base, channel_max=channel_max,
            channels=channels, architecture=architecture, conv_clamp=conv_clamp,
            resample_filter=resample_filter)
        self.num_ws = self.synthesis.num_ws
        self.mapping = MappingNetwork(
            z_dim, c_dim, w_dim, self.num_ws, num_layers=num_layers, lr_multiplier=lr_multiplier,
            embed_features=embed_features, layer_features=layer_features)

    def forward(
        self, z: Tensor, c: Tensor | None = None, *, truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None, noise_mode: str = "const",
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Draw pictures `(N, img_channels, R, R)` of `z` `(N, z_dim)`; arguments as for the two parts."""
        ws = self.mapping(z, c, truncation_psi=truncation_psi, truncation_cutoff=truncation_cutoff)
        image: Tensor = self.synthesis(ws, noise_mode=noise_mode, generator=generator)
        return image


def _normalised(x: Tensor) -> Tensor:
    """Rows of `x` `(N, C)` divided by their root mean square."""
    return x * (x.square().mean(dim=1, keepdim=True) + NORM_EPS).rsqrt()
