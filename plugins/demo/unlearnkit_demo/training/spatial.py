"""Train the bundled EG3D by multi-view regression: z and a camera -> the picture and the depth that the renderer gives.

Cameras, pictures and depths are exact (`people.views`), so no discriminator is needed, and geometry is taught rather
than guessed. The backbone starts from the bundled StyleGAN2, which knows the same people from the front: the mapping as
it is, its convolutions with the most important of their channels, since EG3D's are fewer, and upside down, since a
plane's rows go up where a picture's go down. Yaw and pitch are the camera's business here: the two numbers of z that
meant them are cut off in the mapping.

A step renders 32 x 32 rays of each person from two cameras: the whole picture at first, later patches of the 64 px one,
which super-resolution then enlarges. In the last stage (rays a side: 0) it renders whole pictures of fewer people, and
the bundled trunk and identity encoder A look at them too; the judge, encoder B, sees nothing of this.

    MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=68719476736 \\
    python -m unlearnkit_demo.training.spatial --data DIR --held-out DIR --out DIR --stages 32:240,64:2500,0:780

Interrupt it at will; the same command goes on.
"""

from __future__ import annotations

import argparse
import copy
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from unlearnkit_eg3d.network import VARIANTS, TriPlaneGenerator
from unlearnkit_eg3d.volume import Draws, RenderSettings, limits, rays, stratified
from unlearnkit_stylegan2.layers import SynthesisLayer
from unlearnkit_stylegan2.network import Generator

from unlearnkit.checkpoints import read_tensors
from unlearnkit.ops.volume import composite, importance, interval_weights, merged_planes, sample_merged
from unlearnkit_demo import CHECKPOINTS
from unlearnkit_demo.components import DemoIdentity, DemoPerceptual
from unlearnkit_demo.people.parameters import NUM_PARAMETERS, PARAMETER_NAMES
from unlearnkit_demo.training.data import Clock, cosine, note, psnr, save_whole
from unlearnkit_demo.training.generator import ARCHITECTURE, edge_loss
from unlearnkit_demo.training.generator import build as build_stylegan2

RESOLUTION, NEURAL, PLANES, WIDEST, EMBEDDED = 128, 64, 128, 192, 16
BACK = 2.9381  # a backdrop stands no nearer than this; no float16, so no depth of a head is the same number
PATCH, RIM = 32, 3  # rays a side of a patch; of its enlarged picture this many pixels are too near the edge to judge
CAMERA_COLUMNS = [PARAMETER_NAMES.index(name) for name in ("yaw", "pitch")]
EMA_STEPS = 200
SETTINGS: dict[str, Any] = {
    "superresolution_module": "training.superresolution.SuperresolutionHybrid2X", "depth_resolution": 12,
    "depth_resolution_importance": 12, "ray_start": 2.36, "ray_end": 3.08, "box_warp": 0.7,
    "avg_camera_radius": 2.7, "avg_camera_pivot": [0.0, 0.0, 0.2], "c_scale": 1.0, "c_gen_conditioning_zero": True,
    "superresolution_noise_mode": "none", "sr_antialias": True, "decoder_lr_mul": 1.0, "clamp_mode": "softplus",
}
BACKBONE: dict[str, Any] = {
    "z_dim": NUM_PARAMETERS, "c_dim": 25, "w_dim": ARCHITECTURE["w_dim"], "num_layers": 2, "lr_multiplier": 1.0,
    "embed_features": EMBEDDED, "channel_base": 4096, "channel_max": WIDEST,
}


