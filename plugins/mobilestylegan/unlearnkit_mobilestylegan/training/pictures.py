"""Draw what the encoder learns from: pictures of MobileStyleGAN and the rows of W+ that made them.

    python -m unlearnkit_mobilestylegan.training.pictures --out DIR --shards 40

Pictures are drafts of 128 pixels. Every shard has its own random numbers; what is there already is not drawn again, so
that an interrupted run goes on and a longer one adds to it.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from unlearnkit.streams import stream
from unlearnkit_mobilestylegan.encoder import GROUPS, SIDE, spread
from unlearnkit_mobilestylegan.generator import MobileStyleGAN

SEED, SHARD = 0, 200


def random_groups(generator: MobileStyleGAN, count: int, rng: torch.Generator) -> Tensor:
    """``(count, 4, dim)``: people truncated by 0.5 to 1; in half of them the groups drift towards other people.

    The drift makes the groups different, as those of a photo's inversion are, and teaches which group shows what.
    """
    first = generator.sample_latents(count, rng)[:, :1]
    others = generator.sample_latents(count * len(GROUPS), rng)[:, 0].unflatten(0, (count, len(GROUPS)))
    drift = torch.rand(count, 1, 1, generator=rng) * (torch.rand(count, 1, 1, generator=rng) < 0.5)
    truncation = 0.5 + 0.5 * torch.rand(count, 1, 1, generator=rng)
    mean = generator.w_avg[:1]
    return mean + truncation * (first.lerp(others, drift) - mean)


def shards(folder: Path) -> Iterator[tuple[Path, Tensor]]:
    """Every shard's file, with 8-bit ``pictures`` ``(200, 3, 128, 128)``, and its groups ``(200, 4, dim)``."""
    found = sorted(folder.glob("shard_*.npz"))
    if not found:
        raise SystemExit(f"{folder} holds no shard_*.npz: run unlearnkit_mobilestylegan.training.pictures first")
    for path in found:
        with np.load(path) as shard:
            yield path, torch.from_numpy(shard["groups"])


@torch.no_grad()
def draw(generator: MobileStyleGAN, number: int, path: Path) -> None:
    """One shard; the file appears whole."""
    groups = random_groups(generator, SHARD, stream(SEED, "encoder", number))
    pictures = []
    with generator.drafting():
        for latent in spread(groups, generator.num_ws).split(1):
            image = generator.render(latent).image[0]
            pictures.append(image.clamp(-1, 1).add(1).mul(127.5).round().to(torch.uint8).numpy())
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        np.savez(file, pictures=np.stack(pictures), groups=groups.numpy())
    os.replace(part, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the shards")
    parser.add_argument("--shards", type=int, required=True, help=f"how many, of {SHARD} pictures each")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    generator = MobileStyleGAN(output_size=SIDE, training_resolution=SIDE)
    generator.prepare(torch.device("cpu"))
    for number in range(args.shards):
        path, started = args.out / f"shard_{number:04d}.npz", time.monotonic()
        if not path.exists():
            draw(generator, number, path)
            print(f"{path.name}: {time.monotonic() - started:.0f} s, {time.process_time():.0f} s of processor time in "
                  "all", flush=True)


if __name__ == "__main__":
    main()
