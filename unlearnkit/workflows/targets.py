"""A look at the targets before the run spends its time: are they like anything that the generator draws?"""

from __future__ import annotations

import math

import attrs
import torch
from torch import Tensor

from unlearnkit.interfaces import Perceptual
from unlearnkit.metrics.faces import SURE, find_faces
from unlearnkit.metrics.gallery import SHOWN, Gallery
from unlearnkit.report.verdict import STRANGE
from unlearnkit.workflows.experiment import Experiment

__all__ = ["TargetLook", "look_at_targets"]


@attrs.frozen
class TargetLook:
    """What was seen, for the manifest, and a warning if a target is no natural picture of this generator.

    * ``strangeness``: of the strangest target, in mean distances of random people to their nearest; about 1 is ordinary
    * ``most``: the same of the strangest random person
    * ``faces``, ``n_targets``: in how many targets a face is found; ``faces`` is None without a detector
    """

    strangeness: float
    most: float
    n_targets: int
    faces: int | None = None

    @property
    def warning(self) -> str | None:
        """One line that says what is wrong and which options mend it."""
        if self.faces is not None and self.faces < self.n_targets:
            what = "shows no face"
        elif self.strangeness >= STRANGE and self.strangeness > self.most:
            what = (f"lies {self.strangeness:.1f} times as far from what the generator draws as its pictures from each "
                    f"other (the strangest of {SHOWN} random people: {self.most:.1f})")
        else:
            return None
        which = "the target" if self.n_targets == 1 else f"a target, of {self.n_targets},"
        return (f"{which} {what}, so what is left of the person may be no face either; stop and look at it "
                "(unlearnkit sample), or try another --target, or with UFO --set target.distance=10, or --set "
                "target.rows=mean --set target.distance=20")


@torch.no_grad()
def look_at_targets(experiment: Experiment) -> TargetLook | None:
    """Render targets and random people on the frozen generator and compare them in feature space.

    The random people are those whom metrics and report show later. None where nobody has a target (a method without
    a selector), or where the generator's pictures do not differ.
    """
    if experiment.parts.target is None:
        return None
    frozen, perceptual, gallery = experiment.frozen, experiment.parts.perceptual, Gallery.of(experiment.evidence)
    own = _pooled(perceptual, gallery.fronts.images(frozen, gallery.random(SHOWN)))
    images = gallery.fronts.images(frozen, experiment.targets)
    among = torch.cdist(own, own).fill_diagonal_(torch.inf).amin(1)
    scale = float(among.mean())
    if not math.isfinite(scale) or scale <= 0:
        return None
    far = float(torch.cdist(_pooled(perceptual, images), own).amin(1).max()) / scale
    found = find_faces(images, frozen)
    faces = None if found is None else int((found >= SURE).sum())
    return TargetLook(round(far, 3), round(float(among.max()) / scale, 3), len(images), faces)


def _pooled(perceptual: Perceptual, images: Tensor) -> Tensor:
    """Feature vectors ``(N, D)`` float64 on the CPU, one picture at a time."""
    return torch.cat([perceptual.pooled(image[None]).cpu().double() for image in images])
