"""The same people in space: EG3D's cameras looking at one head, with pictures and depth.

``python -m unlearnkit_demo.people.views --people 8000 --views 4 --seed 1 --out DIR [--part 0/2]``

EG3D keeps one world for everybody: cameras stand on a sphere of radius 2.7 and heads differ. So every head is moved,
turned and scaled until the front camera (yaw 0, pitch -0.2, where GUIDE looks from) sees eyes and mouth at the heights
of all other pictures here. Light, shine and gaze belong to the head, not to the camera: all views show one scene.

Every shard ``DIR/views_0000.npz`` holds, of n people seen by V cameras, ``p`` float32 (n, NUM_PARAMETERS), ``person``
int32 (n,), ``camera`` float32 (n, V, 25), ``image`` uint8 (n, V, size, size, 3) and ``depth`` float16
(n, V, size / 2, size / 2): distance along the ray in EG3D's world, 0 where there is only backdrop or an outline.
The people are those of `dataset` with the same seed; their yaw and pitch are not used.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from unlearnkit_eg3d.cameras import cameras, focal_length

from unlearnkit_demo.cameras import FRONT_PITCH, PIVOT, front_pose

from .camera import Camera, aligned_camera
from .dataset import _part, shard_parameters
from .parameters import PARAMETER_NAMES
from .render import BATCH, Head, PeopleRenderer, background

HALF = 0.5 / focal_length()  # tangent of half the field of view
VIEW_ANGLE = float(2 * np.rad2deg(np.arctan(HALF)))
YAW_RANGE, PITCH_RANGE = 0.42, 0.15  # of training cameras, to both sides, radians
SHARD = 256


@dataclass(frozen=True)
class Placement:
    """Head's world (metres) <- EG3D's world: ``turn @ (x - pivot) / scale + at``."""

    turn: np.ndarray
    at: np.ndarray
    scale: float
    portrait: Camera

    def camera(self, numbers: np.ndarray) -> Camera:
        """The camera of 25 numbers, in the head's world."""
        pose = numbers[:16].reshape(4, 4).astype(np.float64)
        position = self.turn @ (pose[:3, 3] - PIVOT) / self.scale + self.at
        right, forward = self.turn @ pose[:3, 0], self.turn @ pose[:3, 2]
        return Camera(position, position + forward * 2.5 / self.scale, -forward, right, VIEW_ANGLE)


def place(head: Head) -> Placement:
    """Where a head stands in EG3D's world."""
    portrait = aligned_camera(head.middle, head.mouth, 0.0, 0.0, VIEW_ANGLE)
    front = front_pose().double().numpy()
    towards = front[:3, 3] - PIVOT
    distance = np.linalg.norm(towards)
    depth = 0.5 * (head.middle + head.mouth) @ portrait.back
    ours = np.stack([portrait.right, portrait.up, portrait.back], axis=1)
    theirs = np.stack([front[:3, 0], -front[:3, 1], -front[:3, 2]], axis=1)
    scale = distance / ((portrait.position @ portrait.back) - depth)
    at = portrait.position - portrait.back * distance / scale
    return Placement(ours @ theirs.T, at, float(scale), portrait)


def draw_cameras(count: int, rng: np.random.Generator) -> np.ndarray:
    """Training cameras (count, 25): wider than GUIDE's, some looking at the origin as its released program does."""
    yaw, pitch, pivot = (torch.from_numpy(rng.uniform(-1, 1, count)).float() for _ in range(3))
    views = [
        cameras(yaw[i:i + 1] * YAW_RANGE, FRONT_PITCH + pitch[i:i + 1] * PITCH_RANGE,
                torch.tensor([0.0, 0.0, PIVOT[2] * min(1.0, 1.5 * (1 + float(pivot[i])) / 2)]))
        for i in range(count)
    ]
    return torch.cat(views).numpy()


