"""The records that components exchange.

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
"""Maximum number of redraws: a generator may map everything to the same latent."""

__all__ = [
    "About", "Attempt", "Base", "Case", "Evidence", "Holds", "Job", "Measures", "Number", "Pairs", "Person", "Progress",
    "Recovery", "Rendering", "Request", "Step", "StyleLayer", "draw_people", "unit",
]


@attrs.frozen(eq=False)
class Rendering:
    """A rendering: image and features of latents from **one** forward pass.

    * ``image`` ``(N, 3, H, W)``, about [-1, 1] (not clamped)
    * ``features`` ``(N, C, h, w)``: tri-planes (EG3D) or a selected synthesis feature map (StyleGAN2)
    * ``memo``: cache of embeddings computed from this rendering, so that frozen ones are computed only once
    """

    image: Tensor
    features: Tensor
    memo: dict[Any, Any] = attrs.field(factory=dict, repr=False)


@attrs.frozen(eq=False)
class Pairs:
    """"The edited generator's rendering of ``edited[i]`` should look like the frozen one's of ``frozen[i]``."

    * ``edited``, ``frozen``: W+ latents ``(N, num_ws, w_dim)``
    * ``views``: ``(N, ...)``, the same view on both sides, or None for a generator without views
    * ``constant``: the frozen side is the same at every step, so its rendering may be cached
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
    """A person to erase, or a bystander.

    * ``latents`` ``(M, num_ws, w_dim)``: a method erases the first ``n_erased``, the others only evaluate
    * ``pictures`` ``(M, 3, H, W)`` in [-1, 1]: what the latents were inverted from; None for seeds and latent files
    """

    name: str
    latents: Tensor
    pictures: Tensor | None = None
    n_erased: int = attrs.field(default=1, validator=attrs.validators.ge(1))


@attrs.frozen(eq=False)
class Request:
    """The people to erase (one or several), the bystanders to preserve, and people erased by ``earlier`` edits."""

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
    """One affine layer of synthesis, on row ``row`` of a latent: style = gain * weight @ w[row] + bias_gain * bias.

    * ``name``: of the layer in ``module.state_dict()``, without ``.weight`` and ``.bias``
    * ``weight`` ``(C, w_dim)``, ``bias`` ``(C,)``: the parameters themselves
    """

    name: str
    row: int
    weight: nn.Parameter
    bias: nn.Parameter
    gain: float
    bias_gain: float = 1.0


@attrs.frozen
class Base:
    """The checkpoint file of a generator: its path, format (see unlearnkit.checkpoints) and SHA-256."""

    path: Path
    format: str
    sha256: str


@attrs.frozen(eq=False)
class Measures:
    """The losses' networks. Their outputs for a frozen rendering are cached in its ``memo``."""

    perceptual: Perceptual
    identity: IdentityEncoder

    def perceptual_distance(self, edited: Rendering, frozen: Rendering) -> Tensor:
        """Perceptual distance of each pair ``(N,)``, differentiable in ``edited`` only."""
        if "perceptual" not in frozen.memo:
            with torch.no_grad():
                frozen.memo["perceptual"] = self.features(frozen.image)
        return self.perceptual.distance(self.features(edited.image), frozen.memo["perceptual"])

    def identity_similarity(self, edited: Rendering, frozen: Rendering) -> Tensor:
        """Cosine similarity of the identities of each pair ``(N,)`` in [-1, 1], differentiable in ``edited`` only."""
        if "identity" not in frozen.memo:
            with torch.no_grad():
                frozen.memo["identity"] = self.embed(frozen.image)
        return (self.embed(edited.image) * frozen.memo["identity"]).sum(1)

    def features(self, images: Tensor) -> list[Tensor]:
        """The perceptual network's feature maps of images ``(N, 3, H, W)``."""
        return self.perceptual.features(images)

    def embed(self, images: Tensor) -> Tensor:
        """The identity embeddings ``(N, D)`` of images ``(N, 3, H, W)``."""
        return self.identity.embed(images)


