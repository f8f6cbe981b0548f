"""A generator, encoders and a job so small that a whole run takes milliseconds: for tests of everything around."""

from __future__ import annotations

from pathlib import Path

import attrs
import torch
from torch import Tensor, nn

from unlearnkit.interfaces import Base, Generator, IdentityEncoder, Job, Measures, Perceptual, Rendering


@attrs.define(eq=False)
class ToyGenerator(Generator):
    """A linear map from latents ``(N, 2, 3)`` to pictures ``(N, 3, 4, 4)``; counts its forward passes."""

    resolution: int = 4
    z_dim: int = 3
    w_dim: int = 3
    num_ws: int = 2
    rendered: int = 0
    network: nn.Module = attrs.field(factory=lambda: ToyGenerator.build())

    @staticmethod
    def build() -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return nn.ModuleDict({"mapping": nn.Linear(3, 3), "synthesis": nn.Linear(6, 48)})

    @property
    def module(self) -> nn.Module:
        return self.network

    @property
    def base(self) -> Base:
        return Base(Path("toy"), "toy", "0" * 64)

    @property
    def w_avg(self) -> Tensor:
        return torch.full((2, 3), 0.1)

    def map(self, z: Tensor) -> Tensor:
        return self.network["mapping"](z)[:, None].repeat(1, 2, 1)

    def render(self, latents: Tensor, views: Tensor | None = None, rng: torch.Generator | None = None) -> Rendering:
        self.rendered += len(latents)
        image = self.network["synthesis"](latents.flatten(1)).tanh().reshape(-1, 3, 4, 4)
        return Rendering(image, image[:, :2])

    def editable_parameters(self) -> dict[str, nn.Parameter]:
        return {f"synthesis.{name}": value for name, value in self.network["synthesis"].named_parameters()}


@attrs.define(eq=False)
class ToyIdentity(IdentityEncoder):
    """The picture itself, normalised; counts what it embeds."""

    embedded: int = 0

    def embed(self, images: Tensor) -> Tensor:
        self.embedded += len(images)
        return nn.functional.normalize(images.flatten(1), dim=1)


@attrs.define(eq=False)
class ToyPerceptual(Perceptual):
    """Mean squared difference of the pixels."""

    def features(self, images: Tensor) -> list[Tensor]:
        return [images]

    def distance(self, a: list[Tensor], b: list[Tensor]) -> Tensor:
        return (a[0] - b[0]).square().flatten(1).mean(1)


def toy_job(losses: dict, people: int = 1, seed: int = 0, **options) -> Job:
    """A job on fresh toys: ``people`` random sources, targets on the other side of the mean."""
    generator, source = ToyGenerator(), ToyGenerator()
    with torch.no_grad():
        sources = generator.map(torch.randn(people, 3, generator=torch.Generator().manual_seed(7)))
    return Job(
        generator=generator, source=source, sources=sources, targets=2 * generator.w_avg - sources, losses=losses,
        measures=Measures(ToyPerceptual(), ToyIdentity()), rng=torch.Generator().manual_seed(seed),
        device=torch.device("cpu"), **options,
    )
