"""Pictures before and after, each rendered once and shared between the metrics of one run."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from weakref import WeakKeyDictionary

import attrs
import torch
from torch import Tensor

from unlearnkit.errors import ShapeError
from unlearnkit.interfaces import Evidence, Generator, Perceptual, Person

__all__ = ["BATCH", "Faces", "Gallery", "Sample", "similarity"]

BATCH = 8
"""Pictures rendered at once."""

_GALLERIES: WeakKeyDictionary[Evidence, Gallery] = WeakKeyDictionary()


@attrs.frozen(eq=False)
class Faces:
    """What the judge sees of M latents in V views (V = 1 without views), as unit embeddings ``(M, V, D)``.

    ``reference`` is whom a latent shows: its own picture ``(M, 1, D)`` where one was given (``pictured``),
    otherwise what the frozen generator made of it ``(M, V, D)``.
    """

    before: Tensor
    after: Tensor
    reference: Tensor
    pictured: bool


@attrs.frozen(eq=False)
class Sample:
    """N random latents before and after.

    * ``pooled_before``, ``pooled_after``: ``(N, D)`` float64, one feature vector a picture
    * ``distance``: perceptual distance of each pair ``(N,)``; ``identity``: the judge's similarity ``(N,)``
    """

    pooled_before: Tensor
    pooled_after: Tensor
    distance: Tensor
    identity: Tensor


class Gallery:
    """Renders and embeds on demand, each latent once; all on the CPU once measured.

    Draws come from copies of ``evidence.rng``: no number depends on which other metrics were asked for.
    """

    def __init__(self, evidence: Evidence) -> None:
        # No reference back to the evidence: it is the key under which this gallery is kept.
        self._before, self._after = evidence.before, evidence.after
        self._judge, self._perceptual = evidence.judge, evidence.perceptual
        self._state = evidence.rng.get_state()
        self._samples = evidence.samples
        self._faces: dict[Person, Faces] = {}

    @staticmethod
    def of(evidence: Evidence) -> Gallery:
        """The gallery that all metrics of this evidence share."""
        if evidence not in _GALLERIES:
            _GALLERIES[evidence] = Gallery(evidence)
        return _GALLERIES[evidence]

    def rng(self) -> torch.Generator:
        """A copy of the evidence's random numbers, from their beginning."""
        rng = torch.Generator()
        rng.set_state(self._state)
        return rng

    def random_latents(self, count: int, rng: torch.Generator) -> Tensor:
        """Latents of ``count`` random z ~ N(0, I), made by the frozen generator."""
        z = torch.randn(count, self._before.z_dim, generator=rng)
        with torch.no_grad():
            return self._before.map(z.to(self._before.w_avg.device))

    def faces(self, person: Person) -> Faces:
        """All latents of a person."""
        if person not in self._faces:
            self._faces[person] = self.look(person.latents, person.pictures)
        return self._faces[person]

    @torch.no_grad()
    def look(self, latents: Tensor, pictures: Tensor | None = None, *, front: bool = False) -> Faces:
        """Latents ``(M, num_ws, w_dim)`` and, where there are any, their pictures ``(M, 3, H, W)``.

        ``front`` looks from the front only (V = 1), which is enough where many latents are averaged.
        """
        before = self._embed(self._before, latents, front)
        after = self._embed(self._after, latents, front)
        if pictures is None:
            return Faces(before, after, before, pictured=False)
        if len(pictures) != len(latents):
            raise ShapeError(f"{len(latents)} latents and {len(pictures)} pictures; give one for each")
        device = self._before.w_avg.device
        seen = [self._judge.embed(part.to(device)).float().cpu() for part in pictures.split(BATCH)]
        return Faces(before, after, torch.cat(seen)[:, None], pictured=True)

    @cached_property
    @torch.no_grad()
    def sample(self) -> Sample:
        """Random latents, each seen in a random view that is the same before and after."""
        rng = self.rng()
        latents = self.random_latents(self._samples, rng)
        views = self._before.sample_views(self._samples, rng)
        rows: list[tuple[Tensor, ...]] = []
        for part in _slices(len(latents)):
            view = None if views is None else views[part].to(latents.device)
            images = [g.render(latents[part], view).image for g in (self._before, self._after)]
            features = [self._perceptual.features(image) for image in images]
            pooled = [self._pooled(image, seen) for image, seen in zip(images, features, strict=True)]
            embedded = [self._judge.embed(image) for image in images]
            distance = self._perceptual.distance(*features).double().cpu()
            rows.append((*pooled, distance, similarity(*embedded).double().cpu()))
        return Sample(*(torch.cat(column) for column in zip(*rows, strict=True)))

    def _pooled(self, image: Tensor, features: list[Tensor]) -> Tensor:
        # The network behind it is the dearest part of a sample: not twice where the default would do that.
        own = type(self._perceptual).pooled is not Perceptual.pooled
        vectors = self._perceptual.pooled(image) if own else features[-1].mean((2, 3))
        return vectors.double().cpu()

    def _embed(self, generator: Generator, latents: Tensor, front: bool) -> Tensor:
        """Embeddings ``(M, V, D)`` of what a generator makes of latents in its evaluation views."""
        device = generator.w_avg.device
        latents = latents.to(device)
        views = generator.front_view() if front else generator.evaluation_views()
        count = 1 if views is None else len(views)
        seen = []
        for part in _slices(len(latents) * count):
            number = torch.arange(part.start, part.stop, device=device)
            view = None if views is None else views.to(device)[number % count]
            image = generator.render(latents[number // count], view).image
            seen.append(self._judge.embed(image).float().cpu())
        return torch.cat(seen).unflatten(0, (len(latents), count))


def similarity(a: Tensor, b: Tensor) -> Tensor:
    """Cosine similarity along the last dimension; embeddings have unit length."""
    return (a * b).sum(-1)


def _slices(total: int) -> Iterator[slice]:
    for start in range(0, total, BATCH):
        yield slice(start, min(start + BATCH, total))
