"""ST-LPIPS (Ghildyal and Liu 2022, arXiv 2207.13686): LPIPS that tolerates shifts of a few pixels.

Trunks without aliasing (Zhang 2019, arXiv 1904.11486): the first convolution has stride 1, and every halving is a fixed
3 × 3 blur after reflection. Trunk and heads were trained by the authors of ST-LPIPS, whose program (BSD-2-Clause) was
read for the order of layers. Results equal
``stlpips_pytorch.LPIPS(net=..., variant="shift_tolerant")`` of stlpips-pytorch 0.0.2, whose weight files are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import accumulate
from pathlib import Path
from typing import ClassVar, Literal

import attrs
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unlearnkit.config import option
from unlearnkit.errors import ShapeError
from unlearnkit.interfaces import Perceptual
from unlearnkit.ops import unit_distance
from unlearnkit.weights import find_file
from unlearnkit_faces.checks import check_pictures, prepared
from unlearnkit_faces.files import ST_LPIPS_ALEX, ST_LPIPS_VGG
from unlearnkit_faces.perceptual import SCALE, SHIFT, TINY
from unlearnkit_faces.weights import load_network, read_state

__all__ = ["ShiftTolerantLpips", "ShiftTolerantNetwork"]

Trunk = Literal["alex", "vgg"]
SOURCES = {"alex": ST_LPIPS_ALEX, "vgg": ST_LPIPS_VGG}
WIDTHS = {"alex": (64, 192, 384, 256, 256), "vgg": (64, 128, 256, 512, 512)}
"""Channels of the maps that are compared."""
SMALLEST = 32
"""Side below which a map becomes too small to be reflected."""
REFLECTED = 2
"""Pixels on every edge before a blur."""


class _Blur(nn.Module):
    """Halves a map with the fixed filter that the file states for each channel."""

    filt: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("filt", torch.zeros(channels, 1, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(F.pad(x, (REFLECTED,) * 4, mode="reflect"), self.filt, stride=2, groups=len(self.filt))


def _alex() -> Iterable[tuple[nn.Module, ...]]:
    """AlexNet's stages; each ends in a map that is compared."""
    yield nn.Conv2d(3, 64, 11, padding=2), _Blur(64), nn.ReLU()
    yield nn.MaxPool2d(3, 1), _Blur(64), nn.Conv2d(64, 192, 5, padding=2), nn.ReLU()
    yield nn.MaxPool2d(3, 1), _Blur(192), nn.Conv2d(192, 384, 3, padding=1), nn.ReLU()
    yield nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()
    yield nn.Conv2d(256, 256, 3, padding=1), nn.ReLU()


def _vgg() -> Iterable[tuple[nn.Module, ...]]:
    """The same of VGG-16."""
    before = 3
    for channels, convolutions in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        stage: list[nn.Module] = [] if before == 3 else [nn.MaxPool2d(2, 1), _Blur(before)]
        for _ in range(convolutions):
            stage += [nn.Conv2d(before, channels, 3, padding=1), nn.ReLU()]
            before = channels
        yield tuple(stage)


class ShiftTolerantNetwork(nn.Module):
    """Pictures ``(N, 3, H, W)`` in [-1, 1] -> five feature maps; ``heads`` weigh their channels."""

    shift: Tensor
    scale: Tensor

    def __init__(self, trunk: Trunk) -> None:
        super().__init__()
        stages = list(_alex() if trunk == "alex" else _vgg())
        self.layers = nn.Sequential(*(layer for stage in stages for layer in stage))
        self.ends = set(accumulate(len(stage) for stage in stages))
        self.heads = nn.ParameterList(nn.Parameter(torch.zeros(1, width, 1, 1)) for width in WIDTHS[trunk])
        for name, numbers in (("shift", SHIFT), ("scale", SCALE)):
            self.register_buffer(name, torch.tensor(numbers).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> list[Tensor]:
        """The map at the end of every stage."""
        x = ((images - self.shift) / self.scale).contiguous(memory_format=torch.channels_last)
        maps = []
        for count, layer in enumerate(self.layers, 1):
            x = layer(x)
            if count in self.ends:
                maps.append(x)
        return maps


def to_state(published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The file's names -> those of :class:`ShiftTolerantNetwork`."""
    state = {}
    for name, tensor in published.items():
        first, _, rest = name.partition(".")
        if first == "net":  # net.slice2.5.weight: layers are numbered through
            name = f"layers.{rest.partition('.')[2]}"
        elif first == "scaling_layer":
            name = rest
        elif rest == "model.1.weight":
            name = f"heads.{first.removeprefix('lin')}"
        state[name] = tensor
    return state


@attrs.define(eq=False)
class ShiftTolerantLpips(Perceptual):
    """ST-LPIPS; AlexNet costs a third of VGG-16, and its file a sixth."""

    label: ClassVar[str] = "st-lpips"
    trunk: Trunk = option("alex", help="network whose features are compared: alex or vgg")
    weights: Path | None = option(None, help="the trunk's file of stlpips-pytorch; by default the one in torch's cache")
    _network: ShiftTolerantNetwork | None = attrs.field(init=False, default=None, repr=False)

    def check(self) -> None:
        """Check that the weight file is there.

        :raises ConfigError: if there is none; CheckpointError if it is another file.
        """
        find_file(self.weights, SOURCES[self.trunk])

    def prepare(self, device: torch.device) -> None:
        """Read trunk and heads onto ``device``.

        :raises ConfigError: if there is no file; nothing is downloaded.
        :raises CheckpointError: if the file is damaged or belongs to another network.
        """
        path = find_file(self.weights, SOURCES[self.trunk])
        network = load_network(lambda: ShiftTolerantNetwork(self.trunk), to_state(read_state(path)), path, device)
        self._network = network.to(memory_format=torch.channels_last)

    def features(self, images: Tensor) -> list[Tensor]:
        """Images ``(N, 3, H, W)`` in [-1, 1] -> five feature maps of the trunk; the distance normalises them.

        :raises ShapeError: if the images have another shape or are smaller than 32 pixels.
        """
        check_pictures(images, SMALLEST)
        maps: list[Tensor] = prepared(self._network, "ShiftTolerantLpips")(images)
        return maps

    def distance(self, a: list[Tensor], b: list[Tensor]) -> Tensor:
        """ST-LPIPS of two lists of feature maps, ``(N,)``.

        :raises ShapeError: if the shapes of the two lists differ.
        """
        heads = prepared(self._network, "ShiftTolerantLpips").heads
        if [x.shape for x in a] != [x.shape for x in b] or len(a) != len(heads):
            raise ShapeError(f"two lists of {len(heads)} feature maps of equal shapes expected, got "
                             f"{[tuple(x.shape) for x in a]} and {[tuple(x.shape) for x in b]}")
        return torch.stack([unit_distance(x, y, head.flatten(), eps=TINY)
                            for x, y, head in zip(a, b, heads, strict=True)]).sum(0)

    def pooled(self, images: Tensor) -> Tensor:
        """The last stage's normalised features, averaged over positions: ``(N, C)``."""
        return F.normalize(self.features(images)[-1], dim=1, eps=TINY).mean((2, 3))
