"""Measure the EG3D that ships, and its inverter, on people and cameras held out from all training; draw their card.

    python -m unlearnkit_demo.people.views --people 170 --views 4 --seed 2 --pictures 6 --out VIEWS
    python -m unlearnkit_demo.people.dataset --people 170 --pictures 6 --seed 2 --out PORTRAITS
    python -m unlearnkit_demo.training.measure_spatial --views VIEWS --portraits PORTRAITS \\
        --out plugins/demo/measured_eg3d.json --images docs/images

It reads the weights that are installed, not a training folder; it took 13 minutes on two CPU cores beside other work.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from unlearnkit_eg3d.generator import EG3D

from unlearnkit.files.atomic import write_bytes
from unlearnkit_demo import CHECKPOINTS
from unlearnkit_demo.components import DemoInverter3D, DemoJudge
from unlearnkit_demo.training.data import Pictures, psnr
from unlearnkit_demo.training.measure import grid, rounded
from unlearnkit_demo.training.spatial import NEURAL, Views

BATCH, SHOWN = 8, 8


def bundled_eg3d() -> EG3D:
    """The EG3D that ships, on the CPU."""
    generator = EG3D(checkpoint=CHECKPOINTS["eg3d"])
    generator.prepare(torch.device("cpu"))
    return generator


@torch.no_grad()
def measure_generator(generator: EG3D, judge: DemoJudge, views: Views) -> dict[str, Any]:
    """Against the renderer: PSNR of neural rendering and of the picture, error of depth, and the judge's opinion."""
    rows: list[tuple[Tensor, ...]] = []
    for number in range(views.camera.shape[1]):
        for person in torch.arange(len(views.p)).split(BATCH):
            p, camera, image, depth = views.pick(person, torch.full_like(person, number))
            drawn = generator.draw(generator.map(p), camera)
            small = F.interpolate(image, size=NEURAL, mode="area")
            known = depth > 0
            error = ((drawn.depth - depth).abs() * known).sum((1, 2, 3)) / known.sum((1, 2, 3))
            alike = (judge.embed(drawn.image) * judge.embed(image)).sum(1)
            rows.append((psnr(drawn.raw.clamp(-1, 1), small), psnr(drawn.image.clamp(-1, 1), image), error, alike))
    raw, enlarged, error, alike = (torch.cat(column) for column in zip(*rows, strict=True))
    return {
        f"psnr of {NEURAL} px neural rendering": float(raw.mean()), "psnr, worst tenth": float(raw.quantile(0.1)),
        "psnr of the picture": float(enlarged.mean()), "error of depth where there is a head": float(error.mean()),
        "judge": float(alike.mean()), "judge, worst tenth": float(alike.quantile(0.1)), "people": len(views.p),
        "pictures": len(raw),
    }


def measure_inverter(generator: EG3D, judge: DemoJudge, portraits: Pictures, people: int) -> dict[str, Any]:
    """First portraits of the first people: the judge on portrait and reconstruction, seen from where it was taken and
    from the 11 evaluation cameras."""
    index = torch.arange(0, len(portraits), 6)[:people]
    truth = portraits.batch(index)
    views = generator.evaluation_views()
    found: dict[str, Any] = {"people": people}
    for label, steps in (("", None), (", encoder alone", 0)):
        inverter = DemoInverter3D() if steps is None else DemoInverter3D(refine_steps=steps)
        inverter.prepare(torch.device("cpu"))
        started = time.monotonic()
        latents = torch.cat([inverter.invert(part, generator).detach() for part in truth.split(4)])
        seconds = (time.monotonic() - started) / people
        with torch.no_grad():
            _, z = inverter._network.latents(truth, generator.map)
            own = inverter.views(z)
            image = torch.cat([generator.render(latents[i:i + BATCH], own[i:i + BATCH]).image
                               for i in range(0, people, BATCH)]).clamp(-1, 1)
            known = judge.embed(truth)
            close = (judge.embed(image) * known).sum(1)
            around = torch.stack([
                (judge.embed(generator.render(latent.expand(len(views), -1, -1), views).image) @ k).mean()
                for latent, k in zip(latents, known, strict=True)])
        found |= {f"judge{label}": float(close.mean()), f"judge, worst{label}": float(close.min()),
                  f"judge, mean of 11 views{label}": float(around.mean()),
                  f"psnr{label}": float(psnr(image, truth).mean()), f"seconds a picture{label}": seconds}
        if not label:
            found["_images"] = (truth, image)
    return found


@torch.no_grad()
def draw(generator: EG3D, views: Views, inverted: tuple[Tensor, Tensor], folder: Path) -> None:
    """Rendered, generated, and both depths; one person from all sides; portraits and their reconstructions."""
    person = torch.arange(SHOWN)
    p, camera, image, depth = views.pick(person, person % views.camera.shape[1])
    drawn = generator.draw(generator.map(p), camera)
    size = image.shape[-1]

    def grey(values: Tensor) -> Tensor:
        near = 1 - 2 * ((values - 2.42) / 0.5).clamp(0, 1)
        return F.interpolate(near, size=size).expand(-1, 3, -1, -1)

    truth = grey(torch.where(depth > 0, depth, torch.tensor(9.0)))
    raw = F.interpolate(drawn.raw, size=size)
    grid([image, drawn.image, raw, truth, grey(drawn.depth)], folder / "card_eg3d.png")
    path = generator.turn_views(SHOWN)
    rows = [generator.render(generator.map(p[i:i + 1]).expand(SHOWN, -1, -1), path).image for i in range(4)]
    grid(rows, folder / "card_eg3d_turn.png")
    grid([inverted[0][:9], inverted[1][:9]], folder / "card_inverter_3d.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--views", type=Path, required=True, help="folder of views of people never learned from")
    parser.add_argument("--portraits", type=Path, required=True, help="folder of their portraits")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--images", type=Path, required=True, help="folder for the pictures of the card")
    parser.add_argument("--people", type=int, default=40, help="people to invert")
    args = parser.parse_args()
    started = time.monotonic()
    generator, judge, views = bundled_eg3d(), DemoJudge(), Views.load(args.views)
    judge.prepare(torch.device("cpu"))
    found: dict[str, Any] = {"eg3d": measure_generator(generator, judge, views)}
    found["inverter_3d"] = measure_inverter(generator, judge, Pictures.load(args.portraits), args.people)
    draw(generator, views, found["inverter_3d"].pop("_images"), args.images)
    found["seconds"] = time.monotonic() - started
    args.out.unlink(missing_ok=True)
    write_bytes(args.out, (json.dumps(rounded(found), indent=2) + "\n").encode())
    print(json.dumps(rounded(found), indent=2))


if __name__ == "__main__":
    main()
