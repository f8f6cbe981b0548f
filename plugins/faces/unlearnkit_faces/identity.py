"""Published face recognition networks as identity encoders. All are frozen and run in ``eval()`` mode.

Users supply the weights: nothing is downloaded.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import attrs
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unlearnkit.config import option
from unlearnkit.interfaces import IdentityEncoder
from unlearnkit.options.domains import PHOTOGRAPHS
from unlearnkit.weights import WeightFile, find_file
from unlearnkit_faces.alignment import similarity, warp
from unlearnkit_faces.checks import check_pictures, prepared
from unlearnkit_faces.detection import Face, count_faces, detect_faces, image_pixels, most_likely
from unlearnkit_faces.files import ARCFACE, CURRICULARFACE, FACENET
from unlearnkit_faces.irse import FaceNetwork, ir_101, ir_se50
from unlearnkit_faces.weights import load_network, read_state

__all__ = ["ArcFace", "CurricularFace", "Facenet", "face_window"]

WINDOW = (35 / 256, 223 / 256, 32 / 256, 220 / 256)
"""Top, bottom, left and right of the face in an FFHQ-aligned image, as e4e and GUIDE crop it."""
TEMPLATE = np.array([[38.29, 51.70], [73.53, 51.50], [56.03, 71.74], [41.55, 92.37], [70.73, 92.20]])
"""Eyes, nose and mouth corners in the 112 × 112 crops that face recognition is trained on."""
GUIDE_THRESHOLDS = (0.15, 0.25, 0.35)


def face_window(images: Tensor) -> Tensor:
    """Crop the face out of FFHQ-aligned images: ``(N, 3, S, S)`` -> ``(N, 3, s, s)``, s about 0.73 S."""
    side = images.shape[2]
    top, bottom, left, right = (round(edge * side) for edge in WINDOW)
    return images[:, :, top:bottom, left:right]


@attrs.define(eq=False)
class Facenet(IdentityEncoder):
    """FaceNet from facenet-pytorch 2.5: Inception-ResNet-v1 on VGGFace2, 512-dimensional, 160 pixels.

    Images in [-1, 1] are standardised as the network expects, (x * 127.5) / 128, and resized with antialiasing. Any
    VGGFace2 or CASIA-WebFace file of facenet-pytorch works; its classifier is dropped.
    """

    domain: ClassVar[str] = PHOTOGRAPHS
    weights: Path | None = option(
        None, help="facenet-pytorch's 20180402-114759-vggface2.pt; by default the one in torch's cache")
    crop: bool = option(True, help="crop the face out of FFHQ-aligned images; false for tight crops")
    _network: nn.Module | None = attrs.field(init=False, default=None, repr=False)

    source: ClassVar[WeightFile] = FACENET
    levels_source: ClassVar[str] = (
        "the border of the package deepface for its Facenet512, a conversion of the same network: cosine distance 0.30")

    def levels(self) -> dict[str, float]:
        """The border alone, 1 - 0.30: nobody has published what two strangers have on FFHQ-aligned pictures."""
        return {"border": 0.70}

    def check(self) -> None:
        """Check that the weight file is there.

        :raises ConfigError: if there is none; CheckpointError if it does not match the hash in its name.
        """
        find_file(self.weights, self.source)

    def prepare(self, device: torch.device) -> None:
        """Read the weights onto ``device``.

        :raises ConfigError: if there is no file; nothing is downloaded.
        :raises CheckpointError: if the file is damaged or belongs to another network.
        """
        from facenet_pytorch import InceptionResnetV1

        path = find_file(self.weights, self.source)
        state = {name: value for name, value in read_state(path).items() if not name.startswith("logits.")}
        self._network = load_network(InceptionResnetV1, state, path, device)

    def embed(self, images: Tensor) -> Tensor:
        """Images ``(N, 3, S, S)`` in [-1, 1] -> unit embeddings ``(N, 512)``.

        :raises ShapeError: if the images have another shape.
        """
        check_pictures(images, square=True)
        faces = face_window(images) if self.crop else images
        faces = F.interpolate(faces, (160, 160), mode="bilinear", align_corners=False, antialias=True)
        embeddings: Tensor = prepared(self._network, "Facenet")(faces * (127.5 / 128))
        return embeddings


@attrs.define(eq=False)
class ArcFace(IdentityEncoder):
    """ArcFace IR-SE50 with the preprocessing of GUIDE and e4e: the encoder of GUIDE's identity loss.

    Images are resized to 256 pixels (bilinear, without antialiasing), cropped to rows 35 to 223 and columns 32 to 220,
    and average-pooled to 112 pixels; no landmarks. The window suits FFHQ-aligned images.
    """

    domain: ClassVar[str] = PHOTOGRAPHS
    weights: Path | None = option(None, help="model_ir_se50.pth; by default the one in torch's cache")
    _network: FaceNetwork | None = attrs.field(init=False, default=None, repr=False)

    source: ClassVar[WeightFile] = ARCFACE
    levels_source: ClassVar[str] = (
        "the border of the package deepface for its ArcFace, another training with the same loss: cosine distance 0.68")

    def levels(self) -> dict[str, float]:
        """The border alone, 1 - 0.68; this file's publisher gives none."""
        return {"border": 0.32}

    def check(self) -> None:
        """Check that the weight file is there.

        :raises ConfigError: if there is none; CheckpointError if it does not match the hash in its name.
        """
        find_file(self.weights, self.source)

    def prepare(self, device: torch.device) -> None:
        """Read the weights onto ``device``.

        :raises ConfigError: if there is no file; nothing is downloaded.
        :raises CheckpointError: if the file is damaged or belongs to another network.
        """
        path = find_file(self.weights, self.source)
        self._network = load_network(ir_se50, read_state(path), path, device)

    def embed(self, images: Tensor) -> Tensor:
        """Images ``(N, 3, S, S)`` in [-1, 1] -> unit embeddings ``(N, 512)``.

        :raises ShapeError: if the images have another shape.
        """
        check_pictures(images, square=True)
        embeddings: Tensor = prepared(self._network, "ArcFace")(self.faces(images))
        return embeddings

    @staticmethod
    def faces(images: Tensor) -> Tensor:
        """The network's input ``(N, 3, 112, 112)``."""
        images = F.interpolate(images, (256, 256), mode="bilinear", align_corners=False)
        return F.adaptive_avg_pool2d(images[:, :, 35:223, 32:220], (112, 112))


