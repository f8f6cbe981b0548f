"""Train the two identity encoders: A for losses (``--which identity``), B only judges (``--which judge``).

Margin softmax over all people (as CosFace: the right person's cosine must win by a margin). A few pictures a
person are too few to learn ten thousand centres one by one in minutes; so each person's centre is itself a small
network's function of the person's identity parameters, shared by all. Beside it a linear read-out of the same
parameters keeps every trait in the embedding. Held-out people are judged by their pictures alone.

A starts from the perceptual trunk (``--start TRUNK/state.pt``); B shares nothing with it.

    OMP_NUM_THREADS=1 python -m unlearnkit_demo.training.encoders --which judge --data DIR --held-out DIR --out DIR
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlearnkit_demo.networks import FaceEncoder, PatchEncoder, unit
from unlearnkit_demo.people.parameters import NUM_IDENTITY
from unlearnkit_demo.training.course import arguments, batches, softened, train
from unlearnkit_demo.training.data import Pictures, epochs
from unlearnkit_demo.training.trunk import subset

SCALE, MARGIN, DIM = 24.0, 0.2, 128


class Centres(nn.Module):
    """Identity parameters ``(P, NUM_IDENTITY)`` -> unit centres ``(P, DIM)``; and back from embeddings."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(NUM_IDENTITY, DIM)
        self.bend = nn.Sequential(nn.Linear(NUM_IDENTITY, 256), nn.ReLU(), nn.Linear(256, DIM))
        self.readout = nn.Linear(DIM, NUM_IDENTITY)

    def forward(self, identity: Tensor) -> Tensor:
        return unit(self.linear(identity) + self.bend(identity))


class Lesson(nn.Module):
    """Encoder and centres together, so that both are trained, averaged and resumed as one."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.centres = encoder, Centres()

    def loss(self, image: Tensor, label: Tensor, people: Tensor) -> Tensor:
        """Margin softmax over ``people`` ``(P, NUM_IDENTITY)`` plus the read-out, for pictures of ``people[label]``."""
        with torch.autocast("cpu", torch.bfloat16):
            raw = self.encoder(image)
        raw = raw.float()
        cosine = unit(raw) @ self.centres(people).T
        margin = F.one_hot(label, len(people)) * MARGIN
        traits = (self.centres.readout(raw) - people[label]).square().mean()
        return F.cross_entropy(SCALE * (cosine - margin), label) + 4 * traits


def augmented(image: Tensor, rng: torch.Generator) -> Tensor:
    """Mirror, brightness and contrast for each picture, one shift and zoom a batch, softness: ``(N, 3, H, W)``."""
    n, _, h, w = image.shape
    flip = torch.rand(n, 1, 1, 1, generator=rng) < 0.5
    image = torch.where(flip, image.flip(3), image)
    gain, shift = (0.12 * torch.randn(2, n, 1, 1, 1, generator=rng)).clamp(-0.3, 0.3)
    image = image * (1 + gain) + 0.7 * shift
    side = int(torch.randint(round(0.92 * h), h + 1, (), generator=rng))
    top, left = (int(torch.randint(h - side + 1, (), generator=rng)) for _ in range(2))
    image = F.interpolate(image[:, :, top:top + side, left:left + side], size=(h, w), mode="bilinear")
    return softened(image, rng)


def verification(embeddings: Tensor, person: Tensor) -> dict[str, float]:
    """All same-person pairs against all pairs of strangers: AUC, TPR at 1 % FPR, the two mean similarities."""
    e = unit(embeddings)
    first, second = torch.triu_indices(len(e), len(e), 1)
    similarity = (e @ e.T)[first, second]
    same = person[first] == person[second]
    mine, strangers = similarity[same], similarity[~same].sort().values
    below = torch.searchsorted(strangers, mine)
    return {
        "auc": float(below.double().mean() / len(strangers)),
        "tpr_at_1_percent_fpr": float((mine > strangers[int(0.99 * len(strangers))]).double().mean()),
        "same_person": float(mine.mean()), "strangers": float(strangers.mean()),
    }


def identity_report(pictures: Pictures) -> Callable[[nn.Module], dict[str, float]]:
    """Verification on held-out people, on pictures as they are and on pictures of half the sharpness."""
    def report(lesson: nn.Module) -> dict[str, float]:
        encoder: nn.Module = getattr(lesson, "encoder", lesson)
        soft = verification(batches(encoder, pictures, soft=64), pictures.person)
        return verification(batches(encoder, pictures), pictures.person) | {"auc_soft": soft["auc"]}

    return report


def encoder_for(which: str, start: Path | None) -> nn.Module:
    """A from the trunk's weights (all but the last layer), or B from nothing."""
    if which == "judge":
        return PatchEncoder(dim=DIM)
    encoder = FaceEncoder(dim=DIM)
    if start is not None:
        weights = torch.load(start, weights_only=True)["average"]
        encoder.load_state_dict({k: v for k, v in weights.items() if not k.startswith("head.2.")}, strict=False)
    return encoder


def roster(pictures: Pictures) -> tuple[Tensor, Tensor]:
    """Label of each picture ``(n,)`` and identity parameters of each label ``(P, NUM_IDENTITY)``."""
    names, label = torch.unique(pictures.person, return_inverse=True)
    people = torch.zeros(len(names), NUM_IDENTITY)
    people[label] = pictures.p[:, :NUM_IDENTITY]
    return label, people


def options() -> argparse.Namespace:
    parser = arguments(__doc__, seconds=600, seed=20)
    parser.add_argument("--which", choices=("identity", "judge"), required=True)
    parser.add_argument("--start", type=Path, help="state.pt of the perceptual trunk, where A starts from")
    return parser.parse_args()


def main() -> None:
    args = options()
    torch.manual_seed(args.seed)
    data, held_out = Pictures.load(args.data), Pictures.load(args.held_out)
    label, people = roster(data)
    lesson = Lesson(encoder_for(args.which, args.start)).to(memory_format=torch.channels_last)
    order = epochs(len(data), args.batch, torch.Generator().manual_seed(args.seed))

    def loss(rng: torch.Generator) -> Tensor:
        index = next(order)
        return lesson.loss(augmented(data.batch(index), rng), label[index], people)

    train(lesson, loss, identity_report(subset(held_out, 600)), args)


if __name__ == "__main__":
    main()