@attrs.frozen(eq=False)
class Step:
    """What a loss builds its pairs from.

    * ``index``: 0-based index of the step
    * ``edited``: the generator being edited
    * ``erased``, ``targets``: ``(P, num_ws, w_dim)``, the latents to erase and their targets
    * ``view``: ``(1, ...)``, drawn once per step and shared by all losses (as in GUIDE), or None
    * ``rng``: the only random number generator to use (on the CPU; its state is saved with each checkpoint)
    * ``selector``: the target selector, for losses that need further targets, or None
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

        If one is drawn, the mean latent replaces it: drawing again would require a GPU synchronisation.
        """
        drawn = self.edited.sample_latents(count, self.rng)
        return torch.where(_is_any_of(drawn, self.erased)[:, None, None], self.edited.w_avg.to(drawn), drawn)

    def directions(self, latents: Tensor) -> Tensor:
        """Unit directions from each latent ``(N, num_ws, w_dim)`` towards a random one, see :func:`unit`."""
        return unit(self.random_latents(len(latents)) - latents)

    def pairs(self, edited: Tensor, frozen: Tensor, constant: bool = False) -> Pairs:
        """Pairs with this step's view; ``constant`` is ignored if a view is drawn."""
        views = None if self.view is None else self.view.expand(len(edited), *self.view.shape[1:])
        return Pairs(edited, frozen, views, constant and views is None)


class Progress:
    """Where a method reports its steps and saves checkpoints; this base class does neither."""

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The last saved tensors and plain values, or None on a fresh start."""
        return None

    def save(self, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
        """Save a checkpoint, replacing the previous one. May raise ``Interrupted`` after a stop request."""

    def due(self) -> bool:
        """True if the method should save now."""
        return False

    def step(self, index: int, total: int, terms: Mapping[str, float]) -> None:
        """Called after step ``index`` of ``total`` with its terms as plain floats."""


@attrs.define(eq=False)
class Job:
    """The input of a method: the generator to edit in place, a frozen copy of it, and what to erase.

    * ``erased``, ``targets``: latents ``(P, num_ws, w_dim)``
    * ``rng``: random number generator of the training loop (CPU); its state is part of a checkpoint
    * ``seed``: of the run; :meth:`stream` derives further generators from it
    * ``cuda_graph``: capture a step once and replay it, see :mod:`unlearnkit.engine.graphs`
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
        """A random number generator (CPU) for one purpose, independent of the loop's and the same on resume."""
        return stream(self.seed, purpose, index)

    def random_latents(self, count: int, rng: torch.Generator | None = None) -> Tensor:
        """Latents ``(count, num_ws, w_dim)`` of random people, none of whom is to be erased; from ``self.rng`` by
        default."""
        return draw_people(self.frozen, count, self.rng if rng is None else rng, self.erased)


@attrs.frozen(eq=False)
class Evidence:
    """The input of a metric: the frozen and edited generators, the request, and encoders that no loss has used.

    * ``seed``: of all random draws; :meth:`stream` derives an independent generator for each purpose
    * ``original``: the unmodified checkpoint if ``frozen`` has an earlier edit applied, otherwise None
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
        """What the names of metrics' numbers depend on."""
        people, earlier = ([person.name for person in group] for group in (self.request.people, self.request.earlier))
        return About(tuple(people), tuple(earlier), self.perceptual.label, self.frozen.has_views)

    def stream(self, purpose: str, index: int = 0) -> torch.Generator:
        """A random number generator (CPU) for one purpose, so that metrics do not affect each other's draws."""
        return stream(self.seed, f"evidence/{purpose}", index)

    def random_latents(self, count: int, rng: torch.Generator) -> Tensor:
        """Latents ``(count, num_ws, w_dim)`` of random people, none of whom was ever erased."""
        return draw_people(self.frozen, count, rng, self.request.gone)


