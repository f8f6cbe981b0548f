"""SUGAR's target (WACV 2026, arXiv 2512.06562): a small U-Net learns where each person shall go."""

from __future__ import annotations

import attrs
import torch
from torch import Tensor, nn

from unlearnkit.config import option
from unlearnkit.errors import ConfigError
from unlearnkit.interfaces import Generator, Measures, Rendering, TargetSelector

__all__ = ["LatentUNet", "SugarTarget"]

CHANNELS = 64
"""Of the first of two encoding blocks; the second has twice as many."""


class ResidualBlock(nn.Module):
    """``skip(x) + conv(relu(conv(relu(x))))``: activation first, 3x3; the skip is 1x1 where channels differ."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.first = nn.utils.skip_init(nn.Conv2d, channels, out, 3, padding=1)
        self.second = nn.utils.skip_init(nn.Conv2d, out, out, 3, padding=1)
        self.skip = nn.Identity() if channels == out else nn.utils.skip_init(nn.Conv2d, channels, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, channels, h, w)`` -> ``(N, out, h, w)``."""
        made: Tensor = self.skip(x) + self.second(self.first(x.relu()).relu())
        return made


class LatentUNet(nn.Module):
    """Latents ``(N, num_ws, w_dim)``, seen as pictures of one channel, to latents of the same shape.

    Two encoding blocks that halve, one below, two decoding blocks that see what was there before halving. Xavier
    weights drawn from ``rng``, biases zero. No normalisation: a latent's target must not depend on its company.
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
        """``(N, num_ws, w_dim)`` -> the same shape; rows and columns are padded with zeros to multiples of 4."""
        rows, columns = latents.shape[1:]
        x = self.stem(nn.functional.pad(latents[:, None], (0, -columns % 4, 0, -rows % 4)))
        seen = []
        for block in self.encode:
            x = block(x)
            seen.append(x)
            x = nn.functional.avg_pool2d(x, 2)
        x = self.below(x)
        for block in self.decode:
            x = block(torch.cat([nn.functional.interpolate(x, scale_factor=2.0), seen.pop()], 1))
        made: Tensor = self.head(x)[:, 0, :rows, :columns]
        return made


@attrs.define(eq=False)
class SugarTarget(TargetSelector):
    """``w_t = w_avg - d * f / |f|``, ``f = U(w_u - w_avg)``: a U-Net U learns a direction for each person.

    The norm runs over all ``num_ws * w_dim`` numbers. With T the features, I the picture and E the identity encoder of
    the frozen generator, Adam minimises for one person after the other

        m - identity * sg[m] * (1 - cos(E(I(w_u)), E(I(w_t)))) - perceptual * P(I(w_u), I(w_t))

    where m = mse * MSE(T(w_u), T(w_t)) and sg stops the gradient: near in features, far in identity and looks.

    * d = 20, weights 1e-2, 0.1 and 1, 50 epochs, learning rate divided by 10 every 100, an end after 20 epochs
      without improvement, 2 encoding blocks from 64 channels, Xavier weights: read in the released program
    * Adam at 2e-4, one step a person: the program multiplies the forget step's rate by batch and accumulation, 1 here
    * what is between the encoding blocks and the decoding ones, and the front view for generators with views: ours
    """

    distance: float = option(20.0, help="how far from the mean face the target lies (d)", unit="latent units", ge=0.0)
    epochs: int = option(50, help="how often U sees each person", ge=0)
    patience: int = option(20, help="epochs without improvement after which U is left as it is", ge=1)
    learning_rate: float = option(2e-4, help="Adam's step size for U", gt=0.0)
    mse: float = option(1e-2, help="weight of the mean squared feature difference", ge=0.0)
    identity: float = option(0.1, help="weight of 1 - identity similarity, times the feature term", ge=0.0)
    perceptual: float = option(1.0, help="weight of the perceptual distance", ge=0.0)
    _network: LatentUNet | None = attrs.field(init=False, default=None, repr=False)

    def fit(self, erased: Tensor, generator: Generator, measures: Measures, rng: torch.Generator) -> None:
        """Train U on the latents to erase; the generator stays as it is."""
        network = LatentUNet(rng).to(erased.device)
        view = generator.front_view()
        with torch.no_grad():
            before = [generator.render(latent[None], view) for latent in erased]
        adam = torch.optim.Adam(network.parameters(), lr=self.learning_rate)
        schedule = torch.optim.lr_scheduler.StepLR(adam, 100, 0.1)
        best, waited = float("inf"), 0
        for _ in range(self.epochs):
            total = 0.0
            for latent, seen in zip(erased, before, strict=True):
                with torch.enable_grad():
                    target = self._target(network, latent[None], generator)
                    loss = self._objective(generator.render(target, view), seen, measures)
                adam.zero_grad(set_to_none=True)
                loss.backward(inputs=list(network.parameters()))
                adam.step()
                total += float(loss.detach())
            schedule.step()
            best, waited = (total, 0) if total < best else (best, waited + 1)
            if waited >= self.patience:
                break
        self._network = network.requires_grad_(False)

    def select(self, erased: Tensor, generator: Generator, rng: torch.Generator) -> Tensor:
        """``(P, num_ws, w_dim)`` -> U's targets, all at distance d from the mean. Deterministic; ``rng`` is unused.

        :raises ConfigError: before :meth:`fit`.
        """
        if self._network is None:
            raise ConfigError("target sugar has learned nothing yet; call fit(erased, generator, measures, rng) first")
        with torch.no_grad():
            return self._target(self._network, erased, generator)

    def _target(self, network: LatentUNet, erased: Tensor, generator: Generator) -> Tensor:
        made = network(erased - generator.w_avg)
        length = made.flatten(1).norm(dim=1).clamp_min(1e-12)[:, None, None]
        return generator.w_avg - self.distance * made / length

    def _objective(self, now: Rendering, before: Rendering, measures: Measures) -> Tensor:
        features = self.mse * (now.features - before.features).square().mean()
        away = 1 - measures.identity_similarity(now, before).mean()
        looks = measures.perceptual_distance(now, before).mean()
        return features - self.identity * features.detach() * away - self.perceptual * looks
