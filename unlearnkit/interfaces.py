"""The abstract classes and records that everything else is written against, and nothing else.

Shapes: N pictures or latents, 3 colour channels, H = W = ``generator.resolution``; images in [-1, 1], RGB.
A component *is* its attrs class: its fields are its options (see :func:`unlearnkit.config.option`).
Nothing heavy happens in a constructor; :meth:`Component.prepare` loads networks onto a device.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import attrs
import torch
from torch import Tensor, nn

__all__ = [
    "Attack", "Attempt", "Base", "Case", "Component", "Evidence", "Generator", "IdentityEncoder", "Inverter", "Job",
    "Loss", "Measures", "Metric", "Pairs", "Penalty", "Perceptual", "Person", "Progress", "Recovery",
    "Rendering", "Request", "Step", "StyleLayer", "TargetSelector", "Unlearner", "unit",
]


# ---------------------------------------------------------------- records

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
        from unlearnkit.errors import ShapeError

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

    * ``latents`` ``(M, num_ws, w_dim)``: the first ``erased`` are those a method erases, the others only judge
    * ``pictures`` ``(M, 3, H, W)`` in [-1, 1]: what the latents were inverted from; None if drawn or saved
    """

    name: str
    latents: Tensor
    pictures: Tensor | None = None
    erased: int = attrs.field(default=1, validator=attrs.validators.ge(1))


@attrs.frozen(eq=False)
class Request:
    """What to erase (one or several people), who must stay as they are, and who was erased by ``earlier`` edits."""

    people: tuple[Person, ...]
    bystanders: tuple[Person, ...] = ()
    earlier: tuple[Person, ...] = ()

    @property
    def sources(self) -> Tensor:
        """Every latent to erase, person by person: ``(P, num_ws, w_dim)``."""
        return torch.cat([person.latents[: person.erased] for person in self.people])


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
    * ``sources``, ``targets``: ``(P, num_ws, w_dim)``, the latents to erase and what shall be made of them
    * ``view``: ``(1, ...)`` drawn once a step and shared by all losses (GUIDE does so), or None
    * ``rng``: draw from nothing else (CPU generator; its state is saved with each checkpoint)
    * ``selector``: what chose the targets, for losses that ask it for more of them; None without one
    """

    index: int
    generator: Generator
    sources: Tensor
    targets: Tensor
    view: Tensor | None
    rng: torch.Generator
    selector: TargetSelector | None = None

    def random_latents(self, count: int) -> Tensor:
        """Latents of ``count`` random z ~ N(0, I): ``(count, num_ws, w_dim)``."""
        return self.generator.sample_latents(count, self.rng)

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
    """All that a method needs: a generator to edit in place, a frozen copy, and what to erase.

    * ``sources``, ``targets``: latents ``(P, num_ws, w_dim)``
    * ``rng``: the only source of chance (CPU); its state belongs to what a resume needs
    * ``cuda_graph``: record a step once and replay it, see :mod:`unlearnkit.graphs`
    """

    generator: Generator
    source: Generator
    sources: Tensor
    targets: Tensor
    losses: Mapping[str, Loss]
    measures: Measures
    rng: torch.Generator
    device: torch.device
    progress: Progress = attrs.field(factory=Progress)
    selector: TargetSelector | None = None
    cuda_graph: bool = False


@attrs.frozen(eq=False)
class Evidence:
    """What a metric looks at: the generator before and after, the request, and encoders that no loss has used.

    ``original`` is the checkpoint as it was where ``before`` has an earlier edit on it; otherwise None.
    """

    before: Generator
    after: Generator
    request: Request
    judge: IdentityEncoder
    perceptual: Perceptual
    rng: torch.Generator
    samples: int = 200
    original: Generator | None = None


@attrs.frozen(eq=False)
class Case:
    """What an attack looks at: the generator before and after, and the one person to bring back.

    * ``evidence``: draw from a copy of ``evidence.rng`` only; ``evidence.judge`` says what was found, and is never
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


def unit(offsets: Tensor) -> Tensor:
    """Offsets ``(N, num_ws, w_dim)`` at length 1, L2 over all ``num_ws * w_dim`` numbers; zero stays zero."""
    return offsets / offsets.flatten(1).norm(dim=1).clamp_min(1e-12)[:, None, None]


# ---------------------------------------------------------------- components

class Component(ABC):  # noqa: B024 - its subclasses have the abstract methods
    """A part that plugins provide: an attrs class whose fields are its options."""

    def prepare(self, device: torch.device) -> None:  # noqa: B027 - nothing to load is the common case
        """Load what is heavy onto ``device``; called once, before any other method."""