@attrs.define(eq=False)
class CurricularFace(IdentityEncoder):
    """CurricularFace IR-101, the network of GUIDE's ID metric; use it as judge, not in a loss.

    MTCNN detects five landmarks, with the metric's low thresholds, and the face is warped to the network's template.
    Where no face is found, the FFHQ window is used: an image without a face still gets an embedding (GUIDE's code
    stops there), and :meth:`embed_and_count` reports it. Parameter names are assumed to be those of IR-SE50; a file
    with others is refused, naming them.
    """

    domain: ClassVar[str] = PHOTOGRAPHS
    weights: Path | None = option(
        None, help="CurricularFace_Backbone.pth; by default the one in torch's cache")
    align: bool = option(True, help="align the face by MTCNN landmarks; false uses the fixed FFHQ window")
    _network: FaceNetwork | None = attrs.field(init=False, default=None, repr=False)

    source: ClassVar[WeightFile] = CURRICULARFACE

    def check(self) -> None:
        """Check that the weight file is there.

        :raises ConfigError: if there is none; CheckpointError if it does not match the hash in its name.
        """
        find_file(self.weights, self.source)

    def prepare(self, device: torch.device) -> None:
        """Read the weights onto ``device``.

        :raises ConfigError: if there is no file; nothing is downloaded.
        :raises CheckpointError: if the file is damaged or belongs to another network.
        """
        path = find_file(self.weights, self.source)
        self._network = load_network(ir_101, read_state(path), path, device)

    def embed(self, images: Tensor) -> Tensor:
        """Images ``(N, 3, S, S)`` in [-1, 1] -> unit embeddings ``(N, 512)``.

        :raises ShapeError: if the images have another shape.
        """
        return self.embed_and_count(images)[0]

    def embed_and_count(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Embeddings, and the number of faces MTCNN finds in each image ``(N,)``; None if ``align`` is false.

        :raises ShapeError: if the images have another shape.
        """
        check_pictures(images, square=True)
        faces, counts = self.faces(images)
        embeddings: Tensor = prepared(self._network, "CurricularFace")(faces)
        return embeddings, counts

    def faces(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """The network's input ``(N, 3, 112, 112)``, and the counts of :meth:`embed_and_count`."""
        found = [self._find(image) for image in images.detach()] if self.align else [[] for _ in images]
        corners = np.stack([_corners(faces, images.shape[2]) for faces in found])
        counts = torch.tensor([count_faces(faces) for faces in found]) if self.align else None
        return warp(images, torch.from_numpy(corners).to(images.device), 112), counts

    @staticmethod
    def _find(image: Tensor) -> list[Face]:
        return detect_faces(image_pixels(image), GUIDE_THRESHOLDS)


def _corners(faces: list[Face], side: int) -> np.ndarray:
    """Three corners ``(3, 2)``, in a square image, of the 112 × 112 crop of the likeliest face."""
    face = most_likely(faces)
    if face is None:
        top, bottom, left, right = (edge * side for edge in WINDOW)
        return np.array([[left, top], [right, top], [left, bottom]])
    transform = similarity(face.landmarks, TEMPLATE)
    square = np.array([[0.0, 0.0, 1.0], [112.0, 0.0, 1.0], [0.0, 112.0, 1.0]])
    return np.asarray(square @ transform.T)