class ViewRenderer:
    """Draws heads as EG3D's cameras see them."""

    def __init__(self, size: int = 128) -> None:
        self.people = PeopleRenderer(size)

    def render(self, p: np.ndarray, views: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """``p`` (n, NUM_PARAMETERS) seen by ``views`` (n, V, 25): pictures and depths, as in the module's docstring."""
        pictures, depths = [], []
        for start in range(0, len(p), BATCH):
            heads = self.people.body.pose(np.asarray(p[start:start + BATCH], np.float64))
            for i, (vertices, eyes) in enumerate(zip(heads.vertices, heads.eyes, strict=True)):
                q = dict(zip(PARAMETER_NAMES, p[start + i], strict=True))
                one = [self._look(camera) for camera in self._load(q, vertices, eyes, views[start + i])]
                pictures.append(np.stack([picture for picture, _ in one]))
                depths.append(np.stack([depth for _, depth in one]))
        return np.stack(pictures), np.stack(depths)

    def _load(self, q: dict[str, float], coarse: np.ndarray, eyes: np.ndarray, views: np.ndarray) -> list[Camera]:
        head = self.people.landmarks(coarse, eyes)
        placement = place(head)
        points, colours = self.people.scene(q, head, placement.portrait)
        self.people.raster.load(points, colours, background(q))
        self._scale = placement.scale
        return [placement.camera(numbers) for numbers in views]

    def _look(self, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
        raster = self.people.raster
        picture = raster.look(camera)
        return picture, ray_depth(raster.depth() * self._scale, self.people.size // 2)


def ray_depth(axial: np.ndarray, size: int) -> np.ndarray:
    """Distances along the axis (S, S) -> along each pixel's ray (size, size), float16; 0 where a pixel is not all hit.

    A pixel on an outline sees two surfaces; their mean lies on neither, so it counts as nothing.
    """
    cells = axial.reshape(size, axial.shape[0] // size, size, -1).transpose(0, 2, 1, 3).reshape(size, size, -1)
    centre = ((np.arange(size) + 0.5) / size - 0.5) * 2 * HALF
    stretch = np.sqrt(1 + centre[:, None] ** 2 + centre[None] ** 2)
    whole = np.isfinite(cells).all(-1) & (np.ptp(np.where(np.isfinite(cells), cells, 0), axis=-1) < 0.05)
    return np.where(whole, np.where(np.isfinite(cells), cells, 0).mean(-1) * stretch, 0).astype(np.float16)


def write_views(out: Path, people: int, views: int, seed: int, pictures: int, part: tuple[int, int]) -> None:
    """Write this part's missing shards; the people are the first ``people`` of `dataset`'s ``seed``."""
    out.mkdir(parents=True, exist_ok=True)
    everybody = first_pictures(people, seed, pictures)
    renderer, start = ViewRenderer(), time.time()
    shards = range(part[0], -(-people // SHARD), part[1])
    for done, shard in enumerate(shards, 1):
        path = out / f"views_{shard:04d}.npz"
        if path.exists():
            continue
        p = everybody[0][shard * SHARD:(shard + 1) * SHARD]
        camera = draw_cameras(len(p) * views, np.random.default_rng([seed, 7, shard])).reshape(len(p), views, 25)
        image, depth = renderer.render(p, camera)
        temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp.npz")
        np.savez(temporary, p=p, person=everybody[1][shard * SHARD:(shard + 1) * SHARD], camera=camera, image=image,
                 depth=depth)
        os.replace(temporary, path)
        print(f"{path}: {done}/{len(shards)}, {(time.time() - start) / done * (len(shards) - done) / 60:.1f} min left",
              flush=True)


def first_pictures(people: int, seed: int, pictures: int) -> tuple[np.ndarray, np.ndarray]:
    """Parameters and number of the first ``people`` people of a `dataset` of ``pictures`` pictures each."""
    rows: list[np.ndarray] = []
    numbers: list[np.ndarray] = []
    while sum(len(part) for part in rows) < people:
        p, person = shard_parameters(seed, len(rows), pictures)
        rows.append(p[::pictures])
        numbers.append(person[::pictures])
    return np.concatenate(rows)[:people], np.concatenate(numbers)[:people]


def main(argv: list[str] | None = None) -> None:
    """Command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description="Write pictures and depths of synthetic people from EG3D's cameras.")
    parser.add_argument("--people", type=int, required=True)
    parser.add_argument("--views", type=int, default=4, help="cameras for each person")
    parser.add_argument("--pictures", type=int, default=3, help="as given to `dataset` for the same people")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--part", type=_part, default=(0, 1), help="i/n: write only every n-th shard, from the i-th")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)  # parallelism is by processes
    write_views(args.out, args.people, args.views, args.seed, args.pictures, args.part)


if __name__ == "__main__":
    main()
