"""Fit the encoder: ridge regression from features of pictures to the rows of W+ that drew them, then a low rank.

    python -m unlearnkit_mobilestylegan.training.encoder --pictures DIR --out FILE

Closed form, so there is no learning rate and no order of pictures. Features are kept beside the pictures; interrupted,
the same call goes on (remove them after a change of what makes them). The first shard is held out: it chooses the
ridge, and the printed numbers are measured on it.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from unlearnkit.checkpoints import write_tensors
from unlearnkit.interfaces import IdentityEncoder, Perceptual
from unlearnkit.plugins import registry
from unlearnkit.streams import stream
from unlearnkit_mobilestylegan.encoder import FORMAT, GROUPS, Encoder, features
from unlearnkit_mobilestylegan.training.augment import augmented
from unlearnkit_mobilestylegan.training.pictures import shards

SEED, BATCH, ROWS = 0, 4, 23
RIDGES = (0.1, 0.2, 0.5, 1.0, 2.0)
"""In units of the mean squared length of a feature vector: the noise that one picture counts as."""


def networks() -> tuple[Perceptual, IdentityEncoder]:
    """The two frozen networks whose features are used."""
    perceptual = cast(Perceptual, registry().component_class("perceptual", "st-lpips")())
    identity = cast(IdentityEncoder, registry().component_class("identity", "sface")())
    for network in (perceptual, identity):
        network.prepare(torch.device("cpu"))
    return perceptual, identity


@torch.no_grad()
def feature_file(path: Path, number: int, used: tuple[Perceptual, IdentityEncoder]) -> Path:
    """Features of a shard's pictures, augmented: ``(200, D)`` of 16 bits, written once."""
    kept = path.with_name(f"features_{path.stem.removeprefix('shard_')}.npy")
    if not kept.exists():
        pictures = torch.from_numpy(np.load(path)["pictures"]).float() / 127.5 - 1
        images = augmented(pictures, stream(SEED, "augment", number))
        found = torch.cat([features(some, *used) for some in images.split(BATCH)])
        part = kept.with_suffix(".part")
        with part.open("wb") as file:
            np.save(file, found.half().numpy())
        os.replace(part, kept)
    return kept


def explained(made: Tensor, wanted: Tensor) -> list[float]:
    """Share of the variance of each group's row that is explained."""
    error, whole = ((x.unflatten(1, (len(GROUPS), -1)).square().sum((0, 2))) for x in (wanted - made, wanted))
    return [round(float(share), 3) for share in 1 - error / whole]


def fit(x: Tensor, y: Tensor, held_x: Tensor, held_y: Tensor, rank: int) -> tuple[Encoder, dict[str, Any]]:
    """The encoder from features ``(N, D)`` to groups ``(N, 4 · dim)``, and what it explains of the held-out pictures.

    Solved in the space of pictures, which are fewer than features. The rank is that of the predictions (reduced-rank
    regression, Izenman 1975): their first principal directions are kept.
    """
    centre, mean = x.mean(0), y.mean(0)
    x, y, held_x, held_y = x - centre, y - mean, held_x - centre, held_y - mean
    kernel = x @ x.T
    unit = float(kernel.diagonal().mean())

    def weights(ridge: float) -> Tensor:
        return x.T @ torch.linalg.solve(kernel + ridge * unit * torch.eye(len(x)), y)

    tried = {ridge: explained(held_x @ weights(ridge), held_y) for ridge in RIDGES}
    ridge = max(tried, key=lambda ridge: sum(tried[ridge]))
    full = weights(ridge)
    directions = torch.linalg.svd(x @ full, full_matrices=False).Vh[:rank]
    down = full @ directions.T
    # Columns of equal size: in 16 bits the small ones would lose their digits.
    size = down.abs().amax(0).clamp_min(1e-12)
    down, up = (down / size).half().float(), (directions * size[:, None]).half().float()
    facts = {"ridge": ridge, "explained": explained(held_x @ full, held_y), "pictures": len(x), "rank": len(up),
             "explained_at_rank": explained(held_x @ down @ up, held_y)}
    return Encoder(down, up, mean - centre @ down @ up, ROWS), facts


def write(encoder: Encoder, facts: dict[str, Any], path: Path) -> None:
    """Write what ships: the matrices with 16 bits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {"down": encoder.down.half(), "up": encoder.up.half(), "bias": encoder.bias}
    write_tensors(path, {name: tensor.contiguous() for name, tensor in tensors.items()},
                  {"format": FORMAT, "rows": str(encoder.rows), "seed": str(SEED), "measured": json.dumps(facts)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=Path, required=True, help="folder that training.pictures filled")
    parser.add_argument("--out", type=Path, required=True, help="the new file, encoder.safetensors")
    parser.add_argument("--rank", type=int, default=256)
    args = parser.parse_args()
    used, found, groups = networks(), [], []
    for number, (path, rows) in enumerate(shards(args.pictures)):
        found.append(torch.from_numpy(np.load(feature_file(path, number, used))).float())
        groups.append(rows.flatten(1))
    if len(found) < 2:
        raise SystemExit(f"{args.pictures} holds a single shard; one is held out, so draw at least two")
    encoder, facts = fit(torch.cat(found[1:]), torch.cat(groups[1:]), found[0], groups[0], args.rank)
    facts["processor_seconds"] = round(time.process_time())
    write(encoder, facts, args.out)
    print(json.dumps(facts), f"{args.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
