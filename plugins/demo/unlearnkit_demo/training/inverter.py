"""Train the inverter: picture -> z -> the generator's own mapping -> W, and a small offset for each row of W+.

The world's z is known for every picture, rendered or made by the generator, so most of the way is plain
regression; it starts from the perceptual trunk, which has learned just that. What regression cannot teach, how a
remaining error looks, comes through the frozen generator: L1, the perceptual trunk and identity encoder A.

    python -m unlearnkit_demo.training.inverter --generator STATE --trunk STATE --identity STATE \\
        --data DIR --held-out DIR --out DIR
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from unlearnkit_stylegan2.network import Generator

from unlearnkit_demo.networks import FaceEncoder, InversionEncoder, Trunk, normalised_maps, unit
from unlearnkit_demo.people.parameters import NUM_PARAMETERS, parameters_from_z
from unlearnkit_demo.training.course import arguments, softened, train
from unlearnkit_demo.training.data import Pictures, epochs, mirrored, psnr
from unlearnkit_demo.training.generator import MIRRORED, build

SEEN = 6  # pictures a step that go through the generator; the others only regress


def frozen(network: nn.Module, state: dict[str, Tensor]) -> Any:
    """``network`` with these weights, for measuring only."""
    network.load_state_dict(state)
    return network.requires_grad_(False).eval()


def trunk_distance(trunk: Trunk, a: Tensor, b: Tensor) -> Tensor:
    """Perceptual distance of pictures ``(N, 3, H, W)``, gradients for ``a`` only: ``(N,)``."""
    with torch.no_grad():
        truth = normalised_maps(trunk.stages(b))
    made = normalised_maps(trunk.stages(a))
    return torch.stack([(x - y).square().sum(1).mean((1, 2)) for x, y in zip(made, truth, strict=True)]).mean(0)


class Lesson:
    """What one step of training the inverter measures."""

    def __init__(self, args: argparse.Namespace) -> None:
        def weights(path: Path) -> dict[str, Any]:
            return torch.load(path, weights_only=True)

        state, trunk = weights(args.generator), weights(args.trunk)["average"]
        self.generator: Generator = frozen(build(state["resolution"], NUM_PARAMETERS), state["average"])
        self.trunk: Trunk = frozen(Trunk(parameters=NUM_PARAMETERS), trunk)
        whole = weights(args.identity)["average"]
        face = {k.removeprefix("encoder."): v for k, v in whole.items() if k.startswith("encoder.")}
        self.identity: FaceEncoder = frozen(FaceEncoder(dim=128), face)
        self.inverter = InversionEncoder(self.generator.num_ws, self.generator.mapping.w_dim,
                                         parameters=NUM_PARAMETERS)
        self.inverter.load_state_dict(trunk, strict=False)
        self.inverter.to(memory_format=torch.channels_last)

    def made(self, count: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Pictures that the generator makes, and the parameters it made them from."""
        p = parameters_from_z(torch.randn(count, NUM_PARAMETERS, generator=rng))
        with torch.no_grad():
            return self.generator(p, noise_mode="none").float().clamp(-1, 1), p

    def loss(self, image: Tensor, p: Tensor, rng: torch.Generator) -> Tensor:
        """Regression on rendered and made pictures; the first ``SEEN`` rendered ones come back as pictures."""
        with torch.autocast("cpu", torch.bfloat16):
            extra, q = self.made(SEEN, rng)
            latents, z = self.inverter.latents(torch.cat([softened(image, rng), extra]), self.generator.mapping)
            again = self.generator.synthesis(latents[:SEEN].float(), noise_mode="none").float()
            look = trunk_distance(self.trunk, again, image[:SEEN]).float().mean()
            person = unit(self.identity(again).float()) * unit(self.identity(image[:SEEN]).float())
        regression = (z.float() - torch.cat([p, q])).square().mean()
        offset = (latents.float() - self.generator.mapping(z.float())).square().mean()
        pixels = (again - image[:SEEN]).abs().mean()
        return regression + 2 * pixels + look + 0.3 * (1 - person.sum(1).mean()) + 0.05 * offset

    def report(self, pictures: Pictures) -> Callable[[nn.Module], dict[str, float]]:
        """Judge by the reconstructions of the first 60 held-out people."""
        index = torch.arange(0, len(pictures), 6)[:60]

        def report(network: nn.Module) -> dict[str, float]:
            truth = pictures.batch(index)
            with torch.no_grad():
                latents, z = network.latents(truth, self.generator.mapping)  # type: ignore[operator]
                image = self.generator.synthesis(latents, noise_mode="none")
                close = (unit(self.identity(image)) * unit(self.identity(truth))).sum(1).mean()
            return {"psnr": float(psnr(image.clamp(-1, 1), truth).mean()), "similarity_a": float(close),
                    "regression": float((z - pictures.p[index]).square().mean())}

        return report


def options() -> argparse.Namespace:
    parser = arguments(__doc__, seconds=600, seed=30)
    for name in ("generator", "trunk", "identity"):
        parser.add_argument(f"--{name}", type=Path, required=True, help=f"state.pt of the {name}'s training")
    parser.set_defaults(batch=24, lr=1e-3)
    return parser.parse_args()


def main() -> None:
    args = options()
    torch.manual_seed(args.seed)
    data, held_out = Pictures.load(args.data), Pictures.load(args.held_out)
    lesson = Lesson(args)
    order = epochs(len(data), args.batch, torch.Generator().manual_seed(args.seed))

    def loss(rng: torch.Generator) -> Tensor:
        index = next(order)
        coin = torch.rand(len(index), generator=rng) < 0.5
        image, p = mirrored(data.batch(index), data.p[index], coin, MIRRORED)
        return lesson.loss(image, p, rng)

    train(lesson.inverter, loss, lesson.report(held_out), args)


if __name__ == "__main__":
    main()
