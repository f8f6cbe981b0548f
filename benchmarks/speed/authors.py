"""One iteration of GUIDE as its released program does it, with our modules, and ours beside it.

What the release does, by description: every term of its own, one sample at a time; features by a pass that is thrown
away, the picture by another; the same again for the frozen generator, without a graph; an identity network whose
weights nobody froze, which embeds the target with a graph and drops it; LPIPS with heads that nobody froze; Adam on the
synthesis network; four numbers read back. Two deviations, so that both sides can be held together: noise is constant
and samples along rays are fixed, and what is drawn at random is drawn by :func:`draw`, in our order.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import attrs
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from unlearnkit_eg3d.generator import EG3D
from unlearnkit_faces.identity import ArcFace
from unlearnkit_faces.perceptual import LpipsVgg
from unlearnkit_guide.losses import Adjacency, Global
from unlearnkit_stylegan2.generator import StyleGAN2, default_feature_resolution

from speed.plain_ops import plain
from unlearnkit.engine import backward, freeze
from unlearnkit.interfaces import Generator, Job, Rendering, Step

__all__ = ["AuthorsIteration", "Chances", "OurIteration", "draw", "worst_difference"]

LEARNING_RATE = 1e-4


@attrs.frozen(eq=False)
class Chances:
    """What one iteration draws: a view or None, z and distance of each neighbour, z of each bystander."""

    view: Tensor | None
    neighbours: Tensor
    distances: Tensor
    bystanders: Tensor


def draw(job: Job) -> Chances:
    """The draws of our iteration, in its order, from ``job.rng``."""
    adjacency, others = job.losses["adjacency"], job.losses["global"]
    assert isinstance(adjacency, Adjacency) and isinstance(others, Global)
    view = job.edited.sample_views(1, job.rng)
    neighbours = torch.randn(adjacency.samples, job.edited.z_dim, generator=job.rng)
    distances = adjacency.alpha_max * torch.rand(adjacency.samples, generator=job.rng)
    return Chances(view, neighbours, distances, torch.randn(others.samples, job.edited.z_dim, generator=job.rng))


class OurIteration:
    """What :class:`unlearnkit.engine.PairLoop` does in a step, to be called step by step."""

    def __init__(self, job: Job) -> None:
        self.job, self.index, self.cache = job, 0, dict[Any, Rendering]()
        self.parameters = _trained(job.edited)
        freeze(job.frozen.module)
        self.adam = torch.optim.Adam(self.parameters.values(), lr=LEARNING_RATE)
        for loss in job.losses.values():
            loss.begin(job)

    def gradients(self) -> dict[str, float]:
        """Fill in the gradients; returns the unweighted terms."""
        job = self.job
        view = job.edited.sample_views(1, job.rng)
        step = Step(self.index, job.edited, job.erased, job.targets, view, job.rng)
        self.adam.zero_grad(set_to_none=True)
        self.index += 1
        return backward(job, step, self.cache, self.parameters)

    def __call__(self) -> dict[str, float]:
        """One iteration; returns the unweighted terms."""
        terms = self.gradients()
        self.adam.step()
        return terms


class AuthorsIteration:
    """The authors' iteration on a job of its own (it changes the job's generator).

    :param one_graph: back-propagate all terms at once, as the release does. At EG3D's 512 pixels that does not fit into
        24 GB: there each sample is back-propagated by itself, which gives the same gradients.
    """

    def __init__(self, job: Job, one_graph: bool = True) -> None:
        self.job, self.one_graph = job, one_graph
        self.parameters = _trained(job.edited)
        freeze(job.frozen.module)
        self.adam = torch.optim.Adam(self.parameters.values(), lr=LEARNING_RATE)
        self.perceptual, self.identity = _unfrozen(job)
        self._terms: dict[str, list[Tensor]] = {}

    def gradients(self) -> dict[str, float]:
        """Fill in the gradients; returns the unweighted terms, by the names of ours."""
        self.adam.zero_grad()
        self._terms = {}
        with plain():
            parts = dict.fromkeys(("local", "adjacency", "global"), torch.zeros(()))
            for name, value in self._samples(draw(self.job)):
                if not self.one_graph:
                    value.backward()
                    value = value.detach()
                parts[name] = parts[name] + value
            total = torch.stack([*parts.values()]).sum()
            if self.one_graph:
                total.backward()
        read = total.item(), *(part.item() for part in parts.values())  # for its progress bar
        return {"total": read[0]} | {name: float(sum(values)) for name, values in self._terms.items()}

    def __call__(self) -> dict[str, float]:
        """One iteration; returns the unweighted terms."""
        terms = self.gradients()
        self.adam.step()
        return terms

    def _samples(self, chances: Chances) -> Iterator[tuple[str, Tensor]]:
        """The weighted loss of each sample, one after the other."""
        source, target = self.job.erased, self.job.targets
        yield "local", self._likeness("local", source, target, chances.view)
        for z, distance in zip(chances.neighbours, chances.distances, strict=True):
            offset = self.job.edited.map(z[None]) - source
            delta = distance * offset / offset.norm(p=2)
            yield "adjacency", self._likeness("adjacency", source + delta, target + delta, chances.view)
        for z in chances.bystanders:
            latent = self.job.edited.map(z[None])
            with torch.no_grad():
                wanted = self.job.frozen.render(latent, chances.view).image
            distance = self._perceptual(self.job.edited.render(latent, chances.view).image, wanted)
            yield "global", self._weighted("global", {"perceptual": distance})

    def _likeness(self, name: str, a: Tensor, b: Tensor, view: Tensor | None) -> Tensor:
        """Features of both, then pictures of both, then the three distances."""
        found = _features(self.job.edited, a)
        with torch.no_grad():
            wanted = _features(self.job.frozen, b)
        mse = F.mse_loss(found, wanted)
        image = self.job.edited.render(a, view).image
        with torch.no_grad():
            target = self.job.frozen.render(b, view).image
        identity = 1 - self._similarity(image, target)
        return self._weighted(name, {"mse": mse, "perceptual": self._perceptual(image, target), "identity": identity})

    def _perceptual(self, image: Tensor, target: Tensor) -> Tensor:
        return self.perceptual.distance(self.perceptual.features(image), self.perceptual.features(target)).mean()

    def _similarity(self, image: Tensor, target: Tensor) -> Tensor:
        wanted = self.identity.embed(target).detach()  # embedded with a graph, for nothing
        return (self.identity.embed(image) * wanted).sum(1).mean()

    def _weighted(self, loss: str, terms: dict[str, Tensor]) -> Tensor:
        weights = self.job.losses[loss].weights()
        for name, value in terms.items():
            self._terms.setdefault(f"{loss}/{name}", []).append(value.detach())
        return torch.stack([weights[name] * value for name, value in terms.items()]).sum()


def worst_difference(ours: dict[str, float], authors: dict[str, float]) -> float:
    """The largest relative difference of two lists of terms.

    :raises AssertionError: if they are not the same terms.
    """
    assert ours.keys() == authors.keys(), f"other terms: {sorted(ours.keys() ^ authors.keys())}"
    return max(abs(ours[name] - value) / max(abs(value), 1e-12) for name, value in authors.items())


def _features(generator: Generator, latents: Tensor) -> Tensor:
    """Tri-planes, or the feature map of a StyleGAN2, by a whole pass of synthesis for their sake alone."""
    if isinstance(generator, EG3D):
        planes: Tensor = generator.module.backbone.synthesis(latents, noise_mode=generator.noise)
        return planes
    assert isinstance(generator, StyleGAN2)
    resolution = generator.feature_resolution or default_feature_resolution(generator.resolution)
    features: Tensor = generator.module.synthesis(latents, noise_mode=generator.noise, feature=resolution)[1]
    return features


def _trained(generator: Generator) -> dict[str, nn.Parameter]:
    freeze(generator.module)
    parameters = generator.editable_parameters()
    for parameter in parameters.values():
        parameter.requires_grad_(True)
    return parameters


def _unfrozen(job: Job) -> tuple[LpipsVgg, ArcFace]:
    """Copies of the job's measures that compute gradients for weights which nobody moves.

    LPIPS' trunk is frozen by its package, its heads are not.
    """
    perceptual, identity = copy.deepcopy(job.measures.perceptual), copy.deepcopy(job.measures.identity)
    assert isinstance(perceptual, LpipsVgg) and isinstance(identity, ArcFace)
    for head in perceptual._weights:
        head.requires_grad_(True)
    assert identity._network is not None
    identity._network.requires_grad_(True)
    return perceptual, identity
