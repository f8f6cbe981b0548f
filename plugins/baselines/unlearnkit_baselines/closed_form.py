"""A closed-form edit of the style layers: one linear least-squares problem per layer, no training, no rendering."""

from __future__ import annotations

import attrs
import torch
from torch import Tensor

from unlearnkit.config import option
from unlearnkit.errors import ConfigError
from unlearnkit.interfaces import Job, Method, StyleLayer, unit

__all__ = ["ClosedForm", "solve"]


def solve(
    old: Tensor, erased: Tensor, targets: Tensor, kept: Tensor, *, erase: float, keep: float, ridge: float
) -> Tensor:
    """The affine map ``W`` ``(C, D + 1)`` that best fits the targets' old outputs at ``erased``, old ones at ``kept``.

    Minimises, with ``c = [w; 1]``, ``W0`` = ``old`` and means over the rows of ``erased``/``targets`` ``(n, D)`` and
    ``kept`` ``(m, D)``,

        erase * mean |W c_u - W0 c_t|^2 + keep * mean |W c_r - W0 c_r|^2 + ridge * |W - W0|^2

    by its normal equations, in float64: UCE's closed form (Gandikota et al., WACV 2024) with means instead of sums.
    On the CPU, since not every accelerator has float64.
    """
    old = old.cpu().double()
    a, b, r = (_homogeneous(rows) for rows in (erased, targets, kept))
    a, b = a * (erase / len(a)) ** 0.5, b * (erase / len(b)) ** 0.5
    r = r * (keep / len(r)) ** 0.5
    gram = a.T @ a + r.T @ r + ridge * torch.eye(a.shape[1], dtype=a.dtype, device=a.device)
    # Solve for the change W - W0: the right-hand side is then a difference, which keeps precision for small changes.
    return old + torch.linalg.solve(gram, a.T @ (b - a) @ old.T).T


@attrs.define(eq=False)
class ClosedForm(Method):
    """Rewrite the style layers so that they map the person's latents to the target's styles; nothing else changes.

    Each affine layer computes a style ``A(w) = W0 [w; 1]`` from one row of the latent. It is replaced by the
    least-squares solution of ``A'(w_u + D) = A(w_t + D)`` and ``A'(w_r) = A(w_r)``, see :func:`solve`: the analogue
    for GANs of UCE, which edits the cross-attention of diffusion models. The transfer is ours; no paper describes it,
    so every setting is ours:

    * D = 0 and ``alpha * (w_r - w_u) / |w_r - w_u|`` for each radius alpha and direction, as in GUIDE's adjacency loss
    * means instead of UCE's sums, so that 2000 kept latents do not outvote one person
    * a ridge so small that it only settles directions neither term constrains (UCE: 0.5 with sums, here with means)
    """

    target: str = option("ufo", help="target selector, by name")
    samples: int = option(2000, help="random latents whose styles are preserved", ge=1, le=100_000)
    directions: int = option(8, help="random directions per latent to erase", ge=0, le=1000)
    radii: tuple[float, ...] = option((5.0, 10.0, 15.0), help="distances along each direction", unit="latent units",
                                      gt=0.0)
    erase: float = option(1.0, help="weight of the mean over erased latents", gt=0.0)
    keep: float = option(1.0, help="weight of the mean over kept latents", ge=0.0)
    ridge: float = option(1e-3, help="weight of the squared change of the layer", gt=0.0)

    tuning = ({"method.keep": (0.3, 1.0, 3.0, 10.0)},)

    def unlearn(self, job: Job) -> None:
        """Solve for each style layer and write the solution into ``job.edited``.

        :raises ConfigError: if the generator has no style layers.
        """
        layers = job.edited.style_layers()
        if not layers:
            raise ConfigError(
                f"{type(job.edited).__name__} has no style layers to edit; choose a method that trains, e.g. guide"
            )
        job.progress.load()  # there is no checkpoint, but this resets the log, so a resumed run logs the step only once
        erased, targets = self._erased(job)
        kept = job.random_latents(self.samples)
        errors = [self._edit(layer, erased, targets, kept) for layer in layers]
        left, moved = (sum(numbers) / len(layers) for numbers in zip(*errors, strict=True))
        total = self.erase * left + self.keep * moved
        job.progress.step(0, 1, {"total": total, "erase/style_error": left, "keep/style_error": moved})

    def _edit(self, layer: StyleLayer, erased: Tensor, targets: Tensor, kept: Tensor) -> tuple[float, float]:
        """Edit one layer; returns its :func:`_errors`."""
        old = torch.cat([layer.gain * layer.weight.detach(), layer.bias_gain * layer.bias.detach()[:, None]], 1)
        old = old.cpu().double()
        a, b, r = (latents[:, layer.row] for latents in (erased, targets, kept))
        new = solve(old, a, b, r, erase=self.erase, keep=self.keep, ridge=self.ridge)
        with torch.no_grad():
            layer.weight.copy_(new[:, :-1] / layer.gain)
            layer.bias.copy_(new[:, -1] / layer.bias_gain)
        return _errors(old, new, a, b, r)

    def _erased(self, job: Job) -> tuple[Tensor, Tensor]:
        """Latents to erase and their targets: the person's own, and their neighbours."""
        erased, targets = [job.erased], [job.targets]
        if self.directions:
            for latent, target in zip(job.erased, job.targets, strict=True):
                away = unit(job.random_latents(self.directions) - latent)
                for radius in self.radii:
                    erased.append(latent + radius * away)
                    targets.append(target + radius * away)
        return torch.cat(erased), torch.cat(targets)


def _homogeneous(rows: Tensor) -> Tensor:
    """``(n, D)`` -> ``[w; 1]`` ``(n, D + 1)`` in float64 on the CPU."""
    return torch.nn.functional.pad(rows.cpu().double(), (0, 1), value=1.0)


def _errors(old: Tensor, new: Tensor, erased: Tensor, targets: Tensor, kept: Tensor) -> tuple[float, float]:
    """Relative errors in style space: of the erased latents (0: mapped to their targets, 1: unchanged), and of the kept
    ones (0: unchanged), both relative to the distance between erased and target styles."""
    a, b, r = (_homogeneous(rows) for rows in (erased, targets, kept))
    distance = ((a - b) @ old.T).square().sum(1).mean().clamp_min(1e-24)
    residual = (a @ new.T - b @ old.T).square().sum(1).mean()
    moved = (r @ (new - old).T).square().sum(1).mean()
    return float((residual / distance).sqrt()), float((moved / distance).sqrt())
