"""The abstract classes that plugins implement.

A component *is* its attrs class: its fields are its options (see :func:`unlearnkit.config.option`).
Constructors are cheap; :meth:`Component.prepare` loads networks onto a device.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from unlearnkit.errors import CheckpointError, ConfigError, EditError
from unlearnkit.interfaces.records import (
    About,
    Base,
    Case,
    Evidence,
    Holds,
    Job,
    Measures,
    Number,
    Pairs,
    Recovery,
    Rendering,
    Step,
    StyleLayer,
)
from unlearnkit.options.domains import ANY

if TYPE_CHECKING:
    from unlearnkit.checkpoints import BaseFile, Checkpoint

__all__ = [
    "Attack", "Component", "Generator", "IdentityEncoder", "Inverter", "Loss", "Method", "Metric", "Penalty",
    "Perceptual", "TargetSelector",
]


class Component(ABC):  # noqa: B024 - its subclasses have the abstract methods
    """A part that plugins provide: an attrs class whose fields are its options."""

    domain: ClassVar[str] = ANY
    """Whose faces it knows: ``"photographs"`` (FFHQ-aligned), ``"synthetic-renders"`` (the bundled world), a name of
    your own, or ``"any"``. Encoders, distances and inverters of another domain than the generator's are refused."""

    def check(self) -> None:  # noqa: B027 - most components need no files
        """Check, without loading anything, that :meth:`prepare` can succeed: files, packages.

        Called before a run creates its folder, together with the checks of all other components.

        :raises UnlearnkitError: saying what is missing and what to do about it.
        """

    def prepare(self, device: torch.device) -> None:  # noqa: B027 - most components load nothing
        """Load networks onto ``device``; called once, before any other method except :meth:`check`."""


