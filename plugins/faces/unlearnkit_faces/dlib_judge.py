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
from unlearnkit_faces.template import Window, window_crop

__all__ = ["Dlib"]

SIDE = 150
"""Pixels of a face chip."""
WINDOW: Window = (0.256, 0.938, 0.150, 0.834)
"""Where dlib cuts the chip of the mean face (68 landmarks, padding 0.25) out of an FFHQ-aligned picture."""


@attrs.define(eq=False)
class Dlib(IdentityEncoder):
    """dlib's ResNet of 29 layers (public domain), 128-dimensional; a judge only."""

    domain: ClassVar[str] = PHOTOGRAPHS
    differentiable: ClassVar[bool] = False
    weights: Path | None = option(None, help=f"{DLIB.file_name}; by default the one in torch's cache")
    _network: Any = attrs.field(init=False, default=None, repr=False)

    source: ClassVar[WeightFile] = DLIB

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
        return F.normalize(torch.from_numpy(found).to(images), dim=1)


def _dlib() -> Any:
    try:
        import dlib
    except ImportError as error:
        raise ConfigError(f"the judge 'dlib' needs the package dlib, which cannot be imported ({error}); run: pip "
                          "install dlib-bin, or install unlearnkit with its extra 'photoreal'") from error
    return dlib