class Generator(Component):
    """A pre-trained face generator: z -> latent -> rendering. Latents are W+ ``(N, num_ws, w_dim)`` float32."""

    has_views: ClassVar[bool] = False
    """True if a view (a camera) is needed to render."""

    resolution: int
    z_dim: int
    w_dim: int
    num_ws: int

    @property
    @abstractmethod
    def module(self) -> nn.Module:
        """The whole network; an edit names its tensors as this module's ``state_dict`` does."""

    @property
    @abstractmethod
    def base(self) -> Base:
        """Which file this generator was read from."""

    @property
    @abstractmethod
    def w_avg(self) -> Tensor:
        """Mean latent ``(num_ws, w_dim)``."""

    @abstractmethod
    def map(self, z: Tensor) -> Tensor:
        """z ``(N, z_dim)`` -> latents ``(N, num_ws, w_dim)``, without truncation."""

    @abstractmethod
    def render(self, latents: Tensor, views: Tensor | None = None, rng: torch.Generator | None = None) -> Rendering:
        """Image and features of latents ``(N, num_ws, w_dim)``, from one forward pass.

        ``rng`` (CPU) feeds random noise where the options ask for it; without it noise must be constant or off.
        """

    @abstractmethod
    def editable_parameters(self) -> dict[str, nn.Parameter]:
        """What methods may move (synthesis only), by its name in ``module.state_dict()``."""

    def sample_latents(self, count: int, rng: torch.Generator) -> Tensor:
        """Latents ``(count, num_ws, w_dim)`` of random z ~ N(0, I) from ``rng`` (CPU), without a graph."""
        z = torch.randn(count, self.z_dim, generator=rng)
        with torch.no_grad():
            return self.map(z.to(self.w_avg.device, non_blocking=True))

    def sample_views(self, count: int, rng: torch.Generator) -> Tensor | None:
        """Views ``(count, ...)`` of the training distribution; None for a generator without views."""
        return None

    def evaluation_views(self) -> Tensor | None:
        """The fixed views ``(V, ...)`` by which results are judged; None for a generator without views.

        The middle one is the front: pictures are compared in it.
        """
        return None

    def front_view(self) -> Tensor | None:
        """The view ``(1, ...)`` that pictures are shown in: the middle of :meth:`evaluation_views`, or None."""
        views = self.evaluation_views()
        return None if views is None else views[len(views) // 2][None]

    def render_front(self, latents: Tensor) -> Tensor:
        """Images ``(N, 3, H, W)`` of latents from the front, in one forward pass; differentiable."""
        front = self.front_view()
        views = None if front is None else front.to(latents.device).expand(len(latents), *front.shape[1:])
        return self.render(latents, views).image

    def turn_views(self, count: int) -> Tensor | None:
        """Views ``(count, ...)`` of a smooth round trip that ends where it began, for animations; None without any."""
        return None

    def depth(self, latents: Tensor, views: Tensor) -> Tensor | None:
        """Distance from the camera to what is seen ``(N, 1, h, w)``; None for a generator that knows no depth."""
        return None

    def style_layers(self) -> list[StyleLayer]:
        """The affine layers through which latents reach synthesis; empty for a generator without any."""
        return []

    def adapt(self, make: Callable[[int], nn.Module]) -> dict[str, nn.Module]:
        """Insert ``make(channels)`` behind each resolution block whose features ``(N, C, h, w)`` are read again.

        The modules become part of ``module`` under the names that are returned; their parameters are the only new ones.
        A generator that has adapters already keeps and returns those.

        :raises ConfigError: if this generator has no place for adapters.
        """
        from unlearnkit.errors import ConfigError

        raise ConfigError(
            f"{type(self).__name__} has no place for adapters; choose a method that edits weights, or another generator"
        )

    def file_tensors(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Tensors named as in ``module.state_dict()`` -> named and shaped as in the checkpoint file."""
        return dict(tensors)


class Inverter(Component):
    """Finds the latent of a picture."""

    @abstractmethod
    def invert(self, images: Tensor, generator: Generator) -> Tensor:
        """Aligned pictures ``(N, 3, H, W)`` in [-1, 1] -> latents ``(N, num_ws, w_dim)``."""


class TargetSelector(Component):
    """Chooses what the generator shall make instead of the erased person."""

    def fit(self, sources: Tensor, generator: Generator, measures: Measures, rng: torch.Generator) -> None:
        """Learn, if it learns at all, from the latents to erase ``(P, num_ws, w_dim)``; called once, before select.

        A resumed run fits again from the same ``rng``, so the result must depend on nothing else.
        """

    @abstractmethod
    def select(self, sources: Tensor, generator: Generator, rng: torch.Generator) -> Tensor:
        """Latents to erase ``(P, num_ws, w_dim)`` -> target latents of the same shape."""


class Loss(Component):
    """Pairs and a distance. In a step a loss never renders: the engine renders every pair once, for all losses."""

    retains: ClassVar[bool] = False
    """True for a loss that keeps what is there; a rule on gradients tells forgetting and retaining apart by it."""

    def begin(self, job: Job) -> None:
        """Look at ``job.source`` and ``job.sources`` before the first step, and again when a run is resumed.

        The same each time: leave ``job.rng`` alone.
        """

    @abstractmethod
    def pairs(self, step: Step) -> Pairs:
        """Name the pairs of this step."""

    @abstractmethod
    def terms(self, edited: Rendering, frozen: Rendering, measures: Measures) -> dict[str, Tensor]:
        """Unweighted terms by name, each ``(n,)``: one number a pair. Called with any subset of the pairs."""

    @abstractmethod
    def weights(self) -> dict[str, float]:
        """Weight of each term; the step's loss is the weighted **sum** over terms and pairs."""

    def penalty(self, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Terms on the moved parameters themselves, one number each; a loss that is only that names no pairs."""
        return {}


class Penalty(Loss):
    """A loss on parameters alone, such as a distance from where they were: it names no pairs."""

    retains: ClassVar[bool] = True

    def pairs(self, step: Step) -> Pairs:
        """None: ``(0, num_ws, w_dim)``."""
        return step.pairs(step.sources[:0], step.sources[:0])

    def terms(self, edited: Rendering, frozen: Rendering, measures: Measures) -> dict[str, Tensor]:
        """Nothing to measure: never called, since there are no pairs."""
        return {}

    @abstractmethod
    def penalty(self, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Terms on the moved parameters by name, one number each."""


class Unlearner(Component):
    """A method: turns ``job.generator`` into an edited one, in place.

    ``losses`` and ``target`` name the components a method wants by default; loops live in unlearnkit.engine.
    """

    losses: tuple[str, ...] = ()
    target: str | None = None

    @abstractmethod
    def unlearn(self, job: Job) -> None:
        """Edit ``job.generator`` in place; frozen parameters and ``job.source`` must not change."""

    def attach(self, generator: Generator) -> None:
        """Add the modules that an edit of this method brings along (adapters), before its tensors are filled in.

        :raises EditError: as here, for a method that only changes weights.
        """
        from unlearnkit.errors import EditError

        raise EditError(f"{type(self).__name__} adds no modules to a generator, so its edits cannot hold new tensors")


class IdentityEncoder(Component):
    """Maps faces to the unit sphere, where the dot product is the similarity of identities."""

    @abstractmethod
    def embed(self, images: Tensor) -> Tensor:
        """Images ``(N, 3, H, W)`` in [-1, 1] (any H = W) -> unit embeddings ``(N, D)``."""

    def embed_and_count(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """What :meth:`embed` gives, and how many faces were found in each picture ``(N,)``, as whole numbers.

        None instead of numbers says that this encoder does not look for faces. Where one does and finds none, or
        several, metrics leave the picture out of their means and count it.
        """
        return self.embed(images), None

    def levels(self) -> dict[str, float] | None:
        """Mean similarity of ``same_person`` and ``strangers`` on true pictures, if it was ever measured."""
        return None


class Perceptual(Component):
    """A perceptual distance and the feature space behind it."""

    label: ClassVar[str] = "perceptual"
    """What to call it in tables: a metric's name is only used for that metric."""
    symmetric: ClassVar[bool] = True
    """False if distance(a, b) and distance(b, a) may differ."""

    @abstractmethod
    def features(self, images: Tensor) -> list[Tensor]:
        """Images ``(N, 3, H, W)`` in [-1, 1] -> feature maps ``(N, C_i, h_i, w_i)``, as :meth:`distance` takes them."""

    @abstractmethod
    def distance(self, a: list[Tensor], b: list[Tensor]) -> Tensor:
        """Distance of two lists of feature maps, ``(N,)``, zero for equal images."""

    def pooled(self, images: Tensor) -> Tensor:
        """One feature vector a picture ``(N, D)``, for distances between distributions."""
        return self.features(images)[-1].mean((2, 3))


class Metric(Component):
    """Before and after -> named numbers."""

    @abstractmethod
    def measure(self, evidence: Evidence) -> dict[str, float]:
        """Numbers by name (``snake_case``), with sample counts where a number is an estimate."""


class Attack(Component):
    """Tries to get an erased person back out of the edited generator, with a budget, and beside it a control.

    The similarity is the judge's, to the person's pictures: see :mod:`unlearnkit.audit.trace`, which keeps the best.
    """

    unit: ClassVar[str]
    """What the effort counts: ``"optimiser steps"``."""
    control: ClassVar[str]
    """``"ceiling"``: the control shows what is found where the person is; ``"floor"``: where they never were."""
    control_is: ClassVar[str]
    """What the control is, in words: ``"the same latents through the original generator"``."""
    quick: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    """Options of a short attempt (``unlearnkit audit --quick``)."""

    @property
    @abstractmethod
    def budget(self) -> int:
        """The largest effort, in ``unit``."""

    @abstractmethod
    def attack(self, case: Case) -> Recovery:
        """Attack ``case.evidence.after`` and the control; generators, request and rng stay as they are to the bit."""
