"""Train the inverter of the bundled EG3D: portrait -> z -> latent in W+, seen again from where the portrait was taken.

It starts from the inverter of the bundled StyleGAN2, which reads the same parameters, yaw and pitch among them, off the
same portraits; what it has to learn anew are the offsets in W+. The loss is that of `training.inverter`, through the
frozen EG3D at the portrait's own camera.

    python -m unlearnkit_demo.training.inverter_spatial --data DIR --held-out DIR --generator STATE --out DIR
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from unlearnkit_demo.cameras import PITCH, YAW, portrait_cameras
from unlearnkit_demo.components import DemoIdentity, DemoInverter, DemoPerceptual
from unlearnkit_demo.training.course import arguments, softened, train
from unlearnkit_demo.training.data import Pictures, epochs, psnr
from unlearnkit_demo.training.inverter import frozen
from unlearnkit_demo.training.spatial import build

SEEN = 4  # pictures a step that go through the generator; the others only regress


class Lesson:
    """What one step measures."""

    def __init__(self, generator: Path) -> None:
        self.generator = frozen(build(), torch.load(generator, weights_only=True)["average"])
        start, self.trunk, self.identity = DemoInverter(), DemoPerceptual(), DemoIdentity()
        for component in (start, self.trunk, self.identity):
            component.prepare(torch.device("cpu"))
        self.inverter = start._network.requires_grad_(True)
        for name in ("offsets.1.weight", "offsets.1.bias"):
            nn.init.zeros_(self.inverter.get_parameter(name))

    def mapping(self, z: Tensor) -> Tensor:
        """z -> latents; the camera plays no part."""
        latents: Tensor = self.generator.mapping(z, z.new_zeros(len(z), 25))
        return latents

    def drawn(self, latents: Tensor, p: Tensor) -> Tensor:
        """Pictures of latents, seen as portraits of the parameters ``p`` are."""
        image: Tensor = self.generator(latents, portrait_cameras(p[:, YAW], p[:, PITCH]), noise_mode="none").image
        return image

    def loss(self, image: Tensor, p: Tensor, rng: torch.Generator) -> Tensor:
        """Regression on all portraits; the first ``SEEN`` come back as pictures."""
        latents, z = self.inverter.latents(softened(image, rng), self.mapping)
        truth, again = image[:SEEN], self.drawn(latents[:SEEN], p[:SEEN])
        with torch.no_grad():
            wanted, known = self.trunk.features(truth), self.identity.embed(truth)
        look = self.trunk.distance(self.trunk.features(again), wanted).mean()
        person = (self.identity.embed(again) * known).sum(1).mean()
        offset = (latents - self.mapping(z)).square().mean()
        pixels = (again - truth).abs().mean()
        return (z - p).square().mean() + 2 * pixels + look + 0.3 * (1 - person) + 0.05 * offset

    def report(self, pictures: Pictures) -> Callable[[nn.Module], dict[str, float]]:
        """Judge by the reconstructions of some held-out people, from where the inverter thinks it sees them."""
        index = torch.arange(0, len(pictures), 6)[:24]

        @torch.no_grad()
        def report(network: nn.Module) -> dict[str, float]:
            truth = pictures.batch(index)
            latents, z = network.latents(truth, self.mapping)  # type: ignore[operator]
            image = torch.cat([self.drawn(*part) for part in zip(latents.split(8), z.split(8), strict=True)])
            close = (self.identity.embed(image) * self.identity.embed(truth)).sum(1).mean()
            return {"psnr": float(psnr(image.clamp(-1, 1), truth).mean()), "similarity_a": float(close),
                    "regression": float((z - pictures.p[index]).square().mean())}

        return report


def options() -> argparse.Namespace:
    parser = arguments(__doc__, seconds=420, seed=50)
    parser.add_argument("--generator", type=Path, required=True, help="state.pt of the EG3D's training")
    parser.set_defaults(batch=16, lr=7e-4)
    return parser.parse_args()


def main() -> None:
    args = options()
    torch.manual_seed(args.seed)
    data, held_out = Pictures.load(args.data), Pictures.load(args.held_out)
    lesson = Lesson(args.generator)
    order = epochs(len(data), args.batch, torch.Generator().manual_seed(args.seed))

    def loss(rng: torch.Generator) -> Tensor:
        index = next(order)
        return lesson.loss(data.batch(index), data.p[index], rng)

    train(lesson.inverter, loss, lesson.report(held_out), args)


if __name__ == "__main__":
    main()
