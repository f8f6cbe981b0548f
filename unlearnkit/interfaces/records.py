"""The records that components hand to each other.

Shapes: N pictures or latents, 3 colour channels, H = W = ``generator.resolution``; images in [-1, 1], RGB.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import torch
from torch import Tensor, nn

from unlearnkit.errors import ShapeError
from unlearnkit.numbers import About, Number
from unlearnkit.streams import stream

if TYPE_CHECKING:
    from unlearnkit.interfaces.components import (
        Generator,
        IdentityEncoder,
        Loss,
        Perceptual,
        TargetSelector,
    )

_DRAWS = 8
"""A generator that makes the same latent of everything must not be drawn from for ever."""

__all__ = [
    "About", "Attempt", "Base", "Case", "Evidence", "Job", "Measures", "Number", "Pairs", "Person", "Progress",
    "Recovery", "Rendering", "Request", "Step", "StyleLayer", "draw_people", "unit",
]


@attrs.frozen(eq=False)
class Rendering:
    """What a generator makes of a latent: image and features from **one** forward pass.

    * ``image`` ``(N, 3, H, W)``, about [-1, 1] (not clamped)
    * ``features`` ``(N, C, h, w)``: tri-planes (EG3D) or a chosen synthesis feature map (StyleGAN2)
    * ``memo``: embeddings already computed from this rendering, so that nothing frozen is computed twice
    """

    image: Tensor
    features: Tensor
    memo: dict[Any, Any] = attrs.field(factory=dict, repr=False)


@attrs.frozen(eq=False)
class Pairs:
    """"What the edited generator makes of ``edited[i]`` shall look like what the frozen one makes of ``frozen[i]``."

    * ``edited``, ``frozen``: W+ latents ``(N, num_ws, w_dim)``
    * ``views``: ``(N, ...)``, the same view on both sides, or None for a generator without views
    * ``constant``: the frozen side is the same at every step, so its rendering may be kept
    """

    edited: Tensor
    frozen: Tensor
    views: Tensor | None = None
    constant: bool = False

    def __attrs_post_init__(self) -> None:
        if self.edited.ndim != 3 or self.edited.shape != self.frozen.shape:
            raise ShapeError(
                f"pairs need two latents of one shape (N, num_ws, w_dim); got {tuple(self.edited.shape)} and "
                f"{tuple(self.frozen.shape)}"
            )

    def __len__(self) -> int:
        return len(self.edited)


@attrs.frozen(eq=False)
class Person:
    """Somebody who asks to be erased, or a bystander.

    * ``latents`` ``(M, num_ws, w_dim)``: the first ``n_erased`` are those a method erases, the others only judge
    * ``pictures`` ``(M, 3, H, W)`` in [-1, 1]: what the latents were inverted from; None if drawn or saved
    """

    name: str
    latents: Tensor
    pictures: Tensor | None = None
    n_erased: int = attrs.field(default=1, validator=attrs.validators.ge(1))


@attrs.frozen(eq=False)
class Request:
    """What to erase (one or several people), who must stay as they are, and who was erased by ``earlier`` edits."""

    people: tuple[Person, ...]
    bystanders: tuple[Person, ...] = ()
    earlier: tuple[Person, ...] = ()

    @property
    def erased(self) -> Tensor:
        """Every latent to erase, person by person: ``(P, num_ws, w_dim)``."""
        return torch.cat([person.latents[: person.n_erased] for person in self.people])

    @property
    def gone(self) -> Tensor:
        """Every latent ``(M, num_ws, w_dim)`` of somebody who is, or was, erased: nobody else may be one of these."""
        return torch.cat([person.latents for person in (*self.people, *self.earlier)])


@attrs.frozen(eq=False)
class StyleLayer:
    """One affine layer of synthesis: it reads row ``row`` of a latent, style = gain * weight @ w[row] + bias.

    * ``name``: of the layer in ``module.state_dict()``, without ``.weight`` and ``.bias``
    * ``weight`` ``(C, w_dim)``, ``bias`` ``(C,)``: the parameters themselves
    """

    name: str
    row: int
    weight: nn.Parameter
    bias: nn.Parameter
    gain: float


@attrs.frozen
class Base:
    """The file that a generator came from: its path, format (see unlearnkit.checkpoints) and SHA-256."""

    path: Path
    format: str
    sha256: str


@attrs.frozen(eq=False)
class Measures:
    """The networks that losses measure with. What they make of a frozen rendering is kept in its ``memo``."""

    perceptual: Perceptual
    identity: IdentityEncoder

    def perceptual_distance(self, edited: Rendering, frozen: Rendering) -> Tensor:
        """Perceptual distance of each pair ``(N,)``, differentiable in ``edited`` only."""
        if "perceptual" not in frozen.memo:
            with torch.no_grad():
                frozen.memo["perceptual"] = self.features(frozen.image)
        return self.perceptual.distance(self.features(edited.image), frozen.memo["perceptual"])

    def identity_similarity(self, edited: Rendering, frozen: Rendering) -> Tensor:
        """Cosine of the two identities of each pair ``(N,)`` in [-1, 1], differentiable in ``edited`` only."""
        if "identity" not in frozen.memo:
            with torch.no_grad():
                frozen.memo["identity"] = self.embed(frozen.image)
        return (self.embed(edited.image) * frozen.memo["identity"]).sum(1)

    def features(self, images: Tensor) -> list[Tensor]:
        """The perceptual network's feature maps of images ``(N, 3, H, W)``."""
        return self.perceptual.features(images)

    def embed(self, images: Tensor) -> Tensor:
        """The identities ``(N, D)`` of images ``(N, 3, H, W)``."""
        return self.identity.embed(images)


