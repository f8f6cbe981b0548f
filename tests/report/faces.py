"""Drawn stand-ins for faces, and a whole made-up run to report on."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from unlearnkit.interfaces import About, Metric
from unlearnkit.metrics.distribution import Distribution
from unlearnkit.metrics.earlier import Earlier
from unlearnkit.metrics.identity import Identity
from unlearnkit.metrics.measuring import declared
from unlearnkit.metrics.neighbours import Neighbours
from unlearnkit.metrics.preservation import Preservation
from unlearnkit.numbers import Number, to_plain
from unlearnkit.report import NUMBERS_FILE, Picture, save_images
from unlearnkit.runs import Run

METRICS = {
    "erased_before": 0.93, "erased_after": 0.11, "erased_change": 0.12, "n_erased": 1.0,
    "others_before": 0.9, "others_after": 0.31, "others_change": 0.33, "n_others": 3.0,
    "bystanders_before": 0.92, "bystanders_after": 0.9, "bystanders_change": 0.96, "n_bystanders": 4.0,
    "strangers": 0.17, "n_strangers": 6.0, "strangers_level": 0.15, "same_person_level": 0.84,
    "neighbours_change_25": 0.35, "neighbours_change_50": 0.71, "neighbours_change_100": 0.95,
    "frechet_lpips_vgg": 0.82, "frechet_lpips_vgg_unpaired": 1.97,
    "frechet_lpips_vgg_floor": 1.91, "kid_lpips_vgg": 2.1e-5,
    "n_distribution": 200.0, "n_distribution_floor": 100.0,
    "preserved_distance": 0.021, "preserved_identity": 0.973, "n_preserved": 200.0,
}


def declarations(about: About | None = None) -> dict[str, Number]:
    """What the metrics behind :data:`METRICS` declare."""
    metrics: dict[str, Metric] = {
        "identity": Identity(), "earlier": Earlier(), "neighbours": Neighbours(), "distribution": Distribution(),
        "preservation": Preservation(),
    }
    return declared(metrics, about or About(("Ada",), perceptual="LPIPS (VGG)"))


def face(seed: int, drift: float = 0.0, size: int = 128) -> Tensor:
    """A simple person ``(3, size, size)`` in [-1, 1]; ``drift`` moves everything a little."""
    rng = np.random.default_rng(seed)
    skin = np.array([232, 188, 160]) * rng.uniform(0.45, 1.05)
    hair, back = rng.uniform(0.2, 1.0) * np.array([190, 140, 90]), rng.uniform(170, 225, 3)
    width, eyes, mouth = rng.uniform(30, 40) + 3 * drift, rng.uniform(12, 18) + 2 * drift, rng.uniform(8, 18)
    image = Image.new("RGB", (512, 512), tuple(back.astype(int)))
    pen = ImageDraw.Draw(image)

    def oval(x: float, y: float, a: float, b: float, colour: tuple[int, ...]) -> None:
        pen.ellipse([4 * (x - a), 4 * (y - b), 4 * (x + a), 4 * (y + b)], fill=colour)

    oval(64, 138, 56, 36, tuple((back * 0.55).astype(int)))
    oval(64, 58, width + 8, 50, tuple(hair.astype(int)))
    oval(64, 70, width, 45, tuple(skin.astype(int)))
    for side in (-1, 1):
        oval(64 + side * eyes, 64, 6.5, 4.5, (250, 250, 250))
        oval(64 + side * eyes, 64, 3, 3.4, (50, 40, 40))
        oval(64 + side * eyes, 54, 8, 1.8, tuple((hair * 0.8).astype(int)))
    oval(64, 80, 4, 6, tuple((skin * 0.9).astype(int)))
    oval(64, 96, mouth, 4 + drift, (176, 72, 72))
    pixels = np.asarray(image.resize((size, size), Image.Resampling.LANCZOS), dtype=np.float32)
    return torch.from_numpy(pixels / 127.5 - 1).permute(2, 0, 1)


def pictures() -> list[Picture]:
    """One person erased, three more pictures of her, four bystanders, neighbours and random people."""
    found = [
        Picture("erased", "Ada", 0, "picture", face(1, 0.2)), Picture("erased", "Ada", 0, "before", face(1), 0.93),
        Picture("erased", "Ada", 0, "target", face(9)), Picture("erased", "Ada", 0, "after", face(9, 0.2), 0.11),
    ]
    for index in range(1, 4):
        found += _pair("others", "Ada", index, face(1, index / 3), face(9, index / 2), 0.31)
    for index, name in enumerate(("Bo", "Cy", "Dee", "Eve")):
        found += _pair("bystanders", name, 0, face(20 + index), face(20 + index, 0.15), 0.96)
    for seed, (percent, value) in enumerate(((25, 0.35), (50, 0.71), (100, 0.95)), 40):
        found += _pair("neighbours", f"{percent} % away", 0, face(seed), face(50), value)
    for index in range(4):
        found += _pair("random", f"random {index + 1}", index, face(60 + index), face(60 + index, 0.1), 0.97)
    return found


def _pair(group: str, person: str, index: int, before: Tensor, after: Tensor, value: float) -> list[Picture]:
    return [
        Picture(group, person, index, "before", before), Picture(group, person, index, "after", after, value),
    ]


def made_up_run(out: Path, steps: int = 300) -> Run:
    """A finished run with pictures, metrics and a log, all invented."""
    settings = {
        "method": "guide", "seed": 0, "device": "cpu", "steps": steps,
        "generator": {"name": "stylegan2", "checkpoint": Path("world.safetensors")}, "target": {"d": 30.0},
        "losses": {"local": {"mse": 0.01, "perceptual": 1.0, "identity": 0.1}},
    }
    run = Run.create(out, settings, "guide")
    rng = np.random.default_rng(0)
    for step in range(steps):
        fall = math.exp(-step / 60)
        terms = {"local.perceptual": 0.4 * fall + 0.02, "local.identity": 0.8 * fall + 0.05,
                 "global.perceptual": 0.03 * (1 - fall) + 0.004}
        terms = {name: value * float(rng.uniform(0.8, 1.2)) for name, value in terms.items()}
        run.log(step, {"total": sum(terms.values()), **terms})
    save_images(run, pictures())
    run.write_json(NUMBERS_FILE, to_plain(declarations()))
    run.write_json("metrics.json", METRICS)
    run.update_manifest(inputs={"world.safetensors": "ab" * 32}, timings={"steps": 41.2, "metrics": 12.4})
    run.finish("finished")
    return run


if __name__ == "__main__":
    import sys

    from unlearnkit.report import write_report

    print(write_report(made_up_run(Path(sys.argv[1]))))
