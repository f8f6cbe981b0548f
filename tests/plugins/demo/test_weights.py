"""The weights that ship do what their cards say, on the ten held-out people whose pictures ship with them.

The margins are wide: these are forty pictures, the cards' figures come from three thousand.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import unlearnkit_demo
from unlearnkit_demo.components import WEIGHTS, DemoIdentity, DemoInverter, DemoJudge, DemoPerceptual
from unlearnkit_demo.training.data import psnr
from unlearnkit_demo.training.encoders import verification
from unlearnkit_stylegan2.generator import StyleGAN2

from unlearnkit.checkpoints import read_tensors
from unlearnkit.errors import CheckpointError, ConfigError
from unlearnkit.requests import load_picture
from unlearnkit.testing.world import ToyGenerator

CPU = torch.device("cpu")
PEOPLE, EACH = 10, 4


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
    assert {path.stem for path in paths} == {"identity", "inverter", "judge", "stylegan2_128", "trunk"}
    assert sum(path.stat().st_size for path in paths) < 40e6
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
    with pytest.raises(ConfigError, match="knows only the bundled generator"):
        prepared(DemoInverter()).invert(pictures[:1], ToyGenerator())


def test_missing_weights_are_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("unlearnkit_demo.components.WEIGHTS", tmp_path)
    with pytest.raises(CheckpointError, match=r"judge\.safetensors is missing"):
        prepared(DemoJudge())
