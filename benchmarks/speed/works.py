"""What is timed, at which size, and the bar that issue 5 sets for it."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import attrs
import torch
from torch import Tensor
from unlearnkit_eg3d import volume
from unlearnkit_eg3d.cameras import cameras
from unlearnkit_eg3d.volume import Decoder, Draws, RenderSettings

from speed import plain_ops
from speed.timing import Side, interleave, operation_side
from speed.worker import worker
from unlearnkit import ops
from unlearnkit.ops import plain_volume

__all__ = ["WORKS", "Row", "Work", "measure"]

FOLDER = Path(__file__).parents[1]
MEMORY_BAR = 8e9
"""Bytes of one EG3D 512/128 step."""
SIDES = {"full": (256, 128, 48), "small": (64, 32, 12)}
"""Of tri-planes, of the picture of rays; and coarse samples, with as many fine ones."""


Sides = Callable[[str], AbstractContextManager[tuple[Side, Side]]]
"""Size -> ours and the authors', while the context lasts."""


@attrs.frozen
class Work:
    """One thing that is timed; ``bars``: the least ratio of each phase at full size.

    ``sides`` None: memory, which a process of its own takes.
    """

    name: str
    title: str
    bars: Mapping[str, float]
    sides: Sides | None = None


@attrs.frozen
class Row:
    """A line of the table: medians of both sides, in ``unit``, and how they relate to the bar (None: no bar here)."""

    work: str
    title: str
    phase: str
    size: str
    unit: str
    ours: tuple[float, ...]
    authors: tuple[float, ...] = ()
    ratio: float | None = None
    bar: float | None = None

    @property
    def met(self) -> bool | None:
        """True if the bar is met, None without one."""
        if self.bar is None:
            return None
        return self.ratio >= self.bar if self.ratio is not None else max(self.ours) <= self.bar


def measure(work: Work, size: str, repeats: int) -> list[Row]:
    """Measure a work at a size (`full`, `small`).

    :raises Different: if the two sides do not compute the same.
    """
    if work.sides is None:
        bar = MEMORY_BAR if size == "full" else None
        return [Row(work.name, work.title, "peak", size, "bytes", (_peak_of_a_step(size),), bar=bar)]
    with work.sides(size) as (ours, authors):
        phases = interleave(ours, authors, repeats)
    return [
        Row(work.name, work.title, phase.name, size, "bytes" if phase.name == "peak" else "s", phase.ours,
            phase.authors, phase.ratio, work.bars.get(phase.name) if size == "full" else None)
        for phase in phases
    ]


# ---------------------------------------------------------------- whole iterations

def _iterations(kind: str) -> Sides:
    """Both sides in processes of their own, each with the allocator that it runs with."""

    @contextlib.contextmanager
    def sides(size: str) -> Iterator[tuple[Side, Side]]:
        with worker(kind, "ours", size) as ours, worker(kind, "authors", size) as authors:
            yield ours, authors

    return sides


def _peak_of_a_step(size: str) -> float:
    command = [sys.executable, "-m", "speed.peak", size]
    done = subprocess.run(command, capture_output=True, text=True, cwd=FOLDER, check=True)
    return float(json.loads(done.stdout.splitlines()[-1])["peak_bytes"])


# ---------------------------------------------------------------- single operations

def _operations(make: Callable[[str], tuple[Side, Side]]) -> Sides:
    """Both sides in this process."""
    return lambda size: contextlib.nullcontext(make(size))


def _rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def _rays(side: int) -> tuple[Tensor, Tensor]:
    zero = torch.zeros(1)
    return volume.rays(cameras(zero, zero, torch.tensor([0.0, 0.0, 0.2])), side)


@_operations
def _sampling(size: str) -> tuple[Side, Side]:
    edge, side, count = SIDES[size]
    planes = torch.randn(1, 3, 32, edge, edge, generator=_rng()).requires_grad_()
    origins, directions = _rays(side)
    depths = volume.stratified(*volume.limits(origins, directions, RenderSettings()),
                               torch.full((1, side * side, count), 0.5), False)
    points = (origins[:, :, None] + depths[..., None] * directions[:, :, None]).flatten(1, 2)
    probe = torch.randn(1, points.shape[1], 32, generator=_rng())
    return (operation_side(lambda p: ops.sample_planes(p, points, 1.0), [planes], probe),
            operation_side(lambda p: plain_volume.sample_planes(p, points, 1.0), [planes], probe))


@_operations
def _renderer(size: str) -> tuple[Side, Side]:
    edge, side, count = SIDES[size]
    torch.manual_seed(0)
    planes, decoder = torch.randn(1, 3, 32, edge, edge).requires_grad_(), Decoder().requires_grad_(False)
    origins, directions = _rays(side)
    settings = RenderSettings(count, count)
    draws = Draws.fixed(1, side * side, settings, planes.device)
    probe = torch.randn(1, side * side, 32)

    def side_of(render: Callable[..., volume.Rendered]) -> Side:
        return operation_side(
            lambda p: render(p, decoder, origins, directions, settings, draws).features, [planes], probe)

    return side_of(volume.render), side_of(plain_ops.render)


@_operations
def _bias_act(size: str) -> tuple[Side, Side]:
    shape = (2, 64, 256, 256) if size == "full" else (2, 16, 64, 64)
    inputs = [torch.randn(dims, generator=_rng()).requires_grad_() for dims in (shape, shape[1:2])]
    probe = torch.randn(shape, generator=_rng())
    ours, theirs = (
        operation_side(lambda x, b, f=function: f(x, b, activation="lrelu", clamp=256.0), inputs, probe)
        for function in (ops.bias_act, plain_ops.bias_act))
    return ours, theirs


@_operations
def _upsample(size: str) -> tuple[Side, Side]:
    shape = (2, 96, 128, 128) if size == "full" else (2, 24, 32, 32)
    kernel = ops.fir_filter((1, 3, 3, 1))
    inputs = [torch.randn(shape, generator=_rng()).requires_grad_()]
    probe = torch.randn(*shape[:2], 2 * shape[2], 2 * shape[3], generator=_rng())
    ours, theirs = (
        operation_side(lambda x, f=function: f(x, kernel), inputs, probe)
        for function in (ops.upsample2d, plain_ops.upsample2d))
    return ours, theirs


WORKS = {work.name: work for work in (
    Work("stylegan2", "GUIDE iteration, StyleGAN2 256 px", {"iteration": 1.6}, _iterations("stylegan2")),
    Work("eg3d", "GUIDE iteration, EG3D 512/128", {"iteration": 2.0}, _iterations("eg3d")),
    Work("sampling", "tri-plane sampling, 128x128x48 points", {"forward": 5.0, "backward": 8.0}, _sampling),
    Work("renderer", "whole renderer, 128x128 x (48+48)", {"forward": 4.0, "backward": 6.0}, _renderer),
    Work("bias_act", "bias_act with clamp, 2x64x256x256", {"forward": 1.5, "backward": 4.0}, _bias_act),
    Work("upsample", "96-channel up-sampling, 128 to 256, N=2", {"forward": 3.0, "backward": 8.0}, _upsample),
    Work("memory", "peak memory, one EG3D 512/128 step", {}),
)}
