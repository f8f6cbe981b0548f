"""The loop that the four small networks share: a time budget, a running average, resuming, a log."""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlearnkit_demo.training.data import Clock, Pictures, cosine, note, save_whole

EMA_STEPS = 100


def arguments(description: str | None, seconds: float, seed: int) -> argparse.ArgumentParser:
    """The options of every training script."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of rendered pictures to learn from")
    parser.add_argument("--held-out", type=Path, required=True, help="folder of people never learned from")
    parser.add_argument("--out", type=Path, required=True, help="folder for state and log")
    parser.add_argument("--seconds", type=float, default=seconds, help="how long to train")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=seed)
    return parser


def train(
    network: nn.Module, loss: Callable[[torch.Generator], Tensor], report: Callable[[nn.Module], dict[str, float]],
    args: argparse.Namespace,
) -> nn.Module:
    """Train ``network`` for ``args.seconds``; ``loss(rng)`` draws a batch and measures it, ``report`` judges.

    Returns the running average, which is what ships. Interrupted, the same call goes on.
    """
    average = copy.deepcopy(network).requires_grad_(False).eval()
    trained = [p for p in network.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=args.lr, weight_decay=0.01)
    path, step, clock = args.out / "state.pt", 0, Clock()
    if path.exists():
        state = torch.load(path, weights_only=True)
        network.load_state_dict(state["network"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        step, clock = state["step"], Clock(state["spent"])
    rng = torch.Generator().manual_seed(args.seed + step)
    running = 0.0
    while (spent := clock.seconds()) < args.seconds:
        for group in optimiser.param_groups:
            group["lr"] = args.lr * cosine(spent / args.seconds)
        value = loss(rng)
        optimiser.zero_grad(set_to_none=True)
        value.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        step += 1
        running += (1 - min(0.98, step / (step + 1))) * (value.item() - running)
        _follow(average, network, min(1 - 1 / EMA_STEPS, step / (step + 10)))
        if clock.every(90):
            save_whole(_state(network, average, optimiser, step, clock), path)
            note(args.out / "log.jsonl", step=step, seconds=clock.seconds(), loss=running, **report(average))
    save_whole(_state(network, average, optimiser, step, clock), path)
    note(args.out / "log.jsonl", step=step, seconds=clock.seconds(), loss=running, finished=True, **report(average))
    return average


def _state(network: nn.Module, average: nn.Module, optimiser: Any, step: int, clock: Clock) -> dict[str, Any]:
    return {
        "network": network.state_dict(), "average": average.state_dict(), "optimiser": optimiser.state_dict(),
        "step": step, "spent": clock.seconds(),
    }


@torch.no_grad()
def _follow(average: nn.Module, network: nn.Module, keep: float) -> None:
    """Running average of weights and of batch-normalisation statistics."""
    pairs = zip(average.state_dict().values(), network.state_dict().values(), strict=True)
    ours, theirs = zip(*((a, b) for a, b in pairs if a.is_floating_point()), strict=True)
    torch._foreach_lerp_(list(ours), list(theirs), 1 - keep)


def softened(image: Tensor, rng: torch.Generator) -> Tensor:
    """Half of the batches: shrink and enlarge, as soft as what a small generator makes."""
    if float(torch.rand((), generator=rng)) < 0.5:
        return image
    size = int(torch.randint(40, 112, (), generator=rng))
    small = F.interpolate(image, size=(size, size), mode="area")
    return F.interpolate(small, size=image.shape[-2:], mode="bilinear", align_corners=False)


def batches(
    model: nn.Module, pictures: Pictures, call: Callable[[Tensor], Tensor] | None = None, soft: int | None = None,
) -> Tensor:
    """What ``model`` (or ``call``) makes of all pictures, without a graph; ``soft`` shrinks them first."""
    results = []
    with torch.no_grad():
        for index in torch.arange(len(pictures)).split(50):
            image = pictures.batch(index)
            if soft:
                image = F.interpolate(F.interpolate(image, size=soft, mode="area"), size=128, mode="bilinear")
            results.append((call or model)(image))
    return torch.cat(results)
