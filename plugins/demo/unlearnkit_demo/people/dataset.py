"""Write a data set of synthetic people in shards of about 1024 pictures.

``python -m unlearnkit_demo.people.dataset --people 10000 --pictures 3 --seed 1 --out DIR [--part 0/2]``

Every shard ``DIR/shard_0000.npz`` holds ``p`` float32 (n, NUM_PARAMETERS), ``person`` int32 (n,) and
``image`` uint8 (n, size, size, 3).
The last shard is filled up with further people. Shards that exist are skipped; the random
numbers of a shard depend on the seed and its number only, so several processes may each write a part, and an
interrupted run may go on later.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from .parameters import NUM_PARAMETERS, parameters_from_z, redraw_nuisance

Render = Callable[[np.ndarray], np.ndarray]
SHARD = 1024  # at most so many pictures; a shard holds whole people only


def shard_parameters(
    seed: int, shard: int, pictures: int, shard_size: int = SHARD
) -> tuple[np.ndarray, np.ndarray]:
    """``p`` (n, NUM_PARAMETERS) and ``person`` (n,) of a shard; a person's pictures are neighbours.

    A person's first picture is the drawn z itself, further ones redraw the nuisance.
    """
    rng = np.random.default_rng([seed, shard])
    people = max(shard_size // pictures, 1)
    first = parameters_from_z(rng.standard_normal((people, NUM_PARAMETERS)))
    p = np.stack([first] + [redraw_nuisance(first, rng) for _ in range(pictures - 1)], axis=1)
    person = shard * people + np.repeat(np.arange(people), pictures)
    return p.reshape(-1, NUM_PARAMETERS).astype(np.float32), person.astype(np.int32)


def write_shard(path: Path, render: Render, p: np.ndarray, person: np.ndarray) -> None:
    """Render one shard and put it in place in one step, so that a reader never sees half a file."""
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp.npz")
    try:
        np.savez(temporary, p=p, person=person, image=render(p))
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_dataset(
    out: Path,
    render: Render,
    *,
    people: int,
    pictures: int,
    seed: int,
    part: tuple[int, int] = (0, 1),
    shard_size: int = SHARD,
) -> int:
    """Write this part's missing shards, for at least ``people`` people; returns how many were written."""
    out.mkdir(parents=True, exist_ok=True)
    count = -(-people // max(shard_size // pictures, 1))
    missing = [s for s in range(part[0], count, part[1]) if not _path(out, s).exists()]
    start, drawn = time.time(), 0
    for done, shard in enumerate(missing, 1):
        p, person = shard_parameters(seed, shard, pictures, shard_size)
        write_shard(_path(out, shard), render, p, person)
        drawn += len(p)
        spent = time.time() - start
        print(
            f"{_path(out, shard)}: {done}/{len(missing)}, {drawn / spent:.1f} pictures/s, "
            f"{spent / done * (len(missing) - done) / 60:.1f} min left",
            flush=True,
        )
    return len(missing)


def _path(out: Path, shard: int) -> Path:
    return out / f"shard_{shard:04d}.npz"


def _part(text: str) -> tuple[int, int]:
    index, of = (int(x) for x in text.split("/"))
    if not 0 <= index < of:
        raise argparse.ArgumentTypeError(f"expected i/n with 0 <= i < n, got {text}")
    return index, of


def main(argv: list[str] | None = None) -> None:
    """Command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description="Write a data set of synthetic people.")
    parser.add_argument("--people", type=int, required=True)
    parser.add_argument("--pictures", type=int, default=3, help="pictures of each person")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument(
        "--part", type=_part, default=(0, 1), help="i/n: write only every n-th shard, from the i-th"
    )
    arguments = parser.parse_args(argv)
    import torch

    from .render import PeopleRenderer

    torch.set_num_threads(1)  # parallelism is by processes
    write_dataset(
        arguments.out,
        PeopleRenderer(arguments.size).render,
        people=arguments.people,
        pictures=arguments.pictures,
        seed=arguments.seed,
        part=arguments.part,
    )


if __name__ == "__main__":
    main()
