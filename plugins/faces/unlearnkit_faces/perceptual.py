"""LPIPS (Zhang et al. 2018, arXiv 1801.03924), version 0.1, split so that frozen features are computed once.

Results equal ``lpips.LPIPS(net="vgg")`` and ``("alex")`` of the package lpips 0.1.4, whose calibrated heads are
read from its own files; the trunk is torchvision's ImageNet classifier.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import ClassVar

import attrs
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unlearnkit.config import option
from unlearnkit.errors import CheckpointError, ShapeError
from unlearnkit.interfaces import Perceptual
from unlearnkit.ops import unit_distance
from unlearnkit.weights import WeightFile, find_file
from unlearnkit_faces.checks import check_pictures, prepared
from unlearnkit_faces.files import LPIPS_ALEX, LPIPS_VGG
from unlearnkit_faces.weights import load_network, read_state

__all__ = ["LpipsAlex", "LpipsVgg"]

SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)
"""ImageNet's mean and standard deviation for images in [-1, 1], as lpips rounds them."""
TINY = 1e-10


@attrs.define(eq=False)
class _Lpips(Perceptual):
    """Code shared by both trunks."""

    trunk: Path | None = option(
        None, help="torchvision's ImageNet weights; by default the file in torch's cache")

    source: ClassVar[WeightFile]
    heads: ClassVar[str]
    """Name of the heads' file in the lpips package."""
    taps: ClassVar[tuple[int, ...]]
    """Layers of the trunk whose (ReLU) outputs are compared."""
    smallest: ClassVar[int]
    """Smallest side that the trunk accepts."""
    _network: nn.Sequential | None = attrs.field(init=False, default=None, repr=False)
    _weights: list[Tensor] = attrs.field(init=False, factory=list, repr=False)
    _scaling: tuple[Tensor, Tensor] | None = attrs.field(init=False, default=None, repr=False)

    def layers(self) -> nn.Sequential:
        """The trunk's architecture, without weights."""
        raise NotImplementedError

    def check(self) -> None:
        """Check that the trunk's weight file is there.

        :raises ConfigError: if there is none; CheckpointError if it does not match the hash in its name.
        """
        find_file(self.trunk, self.source)

    def prepare(self, device: torch.device) -> None:
        """Read trunk and heads onto ``device``.

        :raises ConfigError: if there is no trunk; nothing is downloaded.
        :raises CheckpointError: if a file is damaged or belongs to another network.
        """
        path = find_file(self.trunk, self.source)
        state = read_state(path, prefix="features.")
        network = load_network(self.layers, state, path, device)
        self._weights = [head.to(device) for head in _read_heads(self.heads)]
        self._scaling = (torch.tensor(SHIFT, device=device).view(1, 3, 1, 1),
                         torch.tensor(SCALE, device=device).view(1, 3, 1, 1))
        # Channels last: forward and backward in 94 % of the time on a CPU (VGG, measured), and what tensor cores use.
        self._network = network[: self.taps[-1] + 1].to(memory_format=torch.channels_last)

    def features(self, images: Tensor) -> list[Tensor]:
        """Images ``(N, 3, H, W)`` in [-1, 1] -> five feature maps of the trunk; the distance normalises them.

        :raises ShapeError: if the images have another shape or are too small for the trunk.
        """
        check_pictures(images, self.smallest)
        shift, scale = prepared(self._scaling, type(self).__name__)
        x = ((images - shift) / scale).contiguous(memory_format=torch.channels_last)
        maps = []
        for index, layer in enumerate(prepared(self._network, type(self).__name__)):
            x = layer(x)
            if index in self.taps:
                maps.append(x)
        return maps

    def distance(self, a: list[Tensor], b: list[Tensor]) -> Tensor:
        """LPIPS of two lists of feature maps, ``(N,)``.

        :raises ShapeError: if the shapes of the two lists differ.
        """
        if [x.shape for x in a] != [x.shape for x in b] or len(a) != len(self.taps):
            raise ShapeError(f"two lists of {len(self.taps)} feature maps of equal shapes expected, got "
                             f"{[tuple(x.shape) for x in a]} and {[tuple(x.shape) for x in b]}")
        terms = [
            unit_distance(x, y, head, eps=TINY) for x, y, head in zip(a, b, self._weights, strict=True)
        ]
        return torch.stack(terms).sum(0)

    def pooled(self, images: Tensor) -> Tensor:
        """The last stage's normalised features, averaged over positions: ``(N, C)``."""
        return F.normalize(self.features(images)[-1], dim=1, eps=TINY).mean((2, 3))


@attrs.define(eq=False)
class LpipsVgg(_Lpips):
    """LPIPS on VGG-16, as in GUIDE's losses."""

    label: ClassVar[str] = "lpips-vgg"
    source: ClassVar[WeightFile] = LPIPS_VGG
    heads: ClassVar[str] = "vgg.pth"
    taps: ClassVar[tuple[int, ...]] = (3, 8, 15, 22, 29)
    smallest: ClassVar[int] = 16

    def layers(self) -> nn.Sequential:
        """The convolutions of torchvision's VGG-16."""
        from torchvision.models import vgg16

        features: nn.Sequential = vgg16(weights=None).features
        return features


@attrs.define(eq=False)
class LpipsAlex(_Lpips):
    """LPIPS on AlexNet, the variant most papers report."""

    label: ClassVar[str] = "lpips-alex"
    source: ClassVar[WeightFile] = LPIPS_ALEX
    heads: ClassVar[str] = "alex.pth"
    taps: ClassVar[tuple[int, ...]] = (1, 4, 7, 9, 11)
    smallest: ClassVar[int] = 32

    def layers(self) -> nn.Sequential:
        """The convolutions of torchvision's AlexNet."""
        from torchvision.models import alexnet

        features: nn.Sequential = alexnet(weights=None).features
        return features


def _read_heads(file_name: str) -> list[Tensor]:
    """The five calibrated heads ``(C_i,)`` that ship in the lpips package, which is not imported."""
    spec = importlib.util.find_spec("lpips")
    folders = (spec.submodule_search_locations if spec else None) or []
    path = next((Path(folder) / "weights" / "v0.1" / file_name for folder in folders), None)
    if path is None or not path.is_file():
        raise CheckpointError(f"lpips/weights/v0.1/{file_name} is not installed; run: pip install lpips")
    state = read_state(path)
    names = [f"lin{index}.model.1.weight" for index in range(5)]
    if not all(name in state and state[name].ndim == 4 for name in names):
        raise CheckpointError(f"{path}: lacks {', '.join(name for name in names if name not in state)}; "
                              "install lpips 0.1.4 again")
    return [state[name].float().flatten() for name in names]
