"""dlib's face recognition ResNet (King 2017), run by dlib itself: a judge without gradients.

The weights are read by dlib's C++ code, so only the one published file is accepted, whatever path is given.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import attrs
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from unlearnkit.config import option
from unlearnkit.errors import ConfigError
from unlearnkit.interfaces import IdentityEncoder
from unlearnkit.options.domains import PHOTOGRAPHS
from unlearnkit.weights import WeightFile, check_file, find_file
from unlearnkit_faces.checks import check_pictures, prepared
from unlearnkit_faces.files import DLIB
from unlearnkit_faces.template import ORL, Window, window_crop

__all__ = ["Dlib"]

SIDE = 150
"""Pixels of a face chip."""
WINDOW: Window = (0.256, 0.938, 0.150, 0.834)
"""Where dlib cuts the chip of the mean face (68 landmarks, padding 0.25) out of an FFHQ-aligned picture."""

STRANGERS_MEAN = (
    -56, 50, 35, -35, -82, -14, -11, -64, 113, -74, 129, -31, -172, -6, -8, 103, -111, -87, -67, -33, 15, 21, -1, 33,
    -91, -220, -51, -60, 13, -51, -8, 49, -103, -20, 24, 45, -35, -65, 133, 8, -147, -14, 35, 170, 126, 8, 14, -66,
    90, -188, 33, 97, 52, 49, 55, -111, 25, 93, -137, 25, 50, -59, -15, -45, 148, 68, -83, -78, 117, -106, -39, 38,
    -78, -128, -192, 10, 273, 104, -113, 14, -50, -20, 46, 69, -33, -29, -54, 18, 146, -26, -2, 157, 12, -4, 8, 24,
    -75, -10, -81, -9, 19, -46, -2, 82, -137, 109, -1, -22, 3, -21, -54, -18, 104, -175, 117, 111, 29, 98, 28, 38, -1,
    -31, -125, -48, 44, -19, 13, 21,
)
"""Thousandths: the mean unit descriptor of 240 people drawn by MobileStyleGAN (z from numpy's RandomState(7))."""


@attrs.define(eq=False)
class Dlib(IdentityEncoder):
    """dlib's ResNet of 29 layers (public domain), 128-dimensional; a judge only.

    dlib compares descriptors by distance, and all of them share a large part: two strangers have a cosine of 0.86. So
    the mean descriptor of strangers is subtracted before the last normalisation, which puts strangers near 0 and keeps
    the separation (equal error on the ORL faces 0.5 %, 0.4 % without). dlib's own threshold of 0.6 does not apply.
    """

    domain: ClassVar[str] = PHOTOGRAPHS
    differentiable: ClassVar[bool] = False
    weights: Path | None = option(None, help=f"{DLIB.file_name}; by default the one in torch's cache")
    _network: Any = attrs.field(init=False, default=None, repr=False)

    source: ClassVar[WeightFile] = DLIB
    levels_source: ClassVar[str] = f"{ORL}; border: equal error"

    def levels(self) -> dict[str, float]:
        """Means and border on the ORL faces; people drawn by MobileStyleGAN have 0.00 ± 0.21 to one another."""
        return {"same_person": 0.854, "strangers": 0.218, "border": 0.591}

    def check(self) -> None:
        """Check that dlib and the weight file are there.

        :raises ConfigError: if either is missing; CheckpointError if the file is another one.
        """
        self._find()
        _dlib()

    def prepare(self, device: torch.device) -> None:
        """Read the weights; dlib computes on the CPU whatever ``device`` is.

        :raises ConfigError: if dlib or the file is missing; CheckpointError if the file is another one.
        """
        path = self._find()
        self._network = _dlib().face_recognition_model_v1(str(path))

    def _find(self) -> Path:
        path = find_file(self.weights, self.source)
        check_file(path, self.source)
        return path

    @torch.no_grad()
    def embed(self, images: Tensor) -> Tensor:
        """Images ``(N, 3, S, S)`` in [-1, 1] -> unit embeddings ``(N, 128)``, without a graph.

        :raises ShapeError: if the images have another shape.
        """
        check_pictures(images, square=True)
        network = prepared(self._network, "Dlib")
        chips = ((window_crop(images.float(), SIDE, WINDOW).clamp(-1, 1) + 1) * 127.5).round().byte()
        arrays = [np.ascontiguousarray(chip) for chip in chips.permute(0, 2, 3, 1).cpu().numpy()]
        found = np.array(network.compute_face_descriptor(arrays))
        descriptors = F.normalize(torch.from_numpy(found), dim=1)
        return F.normalize(descriptors - descriptors.new_tensor(STRANGERS_MEAN) / 1000, dim=1).to(images)


def _dlib() -> Any:
    try:
        import dlib
    except ImportError as error:
        raise ConfigError(f"the judge 'dlib' needs the package dlib, which cannot be imported ({error}); run: pip "
                          "install dlib-bin, or install unlearnkit with its extra 'photoreal'") from error
    return dlib
