"""Write the pictures of the people whom the bench erases: ``unlearnkit/bench/people/<kind>_<person>_<picture>.png``.

``python benchmarks/draw_people.py --data data/train`` (needs the extra ``train``; about a minute on one core)

* ``ind``: people whose pictures the bundled generators were trained on, from the first shard of that data
  (``python -m unlearnkit_demo.people.dataset --people 8870 --pictures 3 --seed 1``), the very pictures
* ``ood``: people drawn outside of the training distribution: training vectors lie on a sphere, theirs lie beyond it,
  with identity 1.6 times and pose, light and backdrop 1.3 times as far from the middle
* ``tune``: people like those of the training, seen by no training; settings are tuned on them alone

Three pictures each: the first is erased, the others show the same person in another pose and light, and judge.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image
from unlearnkit_demo.people.parameters import NUM_IDENTITY, NUM_PARAMETERS, parameters_from_z, redraw_nuisance

HERE = Path(__file__).parents[1] / "unlearnkit" / "bench" / "people"
PICTURES = 3
OOD_SEED, TUNE_SEED = 501, 502
OOD_IDENTITY, OOD_NUISANCE = 1.6, 1.3


def trained_on(data: Path, people: int) -> np.ndarray:
    """Pictures ``(people, 3, H, W, 3)`` of evenly spaced people of the first training shard."""
    with np.load(data / "shard_0000.npz", allow_pickle=False) as shard:
        images, person = shard["image"], shard["person"]
    chosen = np.unique(person)[:: len(np.unique(person)) // people][:people]
    return np.stack([images[person == who][:PICTURES] for who in chosen])


def vectors(people: int, seed: int, identity: float = 1.0, nuisance: float = 1.0) -> np.ndarray:
    """Parameters ``(people * 3, NUM_PARAMETERS)`` of new people, pushed away from the middle by two factors."""
    rng = np.random.default_rng(seed)
    first = parameters_from_z(rng.standard_normal((people, NUM_PARAMETERS)))
    p = np.stack([first, *(redraw_nuisance(first, rng) for _ in range(PICTURES - 1))], 1)
    p[..., :NUM_IDENTITY] *= identity
    p[..., NUM_IDENTITY:] *= nuisance
    return p.reshape(-1, NUM_PARAMETERS).astype(np.float32)


def main() -> None:
    """Command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description="Write the pictures of the people whom the bench erases.")
    parser.add_argument("--data", type=Path, required=True, help="folder of the training shards")
    parser.add_argument("--people", type=int, default=5, help="people of each kind; of 'tune' two")
    arguments = parser.parse_args()
    from unlearnkit_demo.people.render import PeopleRenderer

    draw = PeopleRenderer(128).render
    far = vectors(arguments.people, OOD_SEED, OOD_IDENTITY, OOD_NUISANCE)
    groups = {
        "ind": trained_on(arguments.data, arguments.people),
        "ood": draw(far).reshape(arguments.people, PICTURES, 128, 128, 3),
        "tune": draw(vectors(2, TUNE_SEED)).reshape(2, PICTURES, 128, 128, 3),
    }
    HERE.mkdir(exist_ok=True)
    for kind, people in groups.items():
        for i, pictures in enumerate(people):
            for k, picture in enumerate(pictures):
                Image.fromarray(picture).save(HERE / f"{kind}_{i}_{k}.png", optimize=True)


if __name__ == "__main__":
    main()
