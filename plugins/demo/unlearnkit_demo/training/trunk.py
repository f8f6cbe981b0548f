"""Train the perceptual trunk: it reads the renderer's parameters, person and circumstances, off a picture.

Whoever can tell all of them apart has features of everything that a picture shows; those features are what the
perceptual distance compares, and where the identity encoder and the inverter start from.

    OMP_NUM_THREADS=1 python -m unlearnkit_demo.training.trunk --data DIR --held-out DIR --out DIR
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
import torch
from torch import Tensor, nn

from unlearnkit_demo.networks import Trunk
from unlearnkit_demo.people.parameters import PARAMETER_NAMES
from unlearnkit_demo.training.course import arguments, batches, softened, train
from unlearnkit_demo.training.data import Pictures, epochs, mirrored
from unlearnkit_demo.training.generator import MIRRORED


def determination(estimate: Tensor, truth: Tensor) -> Tensor:
    """R² of each parameter ``(K,)``: the share of its variance that the estimate explains."""
    return 1 - (estimate - truth).square().mean(0) / truth.var(0, unbiased=False)


def parameter_report(pictures: Pictures) -> Callable[[nn.Module], dict[str, float]]:
    """Judge by R² on held-out people: the mean, and the worst parameter of all."""
    def report(network: nn.Module) -> dict[str, float]:
        r2 = determination(batches(network, pictures), pictures.p)
        return {"r2": float(r2.mean()), "r2_worst": float(r2.min())}

    return report


def subset(pictures: Pictures, count: int) -> Pictures:
    """The first ``count`` pictures."""
    return attrs.evolve(pictures, p=pictures.p[:count], person=pictures.person[:count], image=pictures.image[:count])


def main() -> None:
    args = arguments(__doc__, seconds=780, seed=10).parse_args()
    torch.manual_seed(args.seed)
    data, held_out = Pictures.load(args.data), Pictures.load(args.held_out)
    network = Trunk(parameters=len(PARAMETER_NAMES)).to(memory_format=torch.channels_last)
    order = epochs(len(data), args.batch, torch.Generator().manual_seed(args.seed))

    def loss(rng: torch.Generator) -> Tensor:
        index = next(order)
        coin = torch.rand(len(index), generator=rng) < 0.5
        image, p = mirrored(data.batch(index), data.p[index], coin, MIRRORED)
        with torch.autocast("cpu", torch.bfloat16):
            estimate = network(softened(image, rng))
        return (estimate.float() - p).square().mean()

    train(network, loss, parameter_report(subset(held_out, 600)), args)


if __name__ == "__main__":
    main()