class Generator(Component):
    """A pre-trained face generator: z -> latent -> rendering. Latents are W+ ``(N, num_ws, w_dim)`` float32."""

    has_views: ClassVar[bool] = False
    """True if a view (a camera) is needed to render."""
    base_options: ClassVar[tuple[str, ...]] = ()
    """Options without which this base cannot be made or drawn from: a class label, the seed of a network that is read
    from no file. An edit carries them, so that nobody has to give them again."""

    latent_slope: ClassVar[float] = 1.0
    """Slope of the leaky ReLU that ends the mapping network, which bends the latents' distribution: 0.2 for StyleGAN's,
    1 where no leaky ReLU does, or where z is the latent."""

    resolution: int
    z_dim: int
    w_dim: int
    num_ws: int

    def faces_domain(self) -> str:
        """Whose faces it draws, known before networks load; override it where that depends on the file."""
        return self.domain

    @property
    @abstractmethod
    def module(self) -> nn.Module:
        """The whole network; an edit names its tensors as this module's ``state_dict`` does."""

    @property
    @abstractmethod
    def base(self) -> Base:
        """The checkpoint file that this generator was loaded from, and its SHA-256.

        Without a file: a path that does not exist, and a hash of what the network is built from.
        """

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

    @contextmanager
    def drafting(self) -> Iterator[None]:
        """While a method trains: pictures may be cheaper ones that stand in for the real ones.

        An inverter that searches enters this itself, for as many of its steps as it sees fit.

        Same shapes, and the same for the edited and the frozen generator. Nothing is measured or shown in here. By
        default, and where the user's options do not ask for it, the pictures are the real ones.
        """
        yield

    @abstractmethod
    def editable_parameters(self) -> dict[str, nn.Parameter]:
        """The parameters that methods may train (synthesis only), by name in ``module.state_dict()``."""

    def sample_latents(self, count: int, rng: torch.Generator) -> Tensor:
        """Latents ``(count, num_ws, w_dim)`` of random z ~ N(0, I) from ``rng`` (CPU), without a graph."""
        z = torch.randn(count, self.z_dim, generator=rng)
        with torch.no_grad():
            return self.map(z.to(self.w_avg.device, non_blocking=True))

    def sample_views(self, count: int, rng: torch.Generator) -> Tensor | None:
        """Random views ``(count, ...)`` from the training distribution; None for a generator without views."""
        return None

    def evaluation_views(self) -> Tensor | None:
        """The fixed views ``(V, ...)`` for evaluation; None for a generator without views.

        The middle one is the front view, in which images are compared.
        """
        return None

    def front_view(self) -> Tensor | None:
        """The front view ``(1, ...)``: the middle one of :meth:`evaluation_views`, or None."""
        views = self.evaluation_views()
        return None if views is None else views[len(views) // 2][None]

    def render_front(self, latents: Tensor) -> Tensor:
        """Images ``(N, 3, H, W)`` of latents in the front view, in one forward pass; differentiable."""
        front = self.front_view()
        views = None if front is None else front.to(latents.device).expand(len(latents), *front.shape[1:])
        return self.render(latents, views).image

    def turn_views(self, count: int) -> Tensor | None:
        """Views ``(count, ...)`` along a smooth closed path, for animations; None for a generator without views."""
        return None

    def depth(self, latents: Tensor, views: Tensor) -> Tensor | None:
        """Depth map, distance from the camera ``(N, 1, h, w)``; None for a generator without depth."""
        return None

    def style_layers(self) -> list[StyleLayer]:
        """The affine layers that map latents to styles; empty for a generator without any."""
        return []

    def adapt(self, make: Callable[[int], nn.Module]) -> dict[str, nn.Module]:
        """Insert ``make(channels)`` after each resolution block whose features ``(N, C, h, w)`` feed another block.

        The modules become part of ``module`` under the returned names and are its only new parameters. A generator that
        already has adapters keeps and returns those.

        :raises ConfigError: if this generator does not support adapters.
        """
        raise ConfigError(
            f"{type(self).__name__} does not support adapters; choose a method that edits weights, or another generator"
        )

    @classmethod
    def write_edited(cls, base: BaseFile, tensors: Mapping[str, Tensor], out: Path) -> None:
        """Fill the new file ``out`` with ``base``, ``tensors`` in place of its own: what ``unlearnkit apply`` does.

        Called on the class, with no component prepared: how tensors are named in a file is a function of that file.
        ``tensors`` are named as in ``module.state_dict()``, on the CPU; ``base`` is the file of :attr:`base`, its hash
        checked. ``out`` takes its name only when this returns, so it appears whole or not at all.

        * A file that unlearnkit reads (``base.checkpoint``), with the names of the module: nothing to do.
        * Other names there: rename, then ``base.write(renamed, out)``.
        * A format of its own: read ``base.path``, write ``out``.
        * No file at all: nothing to do, ``apply`` says so; :attr:`base_options` hold what the network is made from.

        :raises CheckpointError: if a tensor does not fit the file; EditError: if this does not know the file's format.
        """
        if reason := base.cannot_hold(tensors):
            raise EditError(
                f"{reason}; {cls.__name__} does not say how its files are written (Generator.write_edited), so use the "
                "edit as it is: unlearnkit sample --edit, or unlearnkit.edits.file.put_on in Python"
            )
        base.write(tensors, out)


    @classmethod
    def state_for(cls, checkpoint: Checkpoint, program: str) -> dict[str, Tensor]:
        """The tensors of a weight file under the names of ``program``: ``"nvidia"`` or ``"rosinality"``.

        What ``unlearnkit convert`` asks for a new .pkl or .pt file. Called on the class, with no component prepared.

        :raises CheckpointError: by default; and where a tensor has no place there.
        """
        raise CheckpointError(f"{checkpoint.path}: {cls.__name__} knows no names of {program}; choose a name that ends "
                              "in .safetensors")


class Inverter(Component):
    """Finds the latent of a picture."""

    @abstractmethod
    def invert(self, images: Tensor, generator: Generator) -> Tensor:
        """Aligned pictures ``(N, 3, H, W)`` in [-1, 1] -> latents ``(N, num_ws, w_dim)``."""


class TargetSelector(Component):
    """Chooses what the generator should produce instead of the erased person."""

    def fit(self, erased: Tensor, generator: Generator, measures: Measures, rng: torch.Generator) -> None:
        """Optional training on the latents to erase ``(P, num_ws, w_dim)``; called once, before select.

        A resumed run fits again with the same arguments and ``rng``, and the result must be the same.
        """

    @abstractmethod
    def select(self, erased: Tensor, generator: Generator, rng: torch.Generator) -> Tensor:
        """Latents to erase ``(P, num_ws, w_dim)`` -> target latents of the same shape."""


class Loss(Component):
    """Latent pairs and a distance. A loss never renders within a step: the engine renders every pair once."""

    retains: ClassVar[bool] = False
    """True for a retain loss, False for a forget loss; methods that modify gradients tell them apart by it."""

    def begin(self, job: Job) -> None:
        """Precompute from ``job.frozen`` and ``job.erased`` before the first step, and again on resume.

        Must be deterministic and not use ``job.rng``.
        """

    @abstractmethod
    def pairs(self, step: Step) -> Pairs:
        """Name the pairs of this step."""

    @abstractmethod
    def terms(self, edited: Rendering, frozen: Rendering, measures: Measures) -> dict[str, Tensor]:
        """Unweighted terms by name, each ``(n,)``: one value per pair. Called with any subset of the pairs."""

    @abstractmethod
    def weights(self) -> dict[str, float]:
        """Weight of each term; the step's loss is the weighted **sum** over terms and pairs."""

    def memory(self) -> dict[str, Tensor]:
        """What this loss has learned by its steps, for the checkpoint; empty for one that remembers nothing."""
        return {}

    def recall(self, memory: Mapping[str, Tensor]) -> None:
        """Go on from a :meth:`memory` on resume; called after :meth:`begin`, and only if there is one."""

    def penalty(self, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Terms on the trained parameters themselves, each a scalar; see :class:`Penalty` for losses without pairs."""
        return {}


class Penalty(Loss):
    """A loss on parameters alone, such as the distance from their initial values; it has no pairs."""

    retains: ClassVar[bool] = True

    def pairs(self, step: Step) -> Pairs:
        """Empty pairs: ``(0, num_ws, w_dim)``."""
        return step.pairs(step.erased[:0], step.erased[:0])

    def terms(self, edited: Rendering, frozen: Rendering, measures: Measures) -> dict[str, Tensor]:
        """Empty; never called, since there are no pairs."""
        return {}

    @abstractmethod
    def penalty(self, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Terms on the trained parameters by name, each a scalar."""


class Method(Component):
    """An unlearning method: edits ``job.edited`` in place.

    ``losses`` and ``target`` name a method's default components; training loops are in unlearnkit.engine.
    """

    losses: tuple[str, ...] = ()
    target: str | None = None

    tuning: ClassVar[tuple[Mapping[str, tuple[Any, ...]], ...]] = ()
    """Settings worth trying, for ``unlearnkit bench --tune``: grids of dotted settings, each with its values.

    ``({"method.learning_rate": (1e-3, 2e-3), "loss.hinge.threshold": (0.0, 0.3)},)`` is four trials, every combination;
    several grids are tried one after the other. Four trials are granted to each method, so declare no more. Without a
    declaration four learning rates are tried, if the method has one.
    """

    @abstractmethod
    def unlearn(self, job: Job) -> None:
        """Edit ``job.edited`` in place; frozen parameters and ``job.frozen`` must not change."""

    def attach(self, generator: Generator) -> None:
        """Add the modules (adapters) that this method's edits contain, before their tensors are loaded.

        :raises EditError: by default, for methods that only change weights.
        """
        raise EditError(f"{type(self).__name__} adds no modules to a generator, so its edits cannot hold new tensors")


class IdentityEncoder(Component):
    """Maps faces to unit embeddings, whose dot product is the identity similarity."""

    differentiable: ClassVar[bool] = True
    """False for an encoder without gradients, such as one outside torch: it can judge, but not be used in a loss."""
    levels_source: ClassVar[str] = ""
    """Where :meth:`levels` come from: who measured them, on which pictures, how many; or who published them."""

    @abstractmethod
    def embed(self, images: Tensor) -> Tensor:
        """Images ``(N, 3, H, W)`` in [-1, 1] (any H = W) -> unit embeddings ``(N, D)``."""

    def embed_and_count(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """The embeddings of :meth:`embed`, and the number of faces detected in each image ``(N,)``, as integers.

        None instead of counts means that this encoder does not detect faces. Metrics exclude images without exactly one
        face from their means, and count them.
        """
        return self.embed(images), None

    def levels(self) -> dict[str, float] | None:
        """What a similarity means to this encoder, as far as it is known; None if nothing is.

        ``same_person`` and ``strangers``: the mean similarity of two pictures of one person, and of two people.
        ``border``: from which similarity on its publisher takes two pictures for one person; without it, half-way
        between the two. See :attr:`levels_source`.
        """
        return None


class Perceptual(Component):
    """A perceptual distance and the feature space behind it."""

    label: ClassVar[str] = "perceptual"
    """Its name in tables: a metric's name is only used for that metric."""
    symmetric: ClassVar[bool] = True
    """False if distance(a, b) and distance(b, a) may differ."""

    @abstractmethod
    def features(self, images: Tensor) -> list[Tensor]:
        """Images ``(N, 3, H, W)`` in [-1, 1] -> feature maps ``(N, C_i, h_i, w_i)``, as :meth:`distance` takes them."""

    @abstractmethod
    def distance(self, a: list[Tensor], b: list[Tensor]) -> Tensor:
        """Distance between two lists of feature maps, ``(N,)``, zero for equal images."""

    def pooled(self, images: Tensor) -> Tensor:
        """One feature vector per image ``(N, D)``, for distances between distributions."""
        return self.features(images)[-1].mean((2, 3))


class Metric(Component):
    """Compares the generator before and after the edit, and returns named numbers."""

    @abstractmethod
    def measure(self, evidence: Evidence) -> dict[str, float]:
        """Numbers by name (``snake_case``), with sample counts for estimates."""

    def numbers(self, about: About) -> tuple[Number, ...]:
        """Declare every number that :meth:`measure` may return: its title, which way is better, its unit and count.

        Must be known before a run starts, from the options and ``about`` alone. A count ``n_...`` need not be declared
        if another number names it as its ``count``. Undeclared numbers are shown by their bare name.
        """
        return ()


class Attack(Component):
    """Tries to recover an erased person from the edited generator within a budget, next to a control.

    Success is the judge's similarity to the person's pictures; :class:`unlearnkit.attacks.trace.Trace` tracks it.
    """

    holds: ClassVar[Holds] = Holds(base=True, photo=True, encoder=True, compute="training")
    """What the attacker has; everything, unless an attack says otherwise.

    Without a photo (``Holds(base=True)``) nothing of ``case.person`` may reach the attack but through the trace, which
    only scores it, and its attempts carry ``guesses``."""
    unit: ClassVar[str]
    """Unit of effort: ``"optimiser steps"``."""
    control: ClassVar[str]
    """``"ceiling"``: the control attacks where the person is present; ``"floor"``: where they never were."""
    control_is: ClassVar[str]
    """Description of the control: ``"the same latents through the original generator"``."""
    quick: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    """Options of a short attempt (``unlearnkit audit --quick``)."""

    @property
    @abstractmethod
    def budget(self) -> int:
        """The largest effort, in ``unit``."""

    @abstractmethod
    def attack(self, case: Case) -> Recovery:
        """Attack ``case.evidence.edited`` and the control; must not modify the generators or the request."""