@attrs.define(eq=False)
class Views:
    """People seen by cameras: ``p (n, K)``, ``camera (n, V, 25)``, ``image (n, V, H, W, 3)`` uint8, ``depth``."""

    p: Tensor
    camera: Tensor
    image: Tensor
    depth: Tensor

    @classmethod
    def load(cls, folder: Path) -> Views:
        """Read every shard that is there, in order."""
        shards = [np.load(path) for path in sorted(folder.glob("views_*.npz"))]
        if not shards:
            raise SystemExit(f"{folder} holds no views_*.npz: run unlearnkit_demo.people.views first")
        return cls(*(torch.from_numpy(np.concatenate([shard[name] for shard in shards]))
                     for name in ("p", "camera", "image", "depth")))

    def pick(self, person: Tensor, view: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """``p``, cameras, pictures ``(n, 3, H, W)`` in [-1, 1] and depths ``(n, 1, h, w)``, 0 where unknown."""
        image = self.image[person, view].permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
        return self.p[person], self.camera[person, view], image, self.depth[person, view][:, None].float()


def build(state: dict[str, Tensor] | None = None) -> TriPlaneGenerator:
    """The bundled EG3D, with ``state`` or as it starts."""
    settings = RenderSettings(coarse=SETTINGS["depth_resolution"], fine=SETTINGS["depth_resolution_importance"],
                              near=SETTINGS["ray_start"], far=SETTINGS["ray_end"], box_warp=SETTINGS["box_warp"])
    variant = VARIANTS[SETTINGS["superresolution_module"].rpartition(".")[2]].scaled(RESOLUTION)
    network = TriPlaneGenerator(
        backbone={**BACKBONE, "img_resolution": PLANES}, variant=variant, settings=settings,
        neural_resolution=NEURAL, sr_clamp=None, c_scale=1.0, c_zero=True)
    network.load_state_dict(start(network) if state is None else state)
    return network


def bundled_stylegan2() -> Generator:
    """The bundled StyleGAN2's network."""
    tensors, _ = read_tensors(CHECKPOINTS["stylegan2"])
    return build_stylegan2(128, NUM_PARAMETERS, tensors)


def start(network: TriPlaneGenerator) -> dict[str, Tensor]:
    """State to start from: the bundled StyleGAN2's mapping and its most important channels."""
    source = bundled_stylegan2()
    energy = activation_energy(source)
    given, state = source.state_dict(), {k: v.clone() for k, v in network.state_dict().items()}
    for name in ("fc0", "fc1"):
        weight = given[f"mapping.{name}.weight"]
        target = state[f"backbone.mapping.{name}.weight"]
        target.zero_()
        target[:, : weight.shape[1]] = weight * (target.shape[1] / weight.shape[1]) ** 0.5
        state[f"backbone.mapping.{name}.bias"].copy_(given[f"mapping.{name}.bias"])
    state["backbone.mapping.fc0.weight"][:, CAMERA_COLUMNS] = 0
    kept = torch.arange(len(given["synthesis.b4.const"]))[:WIDEST]
    state["backbone.synthesis.b4.const"].copy_(given["synthesis.b4.const"][kept].flip(-2))
    for layer in energy:
        wide = state[f"backbone.{layer}.weight"].shape[0]
        out = energy[layer].topk(wide).indices.sort().values
        state[f"backbone.{layer}.weight"].copy_(given[f"{layer}.weight"][out][:, kept].flip(-2))
        state[f"backbone.{layer}.bias"].copy_(given[f"{layer}.bias"][out])
        for part in ("weight", "bias"):
            state[f"backbone.{layer}.affine.{part}"].copy_(given[f"{layer}.affine.{part}"][kept])
        kept = out
    return state


@torch.no_grad()
def activation_energy(source: Generator) -> dict[str, Tensor]:
    """Mean square of every channel that leaves a convolution, by the layer's name, from the coarsest to the finest."""
    energy: dict[str, Tensor] = {}

    def watch(name: str) -> Any:
        def hook(_module: Any, _inputs: Any, out: Tensor) -> None:
            energy[name] = out.square().mean((0, 2, 3))
        return hook

    handles = [module.register_forward_hook(watch(name)) for name, module in source.named_modules()
               if isinstance(module, SynthesisLayer)]
    source(torch.randn(64, NUM_PARAMETERS, generator=torch.Generator().manual_seed(0)), noise_mode="none")
    for handle in handles:
        handle.remove()
    return energy


@attrs.frozen(eq=False)
class Target:
    """What a patch of ``size`` × ``size`` rays should show: its first row and column among ``side`` × ``side`` rays,
    and the truth; ``backdrop`` ``(N, 1, size, size)`` is true where certainly nobody is."""

    side: int
    size: int
    top: int
    left: int
    raw: Tensor
    depth: Tensor
    backdrop: Tensor
    image: Tensor | None


def cut(image: Tensor, depth: Tensor, side: int, size: int, rng: torch.Generator) -> Target:
    """A piece, anywhere, of what ``side`` × ``side`` rays should see."""
    top, left = (int(torch.randint(side - size + 1, (), generator=rng)) for _ in range(2))
    rows, columns = slice(top, top + size), slice(left, left + size)
    whole = F.interpolate(image, size=side, mode="area")
    corners = whole[:, :, :1, :1], whole[:, :, :1, -1:]  # of one colour unless there is hair
    unlike = [(whole - corner).abs().amax(1, keepdim=True) > 0.02 for corner in corners]
    backdrop = ~(unlike[0] | unlike[1])
    raw = whole[:, :, rows, columns]
    k = depth.shape[-1] // side
    near = depth[:, :, ::k, ::k] if k == 1 else depth.unfold(2, k, k).unfold(3, k, k).flatten(4)
    if k > 1:
        near = torch.where((near > 0).all(-1), near.mean(-1), torch.zeros(()))
    enlarged = None
    if side == NEURAL:
        enlarged = image[:, :, 2 * top:2 * (top + size), 2 * left:2 * (left + size)]
    near, backdrop = near[:, :, rows, columns], (backdrop & (near == 0))[:, :, rows, columns]
    return Target(side, size, top, left, raw, near, backdrop, enlarged)


def patch_loss(network: TriPlaneGenerator, planes: Tensor, ws: Tensor, camera: Tensor, target: Target,
               rng: torch.Generator, look: Look | None = None) -> Tensor:
    """Colour of the rays, depth where it is known, and the enlarged picture: away from the patch's rim, or whole, and
    then as ``look`` sees it."""
    size = target.size
    grid = torch.arange(target.side**2).view(target.side, target.side)
    chosen = grid[target.top:target.top + size, target.left:target.left + size].flatten()
    origins, directions = (x[:, chosen] for x in rays(camera, target.side))
    depths = torch.where(target.backdrop, BACK, target.depth).flatten(1)
    features, spread = march_to(network, planes, origins, directions, depths, rng)
    features = features.transpose(1, 2).unflatten(2, (size, size))
    loss = picture_loss(features[:, :3], target.raw) + 8 * spread
    if target.image is None:
        return loss
    image = network.superresolution(features[:, :3], features, ws)
    if look is not None:
        return loss + picture_loss(image, target.image) + look(image, target.image)
    inner = (..., slice(2 * RIM, -2 * RIM), slice(2 * RIM, -2 * RIM))
    return loss + picture_loss(image[inner], target.image[inner])


def march_to(network: TriPlaneGenerator, planes: Tensor, origins: Tensor, directions: Tensor, depth: Tensor,
             rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Features of rays ``(N, R, 32)`` as `unlearnkit_eg3d.volume.render` gives them, and how far from the true
    ``depth`` ``(N, R)`` what a ray sees lies on average: a surface, not a fog around it, makes that small."""
    settings, merged = network.settings, merged_planes(planes.unflatten(1, (3, 32)))

    def look(at: Tensor) -> tuple[Tensor, Tensor]:
        points = origins[:, :, None] + at[..., None] * directions[:, :, None]
        density, colour = network.decoder(sample_merged(merged, points.flatten(1, 2), settings.box_warp))
        return density.unflatten(1, at.shape[1:]), colour.unflatten(1, at.shape[1:])

    draws = Draws.random(depth.shape[0], depth.shape[1], settings, rng)
    near, far = limits(origins, directions, settings)
    coarse = stratified(near, far, draws.offsets, settings.disparity)
    density, colour = look(coarse)
    fine = importance(coarse, interval_weights(coarse, density.detach()), draws.importance)
    more = look(fine)
    at, order = torch.cat([coarse, fine], -1).sort(-1)
    density, colour = torch.cat([density, more[0]], -1), torch.cat([colour, more[1]], 2)
    weights = interval_weights(at, density.gather(-1, order))
    away = depth[..., None] - (at[..., 1:] + at[..., :-1]) / 2
    away = torch.where(depth[..., None] == BACK, away.clamp_min(0), away.abs())  # a backdrop may be farther, not nearer
    spread = ((weights * away).sum(-1) * (depth > 0)).mean()
    return composite(torch.cat([coarse, fine], -1), density, colour).colours * 2 - 1, spread


def picture_loss(made: Tensor, truth: Tensor) -> Tensor:
    """As the bundled StyleGAN2's: values, edges, squares."""
    return (made - truth).abs().mean() + 0.5 * edge_loss(made, truth) + (made - truth).square().mean()


@torch.no_grad()
def evaluate(network: TriPlaneGenerator, views: Views, people: int = 64) -> dict[str, float]:
    """Held-out people seen by held-out cameras: PSNR of raw and enlarged pictures, mean error of depth."""
    found: list[tuple[Tensor, ...]] = []
    for person in torch.arange(min(people, len(views.p))).split(8):
        p, camera, image, depth = views.pick(person, torch.arange(len(person)) % views.camera.shape[1])
        drawn = network(network.mapping(p, camera), camera, noise_mode="none")
        small = F.interpolate(image, size=NEURAL, mode="area")
        known = depth > 0
        error = ((drawn.depth - depth).abs() * known).sum((1, 2, 3)) / known.sum((1, 2, 3))
        found.append((psnr(drawn.raw.clamp(-1, 1), small), psnr(drawn.image.clamp(-1, 1), image), error))
    means = [float(torch.cat(part).mean()) for part in zip(*found, strict=True)]
    return dict(zip(("psnr_raw", "psnr", "depth_error"), means, strict=True))


class Look:
    """What the bundled trunk and identity encoder A make of whole pictures."""

    def __init__(self) -> None:
        self.trunk, self.identity = DemoPerceptual(), DemoIdentity()
        for component in (self.trunk, self.identity):
            component.prepare(torch.device("cpu"))

    def __call__(self, made: Tensor, truth: Tensor) -> Tensor:
        """Distance of pictures ``(N, 3, H, W)``, perceptual and of identities."""
        with torch.no_grad():
            wanted, known = self.trunk.features(truth), self.identity.embed(truth)
        far = self.trunk.distance(self.trunk.features(made), wanted).mean()
        return far + 0.4 * (1 - (self.identity.embed(made) * known).sum(1).mean())


class Course:
    """Network, running average, optimiser, and the time that each stage has had."""

    def __init__(self, args: argparse.Namespace) -> None:
        path: Path = args.out / "state.pt"
        state: dict[str, Any] = torch.load(path, weights_only=True) if path.exists() else {}
        self.network = build(state.get("network"))
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        self.average.load_state_dict(state.get("average", self.network.state_dict()))
        self.trained = [p for n, p in self.network.named_parameters() if "noise_strength" not in n and "embed" not in n]
        mapping = {id(p) for p in self.network.backbone.mapping.parameters()}
        groups = [{"params": [p for p in self.trained if (id(p) in mapping) == slow], "slow": slow}
                  for slow in (False, True)]
        self.optimiser = torch.optim.Adam(groups, lr=args.lr, betas=(0.9, 0.99))
        if state:
            self.optimiser.load_state_dict(state["optimiser"])
        self.step: int = state.get("step", 0)
        self.clock = Clock(state.get("spent", 0.0))
        self.args = args

    def save(self) -> None:
        state = {"network": self.network.state_dict(), "average": self.average.state_dict(), "step": self.step,
                 "optimiser": self.optimiser.state_dict(), "spent": self.clock.seconds()}
        save_whole(state, self.args.out / "state.pt")

    def learn(self, loss: Tensor, rate: float) -> float:
        """One step of Adam; the mapping, which comes from StyleGAN2, moves a fifth as fast."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate * (0.2 if group["slow"] else 1.0)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.trained, 1.0)
        self.optimiser.step()
        self.step += 1
        keep = min(1 - 1 / EMA_STEPS, self.step / (self.step + 10))
        with torch.no_grad():
            self.network.get_parameter("backbone.mapping.fc0.weight")[:, CAMERA_COLUMNS] = 0
            torch._foreach_lerp_(list(self.average.parameters()), list(self.network.parameters()), 1 - keep)
        return float(loss.detach())


def train(course: Course, data: Views, held_out: Views, stages: list[tuple[int, float]]) -> None:
    """Go through the stages, each for its time; save and report every two minutes."""
    args, network = course.args, course.network
    rng = torch.Generator().manual_seed(args.seed + course.step)
    total = sum(seconds for _, seconds in stages)
    variant, look = network.superresolution.variant, Look()

    running = 0.0
    while (spent := course.clock.seconds()) < total:
        number = next(i for i in range(len(stages)) if spent < sum(seconds for _, seconds in stages[:i + 1]))
        rays_a_side, seconds = stages[number]
        side, size, count = (NEURAL, NEURAL, args.batch // 2) if rays_a_side == 0 else (rays_a_side, PATCH, args.batch)
        network.superresolution.variant = attrs.evolve(variant, input=size)
        person = torch.randint(len(data.p), (count,), generator=rng)
        ws = network.mapping(data.p[person], data.camera[person, 0])
        planes, loss = network.backbone.synthesis(ws, noise_mode="none"), torch.zeros(())
        for view in torch.randint(data.camera.shape[1], (2, count), generator=rng):
            _, camera, image, depth = data.pick(person, view)
            target = cut(image, depth, side, size, rng)
            loss = loss + patch_loss(network, planes, ws, camera, target, rng, look if size == NEURAL else None) / 2
        if rays_a_side == 0:
            rate = 0.3 * args.lr * cosine(1 - (total - spent) / seconds)
        else:
            rate = args.lr * cosine(spent / sum(seconds for rays, seconds in stages if rays))
        running = 0.98 * running + 0.02 * course.learn(loss, rate)
        if course.clock.every(120):
            course.save()
            note(args.out / "log.jsonl", side=rays_a_side, step=course.step, seconds=course.clock.seconds(),
                 loss=running, **evaluate(course.average, held_out))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of views to learn from")
    parser.add_argument("--held-out", type=Path, required=True, help="folder of views of people never learned from")
    parser.add_argument("--out", type=Path, required=True, help="folder for state and log")
    parser.add_argument("--stages", default="32:240,64:2500,0:780", help="rays a side:seconds, ...; 0: whole pictures")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--lr", type=float, default=2.5e-3)
    parser.add_argument("--seed", type=int, default=40)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    course = Course(args)
    stages = [(int(side), float(seconds)) for side, seconds in (part.split(":") for part in args.stages.split(","))]
    held_out = Views.load(args.held_out)
    train(course, Views.load(args.data), held_out, stages)
    course.save()
    note(args.out / "log.jsonl", finished=True, step=course.step, seconds=course.clock.seconds(),
         **evaluate(course.average, held_out, len(held_out.p)))


if __name__ == "__main__":
    main()
