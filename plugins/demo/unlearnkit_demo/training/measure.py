"""Measure what ships on people held out from all training, and draw the pictures of the cards.

    python -m unlearnkit_demo.people.dataset --people 510 --pictures 6 --seed 2 --out HELD_OUT
    python -m unlearnkit_demo.training.measure --held-out HELD_OUT --out plugins/demo/measured.json --images docs/images

It reads the weights that are installed, not a training folder; about six minutes on two CPU cores.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from unlearnkit_stylegan2.generator import StyleGAN2

from unlearnkit.files.atomic import write_bytes
from unlearnkit_demo import CHECKPOINTS
from unlearnkit_demo.components import WEIGHTS, DemoIdentity, DemoInverter, DemoJudge
from unlearnkit_demo.training.data import Pictures, psnr
from unlearnkit_demo.training.encoders import verification

BATCH = 16
# Rows and columns of a 128 px picture: everybody's eyes and mouth lie at the same heights.
REGIONS = {"eyes and brows": (slice(44, 70), slice(26, 102)), "mouth": (slice(86, 106), slice(40, 88))}


def bundled_generator() -> StyleGAN2:
    """The generator that ships, on the CPU."""
    generator = StyleGAN2(checkpoint=CHECKPOINTS["stylegan2"])
    generator.prepare(torch.device("cpu"))
    return generator


def edges(image: Tensor) -> Tensor:
    """Mean absolute difference of neighbouring pixels, a measure of crispness: ``(N,)``."""
    across, down = image.diff(dim=3).abs().flatten(1).mean(1), image.diff(dim=2).abs().flatten(1).mean(1)
    return across + down


@torch.no_grad()
def measure_generator(generator: StyleGAN2, pictures: Pictures) -> dict[str, Any]:
    """PSNR against the renderer, whole and by region, and how much of the renderer's edges is there."""
    rows: list[dict[str, Tensor]] = []
    for index in torch.arange(len(pictures)).split(BATCH):
        made = generator.render(generator.map(pictures.p[index])).image.clamp(-1, 1)
        truth = pictures.batch(index, generator.resolution)
        row = {"psnr": psnr(made, truth)}
        for name, (y, x) in REGIONS.items():
            row[f"psnr, {name}"] = psnr(made[..., y, x], truth[..., y, x])
            row[f"edges, {name}"] = edges(made[..., y, x]) / edges(truth[..., y, x])
        rows.append(row)
    joined = {key: torch.cat([row[key] for row in rows]) for key in rows[0]}
    means = {key: float(value.mean()) for key, value in joined.items()}
    return means | {"psnr, worst tenth": float(joined["psnr"].quantile(0.1)), "pictures": len(pictures)}


@torch.no_grad()
def measure_encoder(encoder: DemoIdentity, pictures: Pictures) -> dict[str, Any]:
    """All pairs of the same person against all pairs of strangers."""
    encoder.prepare(torch.device("cpu"))
    parts = [encoder.embed(pictures.batch(index)) for index in torch.arange(len(pictures)).split(BATCH)]
    found: dict[str, Any] = verification(torch.cat(parts), pictures.person)
    return found | {"pictures": len(pictures), "people": len(pictures.person.unique())}


def measure_inverter(generator: StyleGAN2, judge: DemoJudge, pictures: Pictures, people: int) -> dict[str, Any]:
    """First pictures of the first people: the judge on picture and reconstruction, with and without refinement."""
    _, first = np.unique(pictures.person.numpy(), return_index=True)
    index = torch.from_numpy(np.sort(first)[:people])
    truth = pictures.batch(index)
    found: dict[str, Any] = {"people": people}
    for label, inverter in (("", DemoInverter()), (", encoder alone", DemoInverter(refine_steps=0))):
        inverter.prepare(torch.device("cpu"))
        started = time.monotonic()
        with torch.enable_grad():
            latents = torch.cat([inverter.invert(part, generator).detach() for part in truth.split(4)])
        seconds = (time.monotonic() - started) / people
        with torch.no_grad():
            image = torch.cat([generator.render(part).image for part in latents.split(BATCH)]).clamp(-1, 1)
            close = (judge.embed(image) * judge.embed(truth)).sum(1)
        found |= {f"judge{label}": float(close.mean()), f"judge, worst{label}": float(close.min()),
                  f"psnr{label}": float(psnr(image, truth).mean()), f"seconds a picture{label}": seconds}
        if not label:
            found["_images"] = (truth, image)
    return found


def grid(rows: list[Tensor], path: Path) -> None:
    """Rows of pictures ``(N, 3, H, W)`` in [-1, 1] as one PNG."""
    joined = torch.cat([torch.cat(list(row), 2) for row in rows], 1)
    array = joined.add(1).mul(127.5).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, optimize=True)


def draw(generator: StyleGAN2, pictures: Pictures, inverted: tuple[Tensor, Tensor], folder: Path) -> None:
    """Rendered above generated, given above reconstructed, and people drawn by seed."""
    index = torch.arange(0, len(pictures), 7)[:9]
    with torch.no_grad():
        made = generator.render(generator.map(pictures.p[index])).image
        z = torch.randn(27, generator.z_dim, generator=torch.Generator().manual_seed(0))
        drawn = generator.render(generator.map(z)).image
    grid([pictures.batch(index), made], folder / "card_generator.png")
    grid([inverted[0][:9], inverted[1][:9]], folder / "card_inverter.png")
    grid(list(drawn.split(9)), folder / "card_samples.png")


def rounded(value: Any) -> Any:
    """Four decimals are enough for a card."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return round(value, 4) if isinstance(value, float) else value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--held-out", type=Path, required=True, help="folder of people never learned from")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--images", type=Path, required=True, help="folder for the pictures of the cards")
    parser.add_argument("--people", type=int, default=60, help="people to invert")
    args = parser.parse_args()
    started = time.monotonic()
    held_out = Pictures.load(args.held_out)
    first = held_out.person < held_out.person[0] + 170  # encoders: all pairs of the first 170 people
    few = attrs.evolve(held_out, p=held_out.p[first], person=held_out.person[first], image=held_out.image[first])
    generator, judge = bundled_generator(), DemoJudge()
    found: dict[str, Any] = {"generator": measure_generator(generator, held_out)}
    found |= {"identity": measure_encoder(DemoIdentity(), few), "judge": measure_encoder(judge, few)}
    found["inverter"] = measure_inverter(generator, judge, held_out, args.people)
    draw(generator, held_out, found["inverter"].pop("_images"), args.images)
    ratio = found["inverter"]["judge"] / found["judge"]["same_person"]
    found["inverter"]["judge, as a share of the same person's"] = ratio
    found["megabytes"] = {path.stem: path.stat().st_size / 1e6 for path in sorted(WEIGHTS.glob("*.safetensors"))}
    found["seconds"] = time.monotonic() - started
    args.out.unlink(missing_ok=True)
    write_bytes(args.out, (json.dumps(rounded(found), indent=2) + "\n").encode())
    print(json.dumps(rounded(found), indent=2))


if __name__ == "__main__":
    main()