@attrs.frozen(eq=False)
class Step:
    """What a loss may look at when it names its pairs.

    * ``index``: 0-based number of the step
    * ``edited``: the generator that is being edited
    * ``erased``, ``targets``: ``(P, num_ws, w_dim)``, the latents to erase and what shall be made of them
    * ``view``: ``(1, ...)`` drawn once a step and shared by all losses (GUIDE does so), or None
    * ``rng``: draw from nothing else (CPU generator; its state is saved with each checkpoint)
    * ``selector``: what chose the targets, for losses that ask it for more of them; None without one
    """

    index: int
    edited: Generator
    erased: Tensor
    targets: Tensor
    view: Tensor | None
    rng: torch.Generator
    selector: TargetSelector | None = None

    def random_latents(self, count: int) -> Tensor:
        """Latents of ``count`` random z ~ N(0, I): ``(count, num_ws, w_dim)``; never one of those to erase.

        Should one be drawn, the mean latent takes its place: drawing again would make a GPU wait for the answer.
        """
        drawn = self.edited.sample_latents(count, self.rng)
        return torch.where(_is_any_of(drawn, self.erased)[:, None, None], self.edited.w_avg.to(drawn), drawn)

    def directions(self, latents: Tensor) -> Tensor:
        """Of each latent ``(N, num_ws, w_dim)`` towards a random one, see :func:`unit`."""
        return unit(self.random_latents(len(latents)) - latents)

    def pairs(self, edited: Tensor, frozen: Tensor, constant: bool = False) -> Pairs:
        """Pairs under this step's view; ``constant`` only holds where no view is drawn."""
        views = None if self.view is None else self.view.expand(len(edited), *self.view.shape[1:])
        return Pairs(edited, frozen, views, constant and views is None)


class Progress:
    """Where a method reports what it does and keeps what a resume needs; this one does neither."""

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The last saved tensors and plain values, or None at a fresh start."""
        return None

    def save(self, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
        """Keep these; they replace the ones before. Raises ``Interrupted`` where the user asked to stop."""

    def due(self) -> bool:
        """True if the method should save now."""
        return False

    def step(self, index: int, total: int, terms: Mapping[str, float]) -> None:
        """Called after step ``index`` of ``total`` with its plain numbers."""


@attrs.define(eq=False)
class Job:
    """All that a method needs: the generator to edit in place, a frozen copy of it, and what to erase.

    * ``erased``, ``targets``: latents ``(P, num_ws, w_dim)``
    * ``rng``: what the loop draws from (CPU); its state belongs to what a resume needs
    * ``seed``: of the run; :meth:`stream` makes other random numbers of it
    * ``cuda_graph``: record a step once and replay it, see :mod:`unlearnkit.engine.graphs`
    """

    edited: Generator
    frozen: Generator
    erased: Tensor
    targets: Tensor
    losses: Mapping[str, Loss]
    measures: Measures
    rng: torch.Generator
    device: torch.device
    progress: Progress = attrs.field(factory=Progress)
    selector: TargetSelector | None = None
    cuda_graph: bool = False
    seed: int = 0

    def stream(self, purpose: str, index: int = 0) -> torch.Generator:
        """Random numbers (CPU) for one purpose of a method or loss, apart from the loop's and the same on resume."""
        return stream(self.seed, purpose, index)

    def random_latents(self, count: int, rng: torch.Generator | None = None) -> Tensor:
        """Latents ``(count, num_ws, w_dim)`` of random people, none of whom is to be erased; from ``self.rng`` by
        default."""
        return draw_people(self.frozen, count, self.rng if rng is None else rng, self.erased)


