"""Our EG3D against numbers recorded from the authors' program, its random draws fed in (random weights, CPU)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
from safetensors import safe_open
from torch.testing import assert_close
from unlearnkit_eg3d.cameras import cameras, check_cameras, focal_length
from unlearnkit_eg3d.generator import EG3D
from unlearnkit_eg3d.loading import network_from_checkpoint
from unlearnkit_eg3d.network import VARIANTS, SuperResolution
from unlearnkit_eg3d.volume import Draws, RenderSettings, interval_weights, rays, render
from unlearnkit_stylegan2.generator import StyleGAN2

from unlearnkit.checkpoints import read_checkpoint
from unlearnkit.errors import CheckpointError, ShapeError

GOLDEN = Path(__file__).parents[2] / "golden"
FILE = GOLDEN / "eg3d_tiny_p32_n16_sr64.pkl"


@pytest.fixture(scope="module")
def case() -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    with safe_open(FILE.with_suffix(".safetensors"), "pt") as file:
        return json.loads(file.metadata()["golden"]), {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118


@pytest.fixture
def network():
    return network_from_checkpoint(read_checkpoint(FILE))


def drawn(network, t):
    side = network.neural_resolution
    draws = Draws(t["rng/0"][..., 0], t["rng/1"].view(len(t["in/ws"]), side * side, -1))
    return network(t["in/ws"], t["in/c"], draws=draws)


def test_rays_and_mapping(case, network) -> None:
    _, t = case
    assert_close(rays(t["in/c"], network.neural_resolution)[1], t["out/ray_directions"], rtol=0, atol=1e-6)
    assert_close(network.mapping(t["in/z"], t["in/c"]), t["out/ws"], rtol=0, atol=1e-5)


def test_one_pass(case, network) -> None:
    meta, t = case
    out, step = drawn(network, t), meta["planes_step"]
    assert_close(out.planes[..., ::step, ::step], t["out/planes"], rtol=0, atol=1e-4)
    assert_close(out.rendered.features[:, :: meta["ray_step"]], t["out/render_features"], rtol=0, atol=1e-5)
    assert_close(out.rendered.depth, t["out/render_depth"][..., 0], rtol=0, atol=1e-5)
    assert_close(out.rendered.opacity, t["out/render_weight_sum"][..., 0], rtol=0, atol=1e-5)
    assert_close(out.raw, t["out/image_raw"], rtol=0, atol=1e-5)
    step = meta["image_step"]
    assert_close(out.image[..., ::step, ::step], t["out/image"], rtol=0, atol=1e-4)


def test_gradients(case, network) -> None:
    meta, t = case
    (drawn(network, t).image * t["in/probe"]).sum().backward()
    compared = 0
    for name, parameter in network.named_parameters():
        wanted = t.get(f"grad/{name}")
        if wanted is None:
            continue
        found = parameter.grad.flatten()[:: meta["grad_step"]] if parameter.numel() > 256 else parameter.grad
        assert float((found - wanted).norm()) <= 1e-3 * float(wanted.norm()) + 1e-6, name
        compared += 1
    assert compared > 50


def test_the_published_key_list_loads_strictly() -> None:
    lines = (GOLDEN / "keys" / "eg3d_ffhq512.txt").read_text().splitlines()
    state = {line.split("\t")[0]: torch.zeros(()).expand(json.loads(line.split("\t")[1])) for line in lines}
    rendering = {
        "superresolution_module": "training.superresolution.SuperresolutionHybrid8XDC", "depth_resolution": 48,
        "depth_resolution_importance": 48, "ray_start": 2.25, "ray_end": 3.3, "box_warp": 1, "c_scale": 1.0,
        "avg_camera_pivot": [0, 0, 0.2],
    }
    known = read_checkpoint(FILE)
    file = attrs.evolve(known, state=state, init_kwargs={
        "img_resolution": 512, "channel_base": 32768, "channel_max": 512, "sr_num_fp16_res": 4},
        attributes={"rendering_kwargs": rendering, "neural_rendering_resolution": 128})
    network = network_from_checkpoint(file)
    assert sum(p.numel() for p in network.backbone.synthesis.parameters()) == 28_207_533
    assert (network.neural_resolution, network.img_resolution) == (128, 512)


@pytest.mark.parametrize("name", VARIANTS)
def test_every_super_resolution_has_the_published_tensors(name: str) -> None:
    short = name.removeprefix("Superresolution").removeprefix("Hybrid")
    lines = (GOLDEN / "keys" / f"sr_{short}.txt").read_text().splitlines()
    wanted = {line.split("\t")[0]: tuple(json.loads(line.split("\t")[1])) for line in lines}
    with torch.device("meta"):
        made = SuperResolution(VARIANTS[name], 512).state_dict()
    assert {key: tuple(value.shape) for key, value in made.items()} == wanted


# ---------------------------------------------------------------- the renderer by hand

def plain_composite(depths, density, colour):
    """As the paper writes it: everything sorted by depth, colours too."""
    order = depths.argsort(-1)
    depths, density = depths.gather(-1, order), density.gather(-1, order)
    colour = colour.gather(2, order[..., None].expand_as(colour))
    weights = interval_weights(depths, density)
    return (weights[..., None] * (colour[:, :, 1:] + colour[:, :, :-1]) / 2).sum(2) * 2 - 1


def test_colours_need_no_sorting(network, case) -> None:
    _, t = case
    planes = t["in/probe"].new_empty(2, 3, 32, 8, 8).normal_(generator=torch.Generator().manual_seed(0))
    origins, directions = (x[:, :40] for x in rays(t["in/c"], 16))
    settings = RenderSettings(coarse=7, fine=0)
    draws = Draws.random(2, 40, settings, torch.Generator().manual_seed(1))
    found = render(planes, network.decoder, origins, directions, settings, draws)
    depths = 2.25 + (3.3 - 2.25) * (torch.linspace(0, 1, 7) + draws.offsets / 6)
    points = origins[:, :, None] + depths[..., None] * directions[:, :, None]
    from unlearnkit_eg3d.volume import sample_planes

    density, colour = network.decoder(sample_planes(planes, points.flatten(1, 2), 1.0))
    wanted = plain_composite(depths, density.unflatten(1, (40, 7)), colour.unflatten(1, (40, 7)))
    assert_close(found.features, wanted, rtol=0, atol=1e-5)


def test_rays_that_follow_the_box(network) -> None:
    origins = torch.tensor([[[0.0, 0.0, -2.0], [5.0, 5.0, -2.0]]])
    directions = torch.tensor([[[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]]) + 1e-7
    from unlearnkit_eg3d.volume import limits

    near, far = limits(origins, directions, RenderSettings(near=None, far=None, box_warp=1.0))
    assert_close(near[0, 0], torch.tensor([1.5]), rtol=0, atol=1e-4)
    assert_close(far[0, 0], torch.tensor([2.5]), rtol=0, atol=1e-4)
    assert bool((near == near[0, 0]).all())  # the ray that misses takes the others' range


# ---------------------------------------------------------------- cameras

def test_the_front_camera() -> None:
    front = cameras(torch.zeros(1), torch.zeros(1), torch.tensor([0.0, 0.0, 0.2]))
    pose = front[0, :16].view(4, 4)
    assert_close(pose[:3, 3], torch.tensor([0.0, 0.0, 2.7]), rtol=0, atol=1e-5)
    assert_close(pose[:3, 2], torch.tensor([0.0, 0.0, -1.0]), rtol=0, atol=1e-5)
    assert focal_length() == pytest.approx(4.2634, abs=2e-4)
    assert check_cameras(front, 1) is front


@pytest.mark.parametrize(("spoil", "says"), [
    (lambda c: None, "got|none"), (lambda c: c[:, :16], r"\(1, 16\)"),
    (lambda c: c.clone().fill_(float("nan")), "not finite"),
    (lambda c: torch.cat([c[:, :16] * 2, c[:, 16:]], 1), "no rotation"),
    (lambda c: torch.cat([c[:, :1] * -1, c[:, 1:4], c[:, 4:5] * -1, c[:, 5:8], c[:, 8:9] * -1, c[:, 9:]], 1),
     "mirrors"),
])
def test_wrong_cameras_are_refused(network, case, spoil, says: str) -> None:
    _, t = case
    camera = cameras(torch.tensor([0.1]), torch.tensor([-0.2]), torch.zeros(3))
    with pytest.raises(ShapeError, match=says):
        network(t["in/ws"][:1], spoil(camera))


def test_views_of_training_and_evaluation() -> None:
    generator = EG3D(checkpoint=FILE)
    generator.prepare(torch.device("cpu"))
    assert generator.evaluation_views().shape == (11, 25)
    views = generator.sample_views(200, torch.Generator().manual_seed(0))
    angle = torch.atan2(views[:, 3], views[:, 11])
    assert float(angle.abs().max()) < 3.1416 / 12 and float(angle.std()) > 0.1
    origin = EG3D(checkpoint=FILE, pivot="origin")
    origin.prepare(torch.device("cpu"))
    assert not torch.equal(origin.evaluation_views(), generator.evaluation_views())


def test_each_generator_refuses_the_others_file() -> None:
    with pytest.raises(CheckpointError, match="EG3D"):
        StyleGAN2(checkpoint=FILE).prepare(torch.device("cpu"))
    with pytest.raises(CheckpointError, match="--generator stylegan2"):
        EG3D(checkpoint=GOLDEN / "sg2_ada_32.pkl").prepare(torch.device("cpu"))
