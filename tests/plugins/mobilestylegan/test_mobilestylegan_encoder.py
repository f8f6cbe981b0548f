"""The encoder for photos and its inverter: on toys, and where the files are there on a new person."""

from __future__ import annotations

from pathlib import Path

import attrs
import numpy as np
import pytest
import torch
from mobilestylegan_ir import DIM, write_ir
from unlearnkit_mobilestylegan.encoder import FORMAT, GROUPS, SHIPPED, SIDE, Encoder, features, spread
from unlearnkit_mobilestylegan.files import FILES
from unlearnkit_mobilestylegan.generator import MobileStyleGAN
from unlearnkit_mobilestylegan.inverter import EncoderInverter
from unlearnkit_mobilestylegan.training import encoder as training
from unlearnkit_mobilestylegan.training import pictures
from unlearnkit_mobilestylegan.training.augment import augmented

from unlearnkit.checkpoints import write_tensors
from unlearnkit.config import option
from unlearnkit.errors import CheckpointError, ConfigError, ShapeError, UnlearnkitError
from unlearnkit.plugins import registry
from unlearnkit.testing import Check, Subject, ToyGenerator, ToyIdentity, ToyPerceptual, parametrize_with_checks
from unlearnkit.weights import present


@attrs.define(eq=False)
class ToyInverter(EncoderInverter):
    """The inverter with toys for its networks, and an encoder of random numbers for latents of three numbers a row."""

    steps: int = option(3, ge=0, unit="steps", help="optimisation steps per picture")

    def check(self) -> None: ...

    def prepare(self, device: torch.device) -> None:
        self._identity, self._perceptual = ToyIdentity(), ToyPerceptual()
        size = features(torch.zeros(1, 3, 4, 4), self._perceptual, self._identity).shape[1]
        rng = torch.Generator().manual_seed(0)
        self._encoder = Encoder(torch.randn(size, 2, generator=rng) / size, torch.randn(2, 12, generator=rng),
                                torch.full((12,), 0.1), 2)


@parametrize_with_checks([ToyInverter])
def test_conformance(component: Subject, check: Check) -> None:
    check(component)


@pytest.fixture
def inverter() -> ToyInverter:
    made = ToyInverter(steps=60)
    made.prepare(torch.device("cpu"))
    return made


def test_refinement_comes_closer(inverter: ToyInverter) -> None:
    generator = ToyGenerator()
    wanted = generator.render(generator.sample_latents(3, torch.Generator().manual_seed(3))).image.detach()
    refined = inverter.invert(wanted, generator)
    inverter.steps = 0
    errors = [(generator.render(latents).image - wanted).abs().mean((1, 2, 3))
              for latents in (inverter.invert(wanted, generator), refined)]
    assert bool((errors[1] < 0.8 * errors[0]).all()), errors


def test_rows_that_must_stay_together_do(inverter: ToyInverter) -> None:
    generator = ToyGenerator()
    wanted = generator.render(torch.tensor([[[1.0, 0, -1], [-1, 1, 0]]])).image.detach()
    free = _apart(inverter.invert(wanted, generator))
    inverter.together = 100.0
    assert _apart(inverter.invert(wanted, generator)) < 0.5 * free


def _apart(latents: torch.Tensor) -> float:
    return float((latents - latents.mean(1, keepdim=True)).norm())


def test_wrong_generators_and_pictures_are_refused(inverter: ToyInverter, tmp_path: Path) -> None:
    other = MobileStyleGAN(checkpoint=write_ir(tmp_path / "ir"), output_size=64, feature_resolution=16)
    other.prepare(torch.device("cpu"))
    with pytest.raises(ConfigError, match="try --inverter optimise"):
        inverter.invert(torch.zeros(1, 3, 64, 64), other)
    with pytest.raises(ShapeError, match="resize"):
        inverter.invert(torch.zeros(1, 3, 8, 8), ToyGenerator())


@pytest.mark.parametrize("rows", [2, 11, 23])
def test_every_row_belongs_to_a_group(rows: int) -> None:
    groups = torch.arange(4.0).view(1, 4, 1)
    wanted = [sum(row >= start for start in GROUPS) - 1 for row in range(rows)]
    assert spread(groups, rows).flatten().tolist() == wanted


def test_an_encoder_survives_its_file(tmp_path: Path) -> None:
    made = Encoder(torch.randn(5, 2), torch.randn(2, 8), torch.randn(8), 5)
    training.write(made, {}, tmp_path / "encoder.safetensors")
    read = Encoder.read(tmp_path / "encoder.safetensors", torch.device("cpu"))
    assert (read.rows, read.dim) == (5, 2)
    x = torch.randn(3, 5)
    torch.testing.assert_close(read(x), made(x), atol=2e-2, rtol=1e-2)


