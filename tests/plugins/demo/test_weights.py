"""The weights that ship do what their cards say, on the ten held-out people whose pictures ship with them.

The margins are wide: these are forty pictures, the cards' figures come from three thousand.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import unlearnkit_demo
from unlearnkit_demo.components import (
    WEIGHTS,
    DemoIdentity,
    DemoInverter,
    DemoInverter3D,
    DemoJudge,
    DemoPerceptual,
)
from unlearnkit_demo.training.data import psnr
from unlearnkit_demo.training.encoders import verification
from unlearnkit_eg3d.generator import EG3D
from unlearnkit_stylegan2.generator import StyleGAN2

from unlearnkit.checkpoints import read_tensors
from unlearnkit.errors import CheckpointError, ConfigError
from unlearnkit.people.requests import load_picture
from unlearnkit.testing.world import ToyGenerator

CPU = torch.device("cpu")
PEOPLE, EACH = 10, 4
RAW_PSNR, PICTURE_PSNR = 22.5, 23.5


@pytest.fixture(scope="module")
def pictures() -> torch.Tensor:
    """Forty pictures ``(40, 3, 128, 128)``, four of each of ten people."""
    paths = sorted(unlearnkit_demo.PICTURES.glob("person_*.png"))
    assert len(paths) == PEOPLE * EACH
    return torch.stack([load_picture(path, 128) for path in paths])


@pytest.fixture(scope="module")
def generator() -> StyleGAN2:
    made = StyleGAN2(checkpoint=unlearnkit_demo.CHECKPOINTS["stylegan2"])
    made.prepare(CPU)
    return made


def prepared(component):
    component.prepare(CPU)
    return component


def test_all_weights_together_are_small_and_say_where_they_come_from() -> None:
    paths = sorted(WEIGHTS.glob("*.safetensors"))
    assert {path.stem for path in paths} == {
        "eg3d_128", "identity", "inverter", "inverter_3d", "judge", "stylegan2_128", "trunk",
    }
    assert sum(path.stat().st_size for path in paths) < 60e6
    assert (WEIGHTS / "eg3d_128.safetensors").stat().st_size < 15e6
    for path in paths:
        _, metadata = read_tensors(path)
        assert {"seed", "measured", "licence"} <= set(metadata), path.name


@torch.no_grad()
def test_the_generator_draws_people_it_has_never_seen(generator: StyleGAN2, pictures: torch.Tensor) -> None:
    p = torch.from_numpy(np.load(Path(__file__).parent / "held_out.npz")["p"])
    made = generator.render(generator.map(p)).image.clamp(-1, 1)
    assert float(psnr(made, pictures).mean()) > 27
    strangers = psnr(made, pictures.roll(EACH, 0))
    assert float(strangers.mean()) < 20  # it is these people that it draws


@pytest.fixture(scope="module")
def views() -> dict[str, torch.Tensor]:
    """The ten people, each seen by another of EG3D's cameras: parameters, cameras, pictures, depths."""
    with np.load(Path(__file__).parent / "held_out_views.npz") as file:
        found = {name: torch.from_numpy(file[name]) for name in file.files}
    found["image"] = found["image"].permute(0, 3, 1, 2).float() / 127.5 - 1
    return found | {"depth": found["depth"][:, None].float()}


@pytest.fixture(scope="module")
def spatial() -> EG3D:
    made = EG3D(checkpoint=unlearnkit_demo.CHECKPOINTS["eg3d"])
    made.prepare(CPU)
    return made


@torch.no_grad()
def test_the_eg3d_draws_people_it_has_never_seen_from_cameras_it_has_never_seen(spatial: EG3D, views) -> None:
    drawn = spatial.draw(spatial.map(views["p"]), views["camera"])
    small = torch.nn.functional.interpolate(views["image"], size=64, mode="area")
    assert float(psnr(drawn.raw.clamp(-1, 1), small).mean()) > RAW_PSNR
    assert float(psnr(drawn.image.clamp(-1, 1), views["image"]).mean()) > PICTURE_PSNR
    strangers = psnr(drawn.image.clamp(-1, 1), views["image"].roll(1, 0))
    assert float(strangers.mean()) < 19