@attrs.frozen(eq=False)
class Evidence:
    """What a metric looks at: the generator before and after, the request, and encoders that no loss has used.

    * ``seed``: of all that is drawn; :meth:`stream` gives each purpose random numbers of its own
    * ``original``: the checkpoint as it was where ``frozen`` has an earlier edit on it; otherwise None
    """

    frozen: Generator
    edited: Generator
    request: Request
    judge: IdentityEncoder
    perceptual: Perceptual
    seed: int = 0
    samples: int = 200
    original: Generator | None = None

    @property
    def about(self) -> About:
        """What the names of numbers depend on."""
        people, earlier = ([person.name for person in group] for group in (self.request.people, self.request.earlier))
        return About(tuple(people), tuple(earlier), self.perceptual.label, self.frozen.has_views)

    def stream(self, purpose: str, index: int = 0) -> torch.Generator:
        """Random numbers (CPU) for one purpose: no metric changes what another draws, and none sees the same people."""
        return stream(self.seed, f"evidence/{purpose}", index)

    def random_latents(self, count: int, rng: torch.Generator) -> Tensor:
        """Latents ``(count, num_ws, w_dim)`` of random people, none of whom was ever erased."""
        return draw_people(self.frozen, count, rng, self.request.gone)


@attrs.frozen(eq=False)
class Case:
    """What an attack looks at: the generator before and after, and the one person to bring back.

    * ``evidence``: draw from ``evidence.stream(purpose)`` only; ``evidence.judge`` says what was found, and is never
      what an attack optimises
    * ``target`` ``(1, num_ws, w_dim)``: the latent whose face took the person's place, or None if nobody knows
    * ``identity``: an encoder that the attacker may use (the one of the losses), or None
    * ``border``: the similarity from which the judge recognises the person, or None if nobody knows
    """

    evidence: Evidence
    person: Person
    target: Tensor | None = None
    identity: IdentityEncoder | None = None
    border: float | None = None


@attrs.frozen(eq=False)
class Attempt:
    """What one procedure found on one generator.

    * ``points``: (effort so far, best similarity so far), both rising; the last effort is the whole budget
    * ``image`` ``(3, H, W)``: the face that was most like the person
    * ``share``: of the faces looked at, how many the judge recognises, in [0, 1]; None without a border, and where an
      optimiser chose them
    """

    points: tuple[tuple[int, float], ...]
    image: Tensor
    share: float | None = None


@attrs.frozen(eq=False)
class Recovery:
    """What an attack found on the edited generator (``edited``), and the same procedure on its ``control``.

    ``judged_on``: in words, which pictures of the person the similarity is to.
    """

    edited: Attempt
    control: Attempt
    judged_on: str


def draw_people(generator: Generator, count: int, rng: torch.Generator, erased: Tensor) -> Tensor:
    """Latents ``(count, num_ws, w_dim)`` of random people; one who is among ``erased`` is drawn again."""
    latents = generator.sample_latents(count, rng)
    for _ in range(_DRAWS):
        again = _is_any_of(latents, erased)
        if not again.any():
            break
        latents = latents.clone()
        latents[again] = generator.sample_latents(int(again.sum()), rng)
    return latents


def _is_any_of(latents: Tensor, erased: Tensor) -> Tensor:
    """Which latents ``(N, num_ws, w_dim)`` are, but for rounding, one of ``erased``: ``(N,)``."""
    erased = erased.to(latents).flatten(1)
    # By differences, since products would round; cdist needs no (N, M, num_ws * w_dim) for them.
    apart = torch.cdist(latents.flatten(1), erased, compute_mode="donot_use_mm_for_euclid_dist")
    return (apart <= 1e-4 * erased.norm(dim=1)).any(1)


def unit(offsets: Tensor) -> Tensor:
    """Offsets ``(N, num_ws, w_dim)`` at length 1, L2 over all ``num_ws * w_dim`` numbers; zero stays zero."""
    return offsets / offsets.flatten(1).norm(dim=1).clamp_min(1e-12)[:, None, None]
