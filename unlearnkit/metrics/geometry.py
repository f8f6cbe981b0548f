"""Do heads keep their shape?"""

from __future__ import annotations

import attrs
import torch
from torch import Tensor

from unlearnkit.interfaces import About, Evidence, Generator, Metric, Number
from unlearnkit.metrics.gallery import BATCH

__all__ = ["Geometry"]


@attrs.define
class Geometry(Metric):
    """Depth from the front before against after, for generators that know depth; in units of their world.

    With D the depth map of a latent from the front, before, and D' after:

    * ``depth_change_erased`` = mean over pixels of |D - D'| for the erased latents
    * ``depth_change_bystanders`` = the same for everybody who must stay (lower is better)
    * ``depth_between_bystanders`` = the same between different bystanders, before: what another head means

    A change that is small beside the last number says that heads keep their shape. It says nothing of colours, and
    where a generator puts the backdrop counts as much as the face. ``n_geometry`` is 0 for a generator without depth.
    """

    def measure(self, evidence: Evidence) -> dict[str, float]:
        """The mean absolute differences, and how many bystanders they are from."""
        erased = evidence.request.erased
        before, after = _depths(evidence.frozen, erased), _depths(evidence.edited, erased)
        if before is None:
            return {"n_geometry": 0.0}
        assert after is not None
        numbers = {"depth_change_erased": float((before - after).abs().mean())}
        latents = _others(evidence)
        staying, moved = _depths(evidence.frozen, latents), _depths(evidence.edited, latents)
        assert staying is not None and moved is not None
        return numbers | {
            "depth_change_bystanders": float((staying - moved).abs().mean()),
            "depth_between_bystanders": float((staying - staying.roll(1, 0)).abs().mean()),
            "n_geometry": float(len(latents)),
        }

    def numbers(self, about: About) -> tuple[Number, ...]:
        """The mean absolute differences; only the count for a generator without depth."""
        between, unit = "depth_between_bystanders", "world units"
        return (
            Number("depth_change_erased", "Depth of the erased person, difference before vs. after", unit=unit,
                   reference=between, least=0.0),
            Number("depth_change_bystanders", "Depth of bystanders, difference before vs. after", "lower", unit,
                   count="n_geometry", reference=between, least=0.0, short="change of bystanders' depth"),
            Number(between, "Depth of bystanders, difference between two of them, before", unit=unit,
                   count="n_geometry", least=0.0),
        )


def _others(evidence: Evidence) -> Tensor:
    """Latents of the bystanders; of random people where there are fewer than two."""
    bystanders = [person.latents[:1] for person in evidence.request.bystanders]
    if len(bystanders) > 1:
        return torch.cat(bystanders)
    return evidence.random_latents(BATCH, evidence.stream("geometry"))


@torch.no_grad()
def _depths(generator: Generator, latents: Tensor) -> Tensor | None:
    """Depth ``(N, 1, h, w)`` from the front, on the CPU; None without depth."""
    front = generator.front_view()
    if front is None:
        return None
    found = []
    for part in latents.to(generator.w_avg.device).split(BATCH):
        depth = generator.depth(part, front.expand(len(part), *front.shape[1:]))
        if depth is None:
            return None
        found.append(depth.float().cpu())
    return torch.cat(found)