@attrs.frozen
class Holds:
    """What an attacker has beside the edited generator: its checkpoint, or the edit and its base.

    * ``base``: the generator before the edit, which is public for most users
    * ``photo``: a picture of the person, and so their latent. Without one, the attacker does not know whom they look
      for
    * ``encoder``: an identity encoder, never the judge
    * ``compute``: the most that the attack computes: ``"arithmetic"`` on weights, ``"renderings"``, ``"search"``
      (gradients to latents) or ``"training"`` (gradients to weights)
    """

    base: bool = False
    photo: bool = False
    encoder: bool = False
    compute: str = attrs.field(
        default="renderings", validator=attrs.validators.in_(("arithmetic", "renderings", "search", "training"))
    )

    @property
    def words(self) -> str:
        """``the edited generator, its base``: everything but the compute."""
        things = {"its base": self.base, "a photo of the person": self.photo, "an identity encoder": self.encoder}
        return ", ".join(["the edited generator", *(name for name, there in things.items() if there)])


@attrs.frozen(eq=False)
class Case:
    """The input of an attack: the frozen and edited generators, and the person to recover.

    * ``evidence``: draw from ``evidence.stream(purpose)`` only; ``evidence.judge`` evaluates success, and must never be
      what an attack optimises
    * ``target`` ``(1, num_ws, w_dim)``: the target that replaced the person, or None if unknown
    * ``identity``: an encoder that the attacker may use (the one of the losses), or None
    * ``border``: the similarity from which the judge recognises the person, or None if unknown
    """

    evidence: Evidence
    person: Person
    target: Tensor | None = None
    identity: IdentityEncoder | None = None
    border: float | None = None


@attrs.frozen(eq=False)
class Attempt:
    """The result of one procedure on one generator.

    * ``points``: (effort so far, best similarity so far), both increasing; the last effort is the whole budget
    * ``image`` ``(3, H, W)``: the face most similar to the person
    * ``share``: fraction of the rendered faces that the judge recognises, in [0, 1]; None without a border, or if an
      optimiser produced them
    * ``guesses`` ``(G, 3, H, W)``: the faces that an attacker puts forward who asks *whom* the edit erases, chosen
      without the judge; the audit scores them as identification. None for an attacker who looks for a person they know
    """

    points: tuple[tuple[int, float], ...]
    image: Tensor
    share: float | None = None
    guesses: Tensor | None = None


@attrs.frozen(eq=False)
class Recovery:
    """The result of an attack on the edited generator (``edited``), and of the same procedure on its ``control``.

    * ``judged_on``: in words, the pictures of the person that the similarity refers to
    * ``remark``: a sentence that belongs to the result, such as the setting that was the worst; may be empty
    """

    edited: Attempt
    control: Attempt
    judged_on: str
    remark: str = ""


def draw_people(generator: Generator, count: int, rng: torch.Generator, erased: Tensor) -> Tensor:
    """Latents ``(count, num_ws, w_dim)`` of random people; any that is among ``erased`` is drawn again."""
    latents = generator.sample_latents(count, rng)
    for _ in range(_DRAWS):
        again = _is_any_of(latents, erased)
        if not again.any():
            break
        latents = latents.clone()
        latents[again] = generator.sample_latents(int(again.sum()), rng)
    return latents


def _is_any_of(latents: Tensor, erased: Tensor) -> Tensor:
    """Which latents ``(N, num_ws, w_dim)`` equal one of ``erased`` up to rounding: ``(N,)``."""
    erased = erased.to(latents).flatten(1)
    # From differences, since the matmul form loses precision; cdist avoids the (N, M, num_ws * w_dim) tensor.
    distances = torch.cdist(latents.flatten(1), erased, compute_mode="donot_use_mm_for_euclid_dist")
    return (distances <= 1e-4 * erased.norm(dim=1)).any(1)


def unit(offsets: Tensor) -> Tensor:
    """Offsets ``(N, num_ws, w_dim)`` scaled to unit L2 norm over all ``num_ws * w_dim`` elements; zero stays zero."""
    return offsets / offsets.flatten(1).norm(dim=1).clamp_min(1e-12)[:, None, None]
