"""Attacks without a photo: whom was the edit made for? They read, or search, the difference from the base."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import attrs
import torch
from torch import Tensor

from unlearnkit.attacks.trace import Trace, judged_on, references
from unlearnkit.config import option
from unlearnkit.interfaces import Attack, Attempt, Case, Generator, Holds, Recovery, StyleLayer
from unlearnkit.metrics.gallery import BATCH, front_images
from unlearnkit.streams import stream
from unlearnkit.ticks import tick

__all__ = ["DifferenceSearch", "ReadDifference", "gap", "read_directions", "shuffled"]

_SAMPLES = 2000
"""Random latents for their mean distance from w_avg."""
_RIDGE = 0.3
"""Added to variances, in mean variances, before latents are whitened; lethe's default."""
_NO_LAYERS = ("This generator has no style layers, so there is nothing to read and only the mean latent was drawn: "
              "that nobody was found says nothing about the edit.")


def shuffled(case: Case) -> Generator:
    """A copy of the original generator with an edit as large as the real one that is about nobody.

    Each changed tensor's difference is there, its numbers in random order: the control of attacks on the difference.
    """
    frozen, rng = case.evidence.frozen, case.evidence.stream("attack/shuffled")
    made = copy.deepcopy(case.evidence.edited)
    before = frozen.module.state_dict()
    with torch.no_grad():
        for name, tensor in made.module.state_dict().items():
            old = before.get(name, torch.zeros_like(tensor))
            if tensor.is_floating_point() and not torch.equal(tensor, old):
                order = torch.randperm(tensor.numel(), generator=rng).to(tensor.device)
                tensor.copy_(old + (tensor - old).flatten()[order].reshape(tensor.shape))
    return made


# ---------------------------------------------------------------- reading

@attrs.define(eq=False)
class ReadDifference(Attack):
    """Reads the person's direction out of the edited weights: one decomposition, nothing rendered before the end.

    A style layer computes ``W w + b`` from a row w of the latent, and editing it for one latent leaves that latent in
    the difference ``D = W' - W``:

    * ``rows``: a gradient step adds an outer product with w_u, so the first right singular vector of D points along
      w_u - w_avg
    * ``columns``: where the target lies on a line with w_avg and w_u, as UFO's does, the first factor is W (w_u -
      w_avg) up to its length: solved for by least squares
    * ``whitened``: a step that was made in whitened latents, as lethe's, adds an outer product with the whitened w_u -
      w_avg; so D is taken apart there, with the covariance of random latents, and the direction brought back

    The layers' differences are divided by their norms and stacked, since all share one direction. A direction has no
    sign: a face is drawn at w_avg + and - ``radius`` along it. The control reads a difference of the same size in
    random order.
    """

    holds: ClassVar[Holds] = Holds(base=True, compute="arithmetic")
    unit: ClassVar[str] = "faces drawn"
    control: ClassVar[str] = "floor"
    control_is: ClassVar[str] = "a difference of the same size in random order"

    radius: float = option(0.7, gt=0, unit="mean distance to w_avg",
                           help="how far from the mean face the face is drawn")

    @property
    def budget(self) -> int:
        """Faces drawn: two for each reading."""
        return 2 * len(_READINGS)

    def attack(self, case: Case) -> Recovery:
        """Read the edited generator, then the shuffled edit."""
        pictures = references(case)
        edited, control = (self._read(case, generator, pictures)
                           for generator in (case.evidence.edited, shuffled(case)))
        layers = case.evidence.frozen.style_layers()
        return Recovery(edited, control, judged_on(pictures), "" if layers else _NO_LAYERS)

    def _read(self, case: Case, edited: Generator, pictures: Tensor) -> Attempt:
        frozen = case.evidence.frozen
        random = case.evidence.random_latents(_SAMPLES, case.evidence.stream("attack/read-difference"))
        directions = read_directions(frozen, edited)
        distance = self.radius * (random - frozen.w_avg).norm(dim=2).mean()
        latents = torch.cat([frozen.w_avg + sign * distance * directions[:, None] for sign in (1, -1)])
        faces = front_images(frozen, latents)
        trace = Trace(case, pictures)
        trace.see(faces, range(1, len(faces) + 1))
        return attrs.evolve(trace.attempt(self.budget), guesses=faces.cpu())


def read_directions(frozen: Generator, edited: Generator) -> Tensor:
    """Unit directions from w_avg, one for each reading of :class:`ReadDifference` ``(R, w_dim)``, up to their sign.

    Zero where the style layers do not differ.
    """
    layers = [(before, after) for before, after in zip(frozen.style_layers(), edited.style_layers(), strict=True)
              if not torch.equal(before.weight, after.weight)]
    if not layers:
        return frozen.w_avg.new_zeros(len(_READINGS), frozen.w_dim)
    offsets = frozen.sample_latents(_SAMPLES, stream(0, "attack/covariance")) - frozen.w_avg.detach()
    rows = offsets.flatten(0, 1).cpu().double()
    found = torch.stack([read(layers, rows.T @ rows / len(rows)) for read in _READINGS])
    return torch.nn.functional.normalize(found, dim=1).to(frozen.w_avg)


_Layers = list[tuple[StyleLayer, StyleLayer]]


def _rows(layers: _Layers, covariance: Tensor) -> Tensor:
    return _first_right(torch.cat([_scaled(_difference(before, after)) for before, after in layers]))


