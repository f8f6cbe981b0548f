"""A world so small that a whole run takes milliseconds: a generator, encoders, a job and evidence, without weights.

The conformance checks put a component into it; tests of everything else may use it too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import attrs
import torch
from torch import Tensor, nn

from unlearnkit.errors import ShapeError
from unlearnkit.interfaces import (
    Base,
    Evidence,
    Generator,
    IdentityEncoder,
    Job,
    Loss,
    Measures,
    Perceptual,
    Person,
    Rendering,
    Request,
    TargetSelector,
)

__all__ = [
    "ToyGenerator", "ToyIdentity", "ToyPerceptual", "ToyTarget", "ToyViewGenerator", "make_evidence", "make_job",
    "pictures", "random_latents", "toy_job",
]


@attrs.define(eq=False)
class ToyGenerator(Generator):
    """A linear map from latents ``(N, 2, 3)`` to pictures ``(N, 3, 4, 4)``; counts the pictures that it renders."""

    rendered: int = attrs.field(init=False, default=0)
    network: nn.Module = attrs.field(init=False, factory=lambda: ToyGenerator.build())

    resolution = 4
    z_dim = 3
    w_dim = 3
    num_ws = 2

    @staticmethod
    def build() -> nn.Module:
        """The network, the same each time."""
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(0)
            return nn.ModuleDict({"mapping": nn.Linear(3, 3), "synthesis": nn.Linear(6, 48)})

    @property
    def module(self) -> nn.Module:
        """Mapping and synthesis, a linear layer each."""
        return self.network

    @property
    def base(self) -> Base:
        """No file: a toy is made, not read."""
        return Base(Path("toy"), "toy", "0" * 64)

    @property
    def w_avg(self) -> Tensor:
        """Mean latent ``(2, 3)``."""
        return torch.full((2, 3), 0.1)

    def map(self, z: Tensor) -> Tensor:
        """z ``(N, 3)`` -> latents ``(N, 2, 3)``."""
        mapped: Tensor = self.network["mapping"](z)  # type: ignore[index]
        return mapped[:, None].repeat(1, 2, 1)

    def render(self, latents: Tensor, views: Tensor | None = None, rng: torch.Generator | None = None) -> Rendering:
        """Latents ``(N, 2, 3)`` -> image ``(N, 3, 4, 4)`` and, as features, its first two channels."""
        self.rendered += len(latents)
        drawn: Tensor = self.network["synthesis"](latents.flatten(1))  # type: ignore[index]
        drawn = drawn.reshape(-1, 3, 4, 4)
        if "adapter" in self.network:  # type: ignore[operator]
            drawn = self.network["adapter"](drawn)  # type: ignore[index]
        image = drawn.tanh()
        return Rendering(image, image[:, :2])

    def adapt(self, make: Callable[[int], nn.Module]) -> dict[str, nn.Module]:
        """One adapter behind synthesis, on its three channels."""
        if "adapter" not in self.network:  # type: ignore[operator]
            self.network.add_module("adapter", make(3))
        return {"adapter": self.network["adapter"]}  # type: ignore[index]

    def editable_parameters(self) -> dict[str, nn.Parameter]:
        """Weight and bias of synthesis."""
        named = self.network["synthesis"].named_parameters()  # type: ignore[index]
        return {f"synthesis.{name}": value for name, value in named}


@attrs.define(eq=False)
class ToyViewGenerator(ToyGenerator):
    """The same with a view ``(N, 2)`` that scales the picture: shows whether views are passed on."""

    has_views: ClassVar[bool] = True

    def render(self, latents: Tensor, views: Tensor | None = None, rng: torch.Generator | None = None) -> Rendering:
        """Latents ``(N, 2, 3)`` and views ``(N, 2)`` -> image and features.

        :raises ShapeError: without one view for each latent.
        """
        if views is None or views.shape != (len(latents), 2):
            given = None if views is None else tuple(views.shape)
            raise ShapeError(f"views {given} given for {len(latents)} latents, expected ({len(latents)}, 2)")
        image = ToyGenerator.render(self, latents).image * (1 + 0.2 * views.tanh().mean(1))[:, None, None, None]
        return Rendering(image, image[:, :2])

    def sample_views(self, count: int, rng: torch.Generator) -> Tensor:
        """``(count, 2)``, normally distributed."""
        return torch.randn(count, 2, generator=rng)

    def evaluation_views(self) -> Tensor:
        """Three fixed views ``(3, 2)``."""
        return torch.tensor([[-1.0, 0.0], [0.0, 0.0], [1.0, 0.0]])

    def turn_views(self, count: int) -> Tensor:
        """``(count, 2)`` on a circle."""
        phase = torch.arange(count) * (2 * torch.pi / count)
        return torch.stack([phase.sin(), phase.cos()], 1)

    def depth(self, latents: Tensor, views: Tensor) -> Tensor:
        """The brightness of the picture ``(N, 1, H, W)``: no depth, but it has the shape of one."""
        return self.render(latents, views).image.mean(1, keepdim=True)


@attrs.define(eq=False)
class ToyIdentity(IdentityEncoder):
    """The picture averaged down to 4 x 4, normalised; counts what it embeds."""

    embedded: int = attrs.field(init=False, default=0)

    def embed(self, images: Tensor) -> Tensor:
        """Images ``(N, 3, H, W)`` -> ``(N, 48)``."""
        self.embedded += len(images)
        return nn.functional.normalize(nn.functional.adaptive_avg_pool2d(images, 4).flatten(1), dim=1)


@attrs.define(eq=False)
class ToyPerceptual(Perceptual):
    """Mean squared difference of the pixels."""

    label: ClassVar[str] = "toy-pixels"

    def features(self, images: Tensor) -> list[Tensor]:
        """The images themselves."""
        return [images]

    def distance(self, a: list[Tensor], b: list[Tensor]) -> Tensor:
        """Mean square over all pixels ``(N,)``."""
        return (a[0] - b[0]).square().flatten(1).mean(1)


@attrs.define(eq=False)
class ToyTarget(TargetSelector):
    """The other side of the mean latent, as far away."""

    def select(self, erased: Tensor, generator: Generator, rng: torch.Generator) -> Tensor:
        """``(P, num_ws, w_dim)`` -> their mirror images."""
        return 2 * generator.w_avg.detach() - erased


# ---------------------------------------------------------------- what components are given

def random_latents(generator: Generator, count: int, seed: int = 7) -> Tensor:
    """Latents of random z, always the same: ``(count, num_ws, w_dim)``."""
    z = torch.randn(count, generator.z_dim, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        return generator.map(z.to(generator.w_avg.device))


def pictures(count: int, side: int = 64, seed: int = 0) -> Tensor:
    """Smooth coloured pictures ``(count, 3, side, side)`` in [-1, 1], always the same: no faces, but not noise."""
    coarse = torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    return nn.functional.interpolate(coarse, (side, side), mode="bicubic", align_corners=False).tanh()


def make_job(
    edited: Generator, frozen: Generator, losses: Mapping[str, Loss], people: int = 1, seed: int = 0, **options: Any
) -> Job:
    """A job on two equal generators: ``people`` random people, targets on the other side of the mean."""
    erased = random_latents(edited, people)
    options.setdefault("targets", 2 * edited.w_avg.detach() - erased)
    return Job(
        edited=edited, frozen=frozen, erased=erased, losses=losses,
        measures=Measures(ToyPerceptual(), ToyIdentity()), rng=torch.Generator().manual_seed(seed),
        device=torch.device("cpu"), **options,
    )


def toy_job(losses: Mapping[str, Loss], people: int = 1, seed: int = 0, **options: Any) -> Job:
    """A job on fresh toys, see :func:`make_job`."""
    return make_job(ToyGenerator(), ToyGenerator(), losses, people, seed, **options)


def make_evidence(frozen: Generator, edited: Generator, people: int = 1, samples: int = 12) -> Evidence:
    """Evidence on two generators: people with three latents each (the last with pictures), two bystanders, and
    somebody erased earlier, by an edit that is on both generators; the original is ``frozen`` itself.
    """
    named = [Person(f"person {i}", random_latents(frozen, 3, 20 + i)) for i in range(people)]
    views = frozen.evaluation_views()
    with torch.no_grad():
        seen = frozen.render(named[-1].latents, None if views is None else views[:1].expand(3, *views.shape[1:])).image
    named[-1] = attrs.evolve(named[-1], pictures=seen)
    bystanders = tuple(Person(f"bystander {i}", random_latents(frozen, 1, 40 + i)) for i in range(2))
    earlier = (Person("earlier person", random_latents(frozen, 1, 60)),)
    return Evidence(
        frozen=frozen, edited=edited, original=frozen, request=Request(tuple(named), bystanders, earlier),
        judge=ToyIdentity(), perceptual=ToyPerceptual(), seed=3, samples=samples,
    )
