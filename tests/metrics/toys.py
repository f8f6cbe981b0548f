"""A generator and encoders small enough to check by hand: a picture is three numbers, one a channel."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import attrs
import torch
from torch import Tensor, nn

from unlearnkit.interfaces import (
    Base,
    Evidence,
    Generator,
    IdentityEncoder,
    Perceptual,
    Person,
    Rendering,
    Request,
)


@attrs.define(eq=False)
class ToyGenerator(Generator):
    """latent (N, 1, 3) + shift, painted over the whole picture; a view turns its colours round."""

    shift: Tensor = attrs.field(factory=lambda: torch.zeros(3))
    views: bool = False
    rendered: int = 0
    resolution: int = 4
    z_dim: int = 3
    w_dim: int = 3
    num_ws: int = 1

    @property
    def has_views(self) -> bool:  # type: ignore[override]
        return self.views

    @property
    def module(self) -> nn.Module:
        return nn.Identity()

    @property
    def base(self) -> Base:
        return Base(Path("toy"), "toy", "0" * 64)

    @property
    def w_avg(self) -> Tensor:
        return torch.zeros(1, 3)

    def map(self, z: Tensor) -> Tensor:
        return z[:, None]

    def render(self, latents: Tensor, views: Tensor | None = None, rng: object = None) -> Rendering:
        assert (views is not None) == self.views, "views must be given where, and only where, there are any"
        assert len(latents) <= 8
        self.rendered += len(latents)
        colours = latents[:, 0] + self.shift
        if views is not None:
            colours = torch.stack([c.roll(int(v)) for c, v in zip(colours, views[:, 0], strict=True)])
        image = colours[:, :, None, None].expand(-1, -1, 4, 4)
        return Rendering(image, image)

    def editable_parameters(self) -> dict[str, nn.Parameter]:
        return {}

    def sample_views(self, count: int, rng: torch.Generator) -> Tensor | None:
        return torch.randint(0, 3, (count, 1), generator=rng).float() if self.views else None

    def evaluation_views(self) -> Tensor | None:
        return torch.tensor([[0.0], [1.0]]) if self.views else None


@attrs.define(eq=False)
class ToyJudge(IdentityEncoder):
    """The direction of the mean colour."""

    known: dict[str, float] | None = None

    def embed(self, images: Tensor) -> Tensor:
        return nn.functional.normalize(images.mean((2, 3)), dim=1)

    def levels(self) -> dict[str, float] | None:
        return self.known


@attrs.define(eq=False)
class ToyPerceptual(Perceptual):
    """Mean squared difference of the pixels."""

    label: ClassVar[str] = "Toy pixels"

    def features(self, images: Tensor) -> list[Tensor]:
        return [images]

    def distance(self, a: list[Tensor], b: list[Tensor]) -> Tensor:
        return (a[0] - b[0]).square().mean((1, 2, 3))


Colour = tuple[float, float, float]


def person(name: str, *colours: Colour, pictures: list[Colour] | None = None) -> Person:
    seen = None if pictures is None else torch.tensor(pictures)[:, :, None, None].expand(-1, -1, 8, 8)
    return Person(name, torch.tensor(colours)[:, None], seen)


def evidence(request: Request, shift: tuple[float, float, float] = (0.0, 0.0, 0.0), **changes) -> Evidence:
    views = changes.pop("views", False)
    given = {
        "frozen": ToyGenerator(views=views), "edited": ToyGenerator(torch.tensor(shift), views=views),
        "request": request, "judge": ToyJudge(), "perceptual": ToyPerceptual(),
        "seed": 3, "samples": 20,
    }
    return Evidence(**{**given, **changes})
