"""The rendered pictures as tensors, and the few things that all training scripts share."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


@attrs.define(eq=False)
class Pictures:
    """Rendered pictures: ``p (n, K)`` parameters, ``person (n,)``, ``image (n, H, W, 3)`` uint8."""

    p: Tensor
    person: Tensor
    image: Tensor

    @classmethod
    def load(cls, folder: Path, limit: int | None = None) -> Pictures:
        """Read every shard that is there (``shard_*.npz``), in order; at most ``limit`` shards."""
        shards = [np.load(path) for path in sorted(folder.glob("shard_*.npz"))[:limit]]
        if not shards:
            raise SystemExit(f"{folder} holds no shard_*.npz: run unlearnkit_demo.people.dataset first")

        def join(name: str) -> Tensor:
            return torch.from_numpy(np.concatenate([shard[name] for shard in shards]))

        return cls(join("p"), join("person").long(), join("image"))

    def __len__(self) -> int:
        return len(self.p)

    def batch(self, index: Tensor, size: int | None = None) -> Tensor:
        """Pictures ``(n, 3, size, size)`` in [-1, 1], box-filtered down where ``size`` is smaller."""
        image = self.image[index].permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
        return image if size in (None, image.shape[-1]) else F.interpolate(image, size=size, mode="area")


def mirrored(image: Tensor, p: Tensor, coin: Tensor, odd: list[int]) -> tuple[Tensor, Tensor]:
    """Mirror the pictures where ``coin``; faces are symmetric, so only the ``odd`` parameters change their sign."""
    sign = torch.ones_like(p)
    sign[:, odd] = torch.where(coin[:, None], -1.0, 1.0)
    return torch.where(coin[:, None, None, None], image.flip(3), image), p * sign


def epochs(count: int, batch: int, rng: torch.Generator) -> Iterator[Tensor]:
    """Index batches without end, each picture once an epoch."""
    while True:
        yield from torch.randperm(count, generator=rng).split(batch)


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each picture in dB ``(N,)``; pictures in [-1, 1], so the peak is 2."""
    return 10 * torch.log10(4 / (a - b).square().flatten(1).mean(1))


def cosine(progress: float, warm: float = 0.02, floor: float = 0.02) -> float:
    """Learning-rate factor at ``progress`` in [0, 1]: linear warm-up, then half a cosine down to ``floor``."""
    if progress < warm:
        return progress / warm
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - warm) / (1 - warm))))


class Clock:
    """Training time over all resumed parts, and a line of progress now and then."""

    def __init__(self, spent: float = 0.0) -> None:
        self.spent, self.started, self.printed = spent, time.monotonic(), 0.0

    def seconds(self) -> float:
        return self.spent + time.monotonic() - self.started

    def every(self, seconds: float) -> bool:
        """True at most once in so many seconds."""
        if (now := time.monotonic()) - self.printed < seconds:
            return False
        self.printed = now
        return True


def save_whole(value: Any, path: Path) -> None:
    """``torch.save`` that leaves either the old file or the new one, never half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    torch.save(value, part)
    os.replace(part, path)


def note(path: Path, **facts: Any) -> None:
    """Append one line of facts to a JSON-lines file and print it."""
    line = json.dumps({k: round(v, 4) if isinstance(v, float) else v for k, v in facts.items()})
    print(line, flush=True)
    with path.open("a") as file:
        file.write(line + "\n")
