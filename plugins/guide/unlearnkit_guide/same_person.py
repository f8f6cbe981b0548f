"""Other pictures of the person, imagined from one: a loss of our own that stands beside GUIDE's three.

GUIDE's adjacency loss covers a ball around the erased latent. Another picture of the same person (other camera,
light, expression) lies far outside that ball, about as far as a stranger. But it does not lie anywhere: it is what
random latents are like, given that the identity encoder sees the same face. Near w_u, with c the coordinates of
w - w_avg along the main directions of random latents (each of unit variance) and J the derivative of the identity
embedding e with respect to c,

    p(c) ~ N(0, I),   p(same person | c) ~ exp(-|J (c - c_u)|^2 / (2 tolerance^2)),

so other pictures are drawn from the Gaussian with precision P = I + J^T J / tolerance^2, whose mean is
c_u - P^-1 c_u. J comes from central differences: two renderings a direction, once a run.
"""

from __future__ import annotations

import attrs
import torch
from torch import Tensor

from unlearnkit.config import option
from unlearnkit.interfaces import Generator, Job, Measures, Pairs, Step
from unlearnkit_guide.losses import Likeness

__all__ = ["Relatives", "SamePerson", "main_directions", "relatives"]

LATENTS = 1000
STEP = 0.5  # of a direction's standard deviation, either way, in the differences that give J
BATCH = 8


@attrs.frozen(eq=False)
class Relatives:
    """Offsets from a latent to other pictures of the same person: ``mean (D,)`` plus normal numbers times ``root``.

    ``root`` is ``(K, D)`` with D = num_ws * w_dim and K directions.
    """

    mean: Tensor
    root: Tensor

    def draw(self, count: int, rng: torch.Generator) -> Tensor:
        """``count`` offsets ``(count, D)``."""
        normal = torch.randn(count, len(self.root), generator=rng).to(self.root.device)
        return self.mean + normal @ self.root


def main_directions(generator: Generator, count: int, rng: torch.Generator) -> Tensor:
    """The ``count`` main directions of random latents, each as long as its standard deviation: ``(count, D)``."""
    z = torch.randn(LATENTS, generator.z_dim, generator=rng)
    with torch.no_grad():
        offsets = (generator.map(z.to(generator.w_avg.device)) - generator.w_avg).flatten(1)
    # The small Gram matrix has the same spectrum as the covariance of num_ws * w_dim numbers.
    values, vectors = torch.linalg.eigh((offsets @ offsets.T).double() / LATENTS)
    values, vectors = values.flip(0)[:count].clamp_min(1e-12), vectors.flip(1)[:, :count]
    return (vectors.T @ offsets.double() / LATENTS**0.5).to(offsets)


def relatives(
    source: Tensor, generator: Generator, measures: Measures, directions: Tensor, tolerance: float
) -> Relatives:
    """Other pictures of the person at ``source (num_ws, w_dim)``, by the Gaussian of this module's head."""
    jacobian = _jacobian(source, generator, measures, directions).double()
    scaled = directions.double()
    start = torch.linalg.lstsq(scaled.T, (source - generator.w_avg).flatten()[:, None].double()).solution[:, 0]
    precision = torch.eye(len(scaled), dtype=torch.double, device=scaled.device) + jacobian @ jacobian.T / tolerance**2
    covariance = torch.linalg.inv(precision)
    root = torch.linalg.cholesky(covariance).T @ scaled
    return Relatives((-(covariance @ start) @ scaled).to(source), root.to(source))


@torch.no_grad()
def _jacobian(source: Tensor, generator: Generator, measures: Measures, directions: Tensor) -> Tensor:
    """Change of the identity embedding along each direction ``(K, dim)``, by central differences."""
    moved = torch.cat([source + sign * STEP * directions.unflatten(1, source.shape) for sign in (1, -1)])
    view = generator.sample_views(1, torch.Generator().manual_seed(0))
    seen = []
    for part in moved.split(BATCH):
        views = None if view is None else view.to(part.device).expand(len(part), *view.shape[1:])
        seen.append(measures.identity.embed(generator.render(part, views).image))
    ahead, behind = torch.cat(seen).chunk(2)
    return (ahead - behind) / (2 * STEP)


@attrs.define
class SamePerson(Likeness):
    """``sum_i l(w_u + r_i, w_t + r_i)`` with ``r_i`` leading to another picture of the same person; not in the paper.

    The losses' identity encoder says who is the same; the judge never takes part.
    """

    samples: int = option(2, help="imagined pictures a step and person", ge=1)
    directions: int = option(48, help="main directions of random latents to look along", ge=1)
    tolerance: float = option(0.07, help="how far the embedding of the same person may move", unit="L2", gt=0.0)
    _found: list[Relatives] = attrs.field(init=False, factory=list, repr=False, eq=False)

    def begin(self, job: Job) -> None:
        """Look around each person; from a fixed seed, so a resumed run finds the same."""
        directions = main_directions(job.source, self.directions, torch.Generator().manual_seed(0))
        self._found = [
            relatives(source, job.source, job.measures, directions, self.tolerance) for source in job.sources
        ]

    def pairs(self, step: Step) -> Pairs:
        """``samples`` pairs a person, drawn anew at every step."""
        offsets = torch.cat([found.draw(self.samples, step.rng) for found in self._found])
        offsets = offsets.unflatten(1, step.sources.shape[1:])
        sources, targets = (x.repeat_interleave(self.samples, 0) for x in (step.sources, step.targets))
        return step.pairs(sources + offsets, targets + offsets)
