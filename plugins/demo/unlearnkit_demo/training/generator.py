"""Train the bundled StyleGAN2 by regression: z -> parameters -> picture, progressively by resolution.

The renderer answers every z with one right picture, so no discriminator is needed: an L1 loss on values and on
edges, at the stage's resolution. The skip architecture makes growing natural: a stage takes over every tensor
of the stage before. Noise is off: there is nothing random in a rendered picture.

    MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=68719476736 \\
    python -m unlearnkit_demo.training.generator --data DIR --out DIR [--stages 32:360,64:900,128:3600]

Interrupt it at will; the same command goes on. The allocator settings make it about 1.5 times as fast on a CPU.
"""

from __future__ import annotations

import argparse
import copy
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from unlearnkit_stylegan2.network import Generator

from unlearnkit_demo.people.parameters import PARAMETER_NAMES
from unlearnkit_demo.training.data import Clock, Pictures, cosine, epochs, mirrored, note, psnr, save_whole

ARCHITECTURE: dict[str, Any] = {
    "c_dim": 0, "w_dim": 256, "num_layers": 2, "lr_multiplier": 1.0, "channel_base": 4096, "channel_max": 256,
}
MIRRORED = [PARAMETER_NAMES.index(name) for name in ("yaw", "light_azimuth")]
EMA_STEPS = 200  # the average of about the last so many steps is what gets shipped


def build(resolution: int, z_dim: int, weights: dict[str, Tensor] | None = None) -> Generator:
    """A generator of this resolution that takes over every tensor that it shares with ``weights``."""
    network = Generator(z_dim=z_dim, img_resolution=resolution, **ARCHITECTURE)
    if weights:
        network.load_state_dict(weights, strict=False)
    return network


def edge_loss(a: Tensor, b: Tensor) -> Tensor:
    """L1 distance of horizontal and vertical differences at three scales: what makes eyes and mouths crisp."""
    loss = a.new_zeros(())
    for scale in range(3):
        for dim in (2, 3):
            loss = loss + (a.diff(dim=dim) - b.diff(dim=dim)).abs().mean()
        if scale < 2:
            a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
    return loss


def evaluate(network: Generator, held_out: Pictures, count: int = 256) -> float:
    """Mean PSNR in dB over the first ``count`` held-out pictures (people that training never sees)."""
    scores = []
    with torch.no_grad():
        for index in torch.arange(min(count, len(held_out))).split(32):
            image = network(held_out.p[index], noise_mode="none")
            scores.append(psnr(image.clamp(-1, 1), held_out.batch(index, network.img_resolution)))
    return float(torch.cat(scores).mean())


class Stage:
    """One resolution: network, running average, optimiser, and the time that they have had."""

    def __init__(self, resolution: int, seconds: float, z_dim: int, state: dict[str, Any], lr: float) -> None:
        self.resolution, self.seconds, self.lr = resolution, seconds, lr
        self.network = build(resolution, z_dim, state.get("network"))
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        self.average.load_state_dict(state.get("average", {}), strict=False)
        self.trained = [p for n, p in self.network.named_parameters() if "noise_strength" not in n]
        self.optimiser = torch.optim.Adam(self.trained, lr=lr, betas=(0.9, 0.99))
        resumed = state.get("resolution") == resolution
        if resumed:
            self.optimiser.load_state_dict(state["optimiser"])
        self.step: int = state["step"] if resumed else 0
        self.clock = Clock(state["spent"] if resumed else 0.0)

    def state(self) -> dict[str, Any]:
        return {
            "resolution": self.resolution, "network": self.network.state_dict(), "step": self.step,
            "average": self.average.state_dict(), "optimiser": self.optimiser.state_dict(),
            "spent": self.clock.seconds(),
        }

    def learn(self, forward: Any, image: Tensor, p: Tensor, precise: bool) -> float:
        """One step on a batch; bfloat16 convolutions until the last part of the last stage."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.lr * cosine(self.clock.seconds() / self.seconds)
        with torch.autocast("cpu", torch.bfloat16, enabled=not precise):
            made = forward(p).float()
        loss = (made - image).abs().mean() + 0.5 * edge_loss(made, image) + (made - image).square().mean()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.trained, 1.0)
        self.optimiser.step()
        self.step += 1
        keep = min(1 - 1 / EMA_STEPS, self.step / (self.step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.network.parameters()), 1 - keep)
        return float(loss.detach())


def train_stage(stage: Stage, data: Pictures, held_out: Pictures, args: argparse.Namespace, last: bool) -> None:
    """Train for the stage's time; save and report every two minutes."""
    rng = torch.Generator().manual_seed(args.seed + 1000 * stage.resolution + stage.step)

    def plain(p: Tensor) -> Tensor:
        return stage.network(p, noise_mode="none")

    fast = torch.compile(plain) if args.compile and stage.seconds > 300 else plain
    batches = epochs(len(data), args.batch, rng)
    running = 0.0
    while stage.clock.seconds() < stage.seconds:
        index = next(batches)
        if len(index) < args.batch:
            continue
        coin = torch.rand(len(index), generator=rng) < 0.5
        image, p = mirrored(data.batch(index, stage.resolution), data.p[index], coin, MIRRORED)
        precise = last and stage.clock.seconds() > 0.85 * stage.seconds
        running = 0.98 * running + 0.02 * stage.learn(plain if precise else fast, image, p, precise)
        if stage.clock.every(120):
            save_whole(stage.state(), args.out / "state.pt")
            note(args.out / "log.jsonl", resolution=stage.resolution, step=stage.step, pictures=len(data),
                 seconds=stage.clock.seconds(), loss=running, psnr=evaluate(stage.average, held_out))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of rendered pictures to learn from")
    parser.add_argument("--held-out", type=Path, required=True, help="folder of people never learned from")
    parser.add_argument("--out", type=Path, required=True, help="folder for state, log and result")
    parser.add_argument("--stages", default="32:360,64:900,128:3600", help="resolution:seconds, ...")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--compile", action="store_true", help="torch.compile, a third faster after a minute")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    held_out, path = Pictures.load(args.held_out), args.out / "state.pt"
    state: dict[str, Any] = torch.load(path, weights_only=True) if path.exists() else {}
    stages = [tuple(map(int, part.split(":"))) for part in args.stages.split(",")]
    for number, (resolution, seconds) in enumerate(stages):
        if state.get("resolution", 0) > resolution:
            continue
        data = Pictures.load(args.data)  # anew each stage: rendering may have gone on meanwhile
        lr = args.lr if number == 0 else args.lr * 0.7
        stage = Stage(resolution, seconds, data.p.shape[1], state, lr)
        train_stage(stage, data, held_out, args, last=number == len(stages) - 1)
        state = stage.state()
        save_whole(state, path)
    note(args.out / "log.jsonl", finished=True, psnr_all=evaluate(stage.average, held_out, len(held_out)))


if __name__ == "__main__":
    main()