@pytest.mark.parametrize("change", [{"down": torch.zeros(5, 3)}, {"bias": torch.zeros(7)}, {"up": torch.zeros(8)}])
def test_another_file_is_no_encoder(tmp_path: Path, change: dict[str, torch.Tensor]) -> None:
    tensors = {"down": torch.zeros(5, 2), "up": torch.zeros(2, 8), "bias": torch.zeros(8)} | change
    write_tensors(tmp_path / "wrong.safetensors", tensors, {"format": FORMAT, "rows": "23"})
    with pytest.raises(CheckpointError, match=r"is no encoder for mobilestylegan"):
        Encoder.read(tmp_path / "wrong.safetensors", torch.device("cpu"))


def test_a_missing_encoder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"does not exist; give an encoder"):
        EncoderInverter(weights=tmp_path / "none.safetensors").check()


def test_what_ships_is_small_and_sound() -> None:
    assert SHIPPED.stat().st_size < 15e6
    encoder = Encoder.read(SHIPPED, torch.device("cpu"))
    assert (encoder.rows, encoder.dim) == (23, 512)
    assert all(bool(tensor.isfinite().all()) for tensor in (encoder.down, encoder.up, encoder.bias))


def test_the_fit_finds_a_map_of_low_rank() -> None:
    rng = torch.Generator().manual_seed(0)
    x, a, b = (torch.randn(*shape, generator=rng) for shape in ((60, 80), (80, 2), (2, 8)))
    wide = x[:, :10] @ torch.randn(10, 80, generator=rng)  # features that lie in ten directions
    y = wide @ a @ b
    encoder, facts = training.fit(wide[:50], y[:50] + 3, wide[50:], y[50:] + 3, rank=2)
    assert facts["rank"] == 2 and min(facts["explained_at_rank"]) > 0.5
    made = encoder(wide[50:])[:, list(GROUPS)].flatten(1) - 3
    assert min(training.explained(made, y[50:])) == pytest.approx(min(facts["explained_at_rank"]), abs=0.02)


def test_shards_are_drawn_once_and_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "SHARD", 3)
    generator = MobileStyleGAN(checkpoint=write_ir(tmp_path / "ir"), output_size=64, feature_resolution=16,
                               training_resolution=1024)
    generator.prepare(torch.device("cpu"))
    for number in (0, 1):
        pictures.draw(generator, number, tmp_path / f"shard_{number:04d}.npz")
    found = list(pictures.shards(tmp_path))
    assert [path.name for path, _ in found] == ["shard_0000.npz", "shard_0001.npz"]
    assert found[0][1].shape == (3, 4, DIM) and not torch.equal(found[0][1], found[1][1])
    with np.load(found[0][0]) as shard, torch.no_grad():
        drawn = generator.render(spread(found[0][1], generator.num_ws)).image
        again = (drawn.clamp(-1, 1) + 1) * 127.5
        assert int((again.round() - torch.from_numpy(shard["pictures"]).float()).abs().max()) == 0
    with pytest.raises(SystemExit, match=r"holds no shard"):
        list(pictures.shards(tmp_path / "ir"))


def test_augmented_pictures_keep_shape_and_range_and_depend_on_the_seed() -> None:
    images = torch.rand(16, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) * 2 - 1
    first, same, other = (augmented(images, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert first.shape == images.shape and float(first.abs().max()) <= 1
    assert torch.equal(first, same) and not torch.equal(first, other)
    untouched = sum(torch.equal(a, b) for a, b in zip(first, images, strict=True))
    assert 0 < untouched < 10


@pytest.mark.slow
def test_a_drawn_person_is_found_again() -> None:
    try:
        inverter = EncoderInverter(steps=10)
        inverter.check()
    except UnlearnkitError as error:
        pytest.skip(str(error))
    if any(present(file) is None for file in FILES):
        pytest.skip("unlearnkit fetch photoreal")
    generator = MobileStyleGAN(output_size=128, training_resolution=1024)
    for part in (generator, inverter):
        part.prepare(torch.device("cpu"))
    judge = registry().component_class("perceptual", "st-lpips")()
    judge.prepare(torch.device("cpu"))
    latents = generator.sample_latents(2, torch.Generator().manual_seed(77))
    with torch.no_grad():
        wanted = generator.render(latents).image.clamp(-1, 1)
        latent = inverter.invert(wanted[:1], generator)
        found = judge.features(generator.render(latent).image)
        near, far = (float(judge.distance(found, judge.features(image[None]))) for image in wanted)
    assert near < 0.7 * far, (near, far)
