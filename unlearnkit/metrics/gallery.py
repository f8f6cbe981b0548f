"""Pictures before and after, each rendered once and shared between the metrics of one run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property, partial
from weakref import WeakKeyDictionary

import attrs
import torch
from torch import Tensor

from unlearnkit.errors import ShapeError
from unlearnkit.interfaces import Evidence, Generator, Number, Perceptual, Person, draw_people
from unlearnkit.metrics.fronts import BATCH, Fronts, front_images
from unlearnkit.streams import stream
from unlearnkit.ticks import tick

__all__ = [
    "BATCH", "SHOWN", "Cosine", "Faces", "Gallery", "Sample", "front_images", "similarity", "slices", "unusable",
    "unusable_numbers",
]

SHOWN = 16
"""Random people whom every metric and the report may ask for: the first of the sample."""

Cosine = partial(Number, least=-1.0, most=1.0)
"""Declares a similarity of identities."""

_GALLERIES: WeakKeyDictionary[Evidence, Gallery] = WeakKeyDictionary()


@attrs.frozen(eq=False)
class Faces:
    """What the judge sees of M latents in V views (V = 1 without views), as unit embeddings ``(M, V, D)``.

    ``reference`` is whom a latent shows: its own picture ``(M, 1, D)`` where one was given (``pictured``),
    otherwise what the frozen generator made of it ``(M, V, D)``.

    Where a judge that looks for faces finds none in a picture, or several, its embedding is NaN. ``counts`` is how many
    it found in each picture ``before``, ``after`` and, where there are any, in the person's own (``pictures``).
    """

    before: Tensor
    after: Tensor
    reference: Tensor
    pictured: bool
    counts: Mapping[str, Tensor] = attrs.field(factory=dict)


@attrs.frozen(eq=False)
class Sample:
    """N random latents before and after.

    * ``pooled_before``, ``pooled_after``: ``(N, D)`` float64, one feature vector a picture
    * ``distance``: perceptual distance of each pair ``(N,)``; ``identity``: the judge's similarity ``(N,)``
    * ``counts``: as in :class:`Faces`; ``identity`` is NaN where a picture does not show one face
    """

    pooled_before: Tensor
    pooled_after: Tensor
    distance: Tensor
    identity: Tensor
    counts: Mapping[str, Tensor]


class Gallery:
    """Renders and embeds on demand, each latent once; all on the CPU once measured.

    Draws come from the streams of the evidence: no number depends on which other metrics were asked for.
    """

    def __init__(self, evidence: Evidence) -> None:
        # No reference back to the evidence: it is the key under which this gallery is kept.
        self._frozen, self._edited = evidence.frozen, evidence.edited
        self._judge, self._perceptual = evidence.judge, evidence.perceptual
        self._seed, self._gone = evidence.seed, evidence.request.gone
        self._samples = evidence.samples
        self._faces: dict[Person, Faces] = {}
        self.fronts = Fronts(evidence.judge)

    @staticmethod
    def of(evidence: Evidence) -> Gallery:
        """The gallery that all metrics of this evidence share."""
        if evidence not in _GALLERIES:
            _GALLERIES[evidence] = Gallery(evidence)
        return _GALLERIES[evidence]

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
        before, count_before = self._embed(self._frozen, latents, front)
        after, count_after = self._embed(self._edited, latents, front)
        counts = _known({"before": count_before, "after": count_after})
        if pictures is None:
            return Faces(before, after, before, pictured=False, counts=counts)
        if len(pictures) != len(latents):
            raise ShapeError(f"{len(latents)} latents and {len(pictures)} pictures; give one for each")
        device = self._frozen.w_avg.device
        known, count = _together([self._see(part.to(device)) for part in pictures.split(BATCH)])
        return Faces(before, after, known[:, None], pictured=True, counts=counts | _known({"pictures": count}))

    @cached_property
    @torch.no_grad()
    def sample(self) -> Sample:
        """Random latents, each seen in a random view that is the same before and after."""
        latents, views = self._drawn[0][: self._samples], self._drawn[1]
        rows: list[tuple[Tensor, ...]] = []
        faces: list[list[tuple[Tensor, Tensor | None]]] = []
        for part in slices(len(latents)):
            images, judged = zip(*(self._shown(g, latents[part], part, views) for g in (self._frozen, self._edited)),
                                 strict=True)
            features = [self._perceptual.features(image) for image in images]
            pooled = [self._pooled(image, seen) for image, seen in zip(images, features, strict=True)]
            faces.append(list(judged))
            rows.append((*pooled, self._perceptual.distance(*features).cpu().double()))
        (before, count_before), (after, count_after) = (_together(side) for side in zip(*faces, strict=True))
        pooled_before, pooled_after, distance = (torch.cat(column) for column in zip(*rows, strict=True))
        counts = _known({"before": count_before, "after": count_after})
        return Sample(pooled_before, pooled_after, distance, similarity(before, after).double(), counts)

    def random(self, count: int) -> Tensor:
        """Latents ``(N, num_ws, w_dim)`` of random people: the first of the sample, at most ``count``."""
        return self._drawn[0][:count]

    @cached_property
    def _drawn(self) -> tuple[Tensor, Tensor | None]:
        rng, count = stream(self._seed, "evidence/sample"), max(self._samples, SHOWN)
        return draw_people(self._frozen, count, rng, self._gone), self._frozen.sample_views(count, rng)

    def _shown(
        self, generator: Generator, latents: Tensor, part: slice, views: Tensor | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor | None]]:
        """Images of a part of the sample and their faces; without views, what others may ask for is kept."""
        if views is None and part.stop <= SHOWN:
            return self.fronts.images(generator, latents), self._known_faces(*self.fronts.seen(generator, latents))
        image = generator.render(latents, None if views is None else views[part].to(latents.device)).image
        return image, self._see(image)

    def _see(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Embeddings ``(N, D)``, NaN where the judge does not find one face; and how many it found ``(N,)``."""
        return self._known_faces(*self._judge.embed_and_count(images))

    @staticmethod
    def _known_faces(embedded: Tensor, count: Tensor | None) -> tuple[Tensor, Tensor | None]:
        embedded = embedded.float().cpu()
        sound = embedded.isfinite().all(1)
        if count is None and sound.all():
            return embedded, None
        # A generator that came apart draws NaN: no judge finds a face there, and it must not vanish from the counts.
        count = (torch.ones(len(embedded)) if count is None else count.cpu()).where(sound, torch.zeros(()))
        return embedded.where((count == 1)[:, None], torch.tensor(torch.nan)), count

    def _pooled(self, image: Tensor, features: list[Tensor]) -> Tensor:
        # The network behind it is the dearest part of a sample: not twice where the default would do that.
        own = type(self._perceptual).pooled is not Perceptual.pooled
        vectors = self._perceptual.pooled(image) if own else features[-1].mean((2, 3))
        return vectors.cpu().double()

    def _embed(self, generator: Generator, latents: Tensor, front: bool) -> tuple[Tensor, Tensor | None]:
        """Embeddings ``(M, V, D)`` of what a generator makes of latents in its evaluation views; counts of faces."""
        device = generator.w_avg.device
        latents = latents.to(device)
        views = generator.front_view() if front else generator.evaluation_views()
        if views is None:
            embedded, found = self._known_faces(*self.fronts.seen(generator, latents))
            return embedded[:, None], found
        count = len(views)
        seen = []
        for part in slices(len(latents) * count):
            number = torch.arange(part.start, part.stop, device=device)
            image = generator.render(latents[number // count], views.to(device)[number % count]).image
            seen.append(self._see(image))
        embedded, found = _together(seen)
        return embedded.unflatten(0, (len(latents), count)), found


def similarity(a: Tensor, b: Tensor) -> Tensor:
    """Cosine similarity along the last dimension; embeddings have unit length."""
    return (a * b).sum(-1)


def unusable(name: str, counts: Iterable[Mapping[str, Tensor]]) -> dict[str, float]:
    """Pictures without a face, and with several; nothing from a judge that does not look for faces.

    ``n_no_face<name>`` and ``n_several_faces<name>`` of ``n_faces_sought<name>`` pictures; ``..._after`` is the same of
    those alone that the edited generator made.
    """
    sides: dict[str, list[Tensor]] = {}
    for part in counts:
        for side, count in part.items():
            sides.setdefault(side, []).append(count)
    if not sides:
        return {}
    after = torch.cat(sides.get("after", [torch.zeros(0)]))
    every = torch.cat([count for side in sides.values() for count in side])
    numbers: dict[str, float] = {}
    for suffix, count in (("", every), ("_after", after)):
        numbers[f"n_faces_sought{name}{suffix}"] = float(len(count))
        numbers[f"n_no_face{name}{suffix}"] = float((count == 0).sum())
        numbers[f"n_several_faces{name}{suffix}"] = float((count > 1).sum())
    return numbers


def unusable_numbers(name: str, pictures: str = "Pictures") -> tuple[Number, ...]:
    """Declares what :func:`unusable` counts; ``pictures`` says of whom: ``"Pictures of neighbours"``."""
    return tuple(
        Number(f"n_{kind}{name}{suffix}", f"{pictures} in which the judge finds {words}{which}", "lower",
               count=f"n_faces_sought{name}{suffix}", least=0.0, digits=0)
        for suffix, which in (("", ""), ("_after", ", edited generator only"))
        for kind, words in (("no_face", "no face"), ("several_faces", "several faces"))
    )


def slices(total: int) -> Iterator[slice]:
    """Parts of at most ``BATCH``."""
    for start in range(0, total, BATCH):
        tick(start, total)
        yield slice(start, min(start + BATCH, total))


def _together(seen: Iterable[tuple[Tensor, Tensor | None]]) -> tuple[Tensor, Tensor | None]:
    parts = list(seen)
    embedded = torch.cat([part for part, _ in parts])
    if all(count is None for _, count in parts):
        return embedded, None
    return embedded, torch.cat([torch.ones(len(part)) if count is None else count for part, count in parts])


def _known(counts: Mapping[str, Tensor | None]) -> dict[str, Tensor]:
    return {side: count for side, count in counts.items() if count is not None}