def _whitened(layers: _Layers, covariance: Tensor) -> Tensor:
    variances, axes = torch.linalg.eigh(covariance)
    deviations = (variances / variances.mean() + _RIDGE).sqrt()
    unwhiten = (axes * deviations) @ axes.T
    stacked = torch.cat([_scaled(_difference(before, after) @ unwhiten) for before, after in layers])
    return unwhiten @ _first_right(stacked)


def _columns(layers: _Layers, covariance: Tensor) -> Tensor:
    differences = [_difference(before, after) for before, after in layers]
    right = _first_right(torch.cat([_scaled(difference) for difference in differences]))
    scales = [difference.norm().clamp_min(1e-30) for difference in differences]
    weights = torch.cat([_weight(before) / scale for (before, _), scale in zip(layers, scales, strict=True)])
    left = torch.cat([difference @ right / scale for difference, scale in zip(differences, scales, strict=True)])
    gram = weights.T @ weights
    # The ridge is for generators whose styles do not depend on all of w.
    ridge = 1e-6 * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
    return torch.linalg.solve(gram + ridge, weights.T @ left)


_READINGS = (_rows, _columns, _whitened)


def _weight(layer: StyleLayer) -> Tensor:
    """The weight as it acts on w ``(C, w_dim)``, float64 on the CPU."""
    return layer.gain * layer.weight.detach().cpu().double()


def _difference(before: StyleLayer, after: StyleLayer) -> Tensor:
    return _weight(after) - _weight(before)


def _scaled(difference: Tensor) -> Tensor:
    return difference / difference.norm().clamp_min(1e-30)


def _first_right(matrix: Tensor) -> Tensor:
    """The first right singular vector ``(D,)`` of a matrix ``(C, D)``: an eigenvector of the ``(D, D)`` product."""
    return torch.linalg.eigh(matrix.T @ matrix)[1][:, -1]


# ---------------------------------------------------------------- searching

@attrs.define(eq=False)
class DifferenceSearch(Attack):
    """Climbs in W to where base and edited generator differ most in identity, by the attacker's encoder.

    The edit changed the person's face most, so that is where their face is: in the base. Starts are the random people
    whom the edit changed most; the faces put forward are what the base shows at the ends. The control searches an edit
    of the same size in random order.
    """

    holds: ClassVar[Holds] = Holds(base=True, encoder=True, compute="search")
    unit: ClassVar[str] = "optimiser steps"
    control: ClassVar[str] = "floor"
    control_is: ClassVar[str] = "the same search with an edit of the same size in random order"
    quick: ClassVar[Mapping[str, Any]] = MappingProxyType({"steps": 10, "starts": 2, "random": 32})

    steps: int = option(40, ge=1, unit="steps", help="optimiser steps of each search")
    starts: int = option(4, ge=1, le=64, help="searches side by side")
    random: int = option(128, ge=1, help="random people among whom starts are chosen; at least 'starts' are drawn")
    learning_rate: float = option(0.1, gt=0, unit="standard deviations of the latents", help="Adam's learning rate")

    @property
    def budget(self) -> int:
        """Optimiser steps."""
        return self.steps

    def attack(self, case: Case) -> Recovery:
        """Search with the edited generator, then with the shuffled edit."""
        pictures = references(case)
        edited, control = (self._search(case, generator, pictures)
                           for generator in (case.evidence.edited, shuffled(case)))
        remark = "" if case.identity else "The attacker has no identity encoder here, and compares perceptually."
        return Recovery(edited, control, judged_on(pictures), remark)

    def _search(self, case: Case, edited: Generator, pictures: Tensor) -> Attempt:
        frozen, trace = case.evidence.frozen, Trace(case, pictures)
        count = max(self.random, self.starts)
        random = case.evidence.random_latents(count, case.evidence.stream("attack/difference-search"))
        before, after = front_images(frozen, random), front_images(edited, random)
        with torch.no_grad():
            pairs = zip(before.split(BATCH), after.split(BATCH), strict=True)
            change = torch.cat([gap(case, *pair) for pair in pairs])
        starts = random[change.nan_to_num(nan=-1.0).topk(self.starts).indices].mean(1, keepdim=True)
        spread = (random - frozen.w_avg).square().mean().sqrt().clamp_min(1e-8)
        offsets = torch.zeros_like(starts, requires_grad=True)
        adam = torch.optim.Adam([offsets], lr=self.learning_rate)
        for step in range(self.steps):
            tick(step, self.steps)
            latents = (starts + spread * offsets).expand(-1, frozen.num_ws, -1)
            shown = frozen.render_front(latents)
            trace.see(shown, [step] * len(shown))
            gain = gap(case, shown, edited.render_front(latents)).sum()
            (offsets.grad,) = torch.autograd.grad(-gain, [offsets])
            adam.step()
        faces = front_images(frozen, (starts + spread * offsets).detach().expand(-1, frozen.num_ws, -1))
        trace.see(faces, [self.steps] * len(faces))
        return attrs.evolve(trace.attempt(self.budget), guesses=faces.cpu())


def gap(case: Case, before: Tensor, after: Tensor) -> Tensor:
    """How much two faces ``(N, 3, H, W)`` differ ``(N,)``: in identity, or perceptually where there is no encoder."""
    if case.identity is not None:
        return 1 - (case.identity.embed(before) * case.identity.embed(after)).sum(1)
    perceptual = case.evidence.perceptual
    return perceptual.distance(perceptual.features(before), perceptual.features(after))