@torch.no_grad()
def test_its_depth_is_a_head_and_not_a_plane(spatial: EG3D, views) -> None:
    depth = spatial.draw(spatial.map(views["p"]), views["camera"]).depth
    known = views["depth"] > 0
    error = ((depth - views["depth"]).abs() * known).sum() / known.sum()
    plane = views["depth"][known].mean()
    flat = ((plane - views["depth"]).abs() * known).sum() / known.sum()
    assert float(error) < 0.6 * float(flat), (float(error), float(flat))
    both = torch.stack([depth[known], views["depth"][known]])
    assert float(torch.corrcoef(both)[0, 1]) > 0.8


@torch.no_grad()
def test_yaw_and_pitch_of_z_are_the_cameras_business(spatial: EG3D, views) -> None:
    p = views["p"][:1].repeat(2, 1)
    p[1, [32, 33]] = p[0, [33, 32]]  # the same length, so nothing else changes
    latents = spatial.map(p)
    torch.testing.assert_close(latents[0], latents[1], rtol=0, atol=1e-5)


def test_a_reconstruction_in_space_is_the_same_person(spatial: EG3D, pictures: torch.Tensor) -> None:
    judge, some = prepared(DemoJudge()), pictures[[0, 9, 22, 35]]
    latents = prepared(DemoInverter3D(refine_steps=4)).invert(some, spatial)
    around = spatial.evaluation_views()[[0, 5, 10]]
    with torch.no_grad():
        seen = torch.stack([judge.embed(spatial.render(latent.expand(3, -1, -1), around).image) for latent in latents])
        close = (seen * judge.embed(some)[:, None]).sum(2)
    assert float(close.mean()) > 0.6 * judge.levels()["same_person"], close


@pytest.mark.parametrize("encoder", [DemoIdentity, DemoJudge])
@torch.no_grad()
def test_an_encoder_tells_people_apart(encoder, pictures: torch.Tensor) -> None:
    made = prepared(encoder())
    person = torch.arange(PEOPLE).repeat_interleave(EACH)
    found = verification(made.embed(pictures), person)
    assert found["auc"] >= 0.99
    levels = made.levels()
    assert found["same_person"] == pytest.approx(levels["same_person"], abs=0.05)
    assert found["strangers"] == pytest.approx(levels["strangers"], abs=0.1)


def test_the_encoders_are_different_networks() -> None:
    a, b = prepared(DemoIdentity()), prepared(DemoJudge())
    assert type(a._network) is not type(b._network)


def test_a_reconstruction_is_the_same_person(generator: StyleGAN2, pictures: torch.Tensor) -> None:
    judge, some = prepared(DemoJudge()), pictures[[0, 9, 22, 35]]
    rough = prepared(DemoInverter(refine_steps=0)).invert(some, generator)
    fine = prepared(DemoInverter(refine_steps=10)).invert(some, generator)
    with torch.no_grad():
        wanted = judge.embed(some)
        images = [generator.render(latents).image for latents in (rough, fine)]
        close = [float((judge.embed(image) * wanted).sum(1).mean()) for image in images]
        error = [float((image - some).abs().mean()) for image in images]
    assert min(close) > 0.8 * judge.levels()["same_person"], close
    assert error[1] < error[0]  # refinement earns its time


@torch.no_grad()
def test_the_trunk_sees_more_than_pixels(pictures: torch.Tensor) -> None:
    trunk = prepared(DemoPerceptual())
    features = trunk.features(pictures[:8])
    same = trunk.distance(features, features)
    other = trunk.distance(features, [part.roll(EACH, 0) for part in features])
    brighter = trunk.distance(features, trunk.features((pictures[:8] + 0.05).clamp(-1, 1)))
    assert float(same.abs().max()) == 0 and float(brighter.max()) < float(other.min())


def test_the_inverter_knows_only_its_generator(pictures: torch.Tensor) -> None:
    with pytest.raises(ConfigError, match="knows only the bundled StyleGAN2"):
        prepared(DemoInverter()).invert(pictures[:1], ToyGenerator())


def test_each_inverter_refuses_the_other_generator(
    generator: StyleGAN2, spatial: EG3D, pictures: torch.Tensor
) -> None:
    for inverter, other in ((DemoInverter(), spatial), (DemoInverter3D(), generator)):  # latents have the same shape
        with pytest.raises(ConfigError, match="knows only the bundled"):
            prepared(inverter).invert(pictures[:1], other)


def test_missing_weights_are_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("unlearnkit_demo.components.WEIGHTS", tmp_path)
    with pytest.raises(CheckpointError, match=r"judge\.safetensors is missing"):
        prepared(DemoJudge())
