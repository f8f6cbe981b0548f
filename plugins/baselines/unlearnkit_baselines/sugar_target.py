"""SUGAR's target (WACV 2026, arXiv 2512.06562): a small U-Net learns a target for each person."""

from __future__ import annotations

import attrs
import torch
from torch import Tensor, nn

from unlearnkit.config import option
from unlearnkit.errors import ConfigError
from unlearnkit.interfaces import Generator, Measures, Rendering, TargetSelector

__all__ = ["LatentUNet", "SugarTarget"]

CHANNELS = 64
"""Channels of the first encoder block; the second has twice as many."""


class ResidualBlock(nn.Module):
    """Pre-activation residual block: ``skip(x) + conv(relu(conv(relu(x))))``, 3x3; 1x1 skip where channels differ."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.first = nn.utils.skip_init(nn.Conv2d, channels, out, 3, padding=1)
        self.second = nn.utils.skip_init(nn.Conv2d, out, out, 3, padding=1)
        self.skip = nn.Identity() if channels == out else nn.utils.skip_init(nn.Conv2d, channels, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, channels, h, w)`` -> ``(N, out, h, w)``."""
        out: Tensor = self.skip(x) + self.second(self.first(x.relu()).relu())
        return out


class LatentUNet(nn.Module):
    """A U-Net on latents ``(N, num_ws, w_dim)``, treated as one-channel images; the output has the same shape.

    Two downsampling encoder blocks, a bottleneck, two decoder blocks with skip connections. Xavier weights drawn from
    ``rng``, zero biases. No normalisation: a latent's target must not depend on the rest of the batch.
    """

    def __init__(self, rng: torch.Generator) -> None:
        super().__init__()
        c = CHANNELS
        self.stem = nn.utils.skip_init(nn.Conv2d, 1, c, 3, padding=1)
        self.encode = nn.ModuleList([ResidualBlock(c, c), ResidualBlock(c, 2 * c)])
        self.below = ResidualBlock(2 * c, 2 * c)
        self.decode = nn.ModuleList([ResidualBlock(4 * c, c), ResidualBlock(2 * c, c)])
        self.head = nn.utils.skip_init(nn.Conv2d, c, 1, 1)
        for name, parameter in self.named_parameters():
            if name.endswith("weight"):
                nn.init.xavier_uniform_(parameter, generator=rng)
            else:
                nn.init.zeros_(parameter)

    def forward(self, latents: Tensor) -> Tensor:
        """``(N, num_ws, w_dim)`` -> the same shape; rows and columns are zero-padded to multiples of 4."""
        rows, columns = latents.shape[1:]
        x = self.stem(nn.functional.pad(latents[:, None], (0, -columns % 4, 0, -rows % 4)))
        skips = []
        for block in self.encode:
            x = block(x)
            skips.append(x)
            x = nn.functional.avg_pool2d(x, 2)
        x = self.below(x)
        for block in self.decode:
            x = block(torch.cat([nn.functional.interpolate(x, scale_factor=2.0), skips.pop()], 1))
        out: Tensor = self.head(x)[:, 0, :rows, :columns]
        return out


@attrs.define(eq=False)
class SugarTarget(TargetSelector):
    """``w_t = w_avg - d * f / |f|``, ``f = U(w_u - w_avg)``: a U-Net U learns a direction for each person.

    The norm runs over all ``num_ws * w_dim`` elements. With T and I the features and image of the frozen generator and
    E the identity encoder, Adam minimises for one person at a time

        m - identity * sg[m] * (1 - cos(E(I(w_u)), E(I(w_t)))) - perceptual * P(I(w_u), I(w_t))

    where m = mse * MSE(T(w_u), T(w_t)) and sg stops the gradient: close in features, far in identity and appearance.

    * d = 20, weights 1e-2, 0.1 and 1, 50 epochs, learning rate divided by 10 every 100, early stopping after 20 epochs
      without improvement, 2 encoder blocks from 64 channels, Xavier weights: as in the released code
    * Adam at 2e-4, one step per person: the release scales the forget rate by batch size and accumulation, 1 here
    * the bottleneck, and the front view for generators with views: ours
    """

    distance: float = option(20.0, help="distance of the target from the mean face (d)", unit="latent units", ge=0.0)
    epochs: int = option(50, help="training epochs of U", ge=0)
    patience: int = option(20, help="epochs without improvement before early stopping", ge=1)
    learning_rate: float = option(2e-4, help="Adam's learning rate for U", gt=0.0, le=1e3)
    mse: float = option(1e-2, help="weight of the mean squared feature difference", ge=0.0)
    identity: float = option(0.1, help="weight of 1 - identity similarity, scaled by the feature term", ge=0.0)
    perceptual: float = option(1.0, help="weight of the perceptual distance", ge=0.0)
    _network: LatentUNet | None = attrs.field(init=False, default=None, repr=False)

    def fit(self, erased: Tensor, generator: Generator, measures: Measures, rng: torch.Generator) -> None:
        """Train U on the latents to erase; the generator is not modified."""
        network = LatentUNet(rng).to(erased.device)
        view = generator.front_view()
        with torch.no_grad():
            originals = [generator.render(latent[None], view) for latent in erased]
        adam = torch.optim.Adam(network.parameters(), lr=self.learning_rate)
        schedule = torch.optim.lr_scheduler.StepLR(adam, 100, 0.1)
        best, stale = float("inf"), 0
        for _ in range(self.epochs):
            total = 0.0
            for latent, original in zip(erased, originals, strict=True):
                with torch.enable_grad():
                    target = self._target(network, latent[None], generator)
                    loss = self._objective(generator.render(target, view), original, measures)
                adam.zero_grad(set_to_none=True)
                loss.backward(inputs=list(network.parameters()))
                adam.step()
                total += float(loss.detach())
            schedule.step()
            best, stale = (total, 0) if total < best else (best, stale + 1)
            if stale >= self.patience:
                break
        self._network = network.requires_grad_(False)

    def select(self, erased: Tensor, generator: Generator, rng: torch.Generator) -> Tensor:
        """``(P, num_ws, w_dim)`` -> U's targets, all at distance d from the mean. Deterministic; ``rng`` is unused.

        :raises ConfigError: before :meth:`fit`.
        """
        if self._network is None:
            raise ConfigError("target sugar is not trained yet; call fit(erased, generator, measures, rng) first")
        with torch.no_grad():
            return self._target(self._network, erased, generator)

    def _target(self, network: LatentUNet, erased: Tensor, generator: Generator) -> Tensor:
        direction = network(erased - generator.w_avg)
        length = direction.flatten(1).norm(dim=1).clamp_min(1e-12)[:, None, None]
        return generator.w_avg - self.distance * direction / length

    def _objective(self, target: Rendering, original: Rendering, measures: Measures) -> Tensor:
        features = self.mse * (target.features - original.features).square().mean()
        identity = 1 - measures.identity_similarity(target, original).mean()
        perceptual = measures.perceptual_distance(target, original).mean()
        return features - self.identity * features.detach() * identity - self.perceptual * perceptual
