"""MobileStyleGAN: its arithmetic against plain formulas, its published file against OpenVINO, its edits."""

from __future__ import annotations

import copy
import os
from pathlib import Path

import pytest
import torch
from mobilestylegan_ir import write_ir
from torch.nn import functional as F
from unlearnkit_mobilestylegan.drafts import Draft
from unlearnkit_mobilestylegan.files import FILES, MAPPING, SYNTHESIS
from unlearnkit_mobilestylegan.generator import MobileStyleGAN
from unlearnkit_mobilestylegan.loading import network_of, tensors_of_files
from unlearnkit_mobilestylegan.network import Layer, inverse_haar

from unlearnkit.edits.file import apply_edit, put_on, save_edit
from unlearnkit.errors import CheckpointError, ConfigError, ShapeError
from unlearnkit.ops.reduced import bfloat16_maps
from unlearnkit.weights import present


@pytest.fixture
def generator(tmp_path: Path) -> MobileStyleGAN:
    made = MobileStyleGAN(checkpoint=write_ir(tmp_path / "ir"), output_size=64, feature_resolution=16)
    made.prepare(torch.device("cpu"))
    return made


def test_the_inverse_haar_undoes_a_haar() -> None:
    pictures = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    a, b, c, d = (pictures[..., y::2, x::2] for y in (0, 1) for x in (0, 1))
    low = (a + b + c + d) / 2
    highs = torch.stack([(a + b - c - d) / 2, (a - b + c - d) / 2, (a - b - c + d) / 2], 2)
    torch.testing.assert_close(inverse_haar(torch.cat([low, highs.flatten(1, 2)], 1)), pictures)


def test_a_layer_by_hand() -> None:
    torch.manual_seed(0)
    layer = Layer(4, 6, 8, 5, separable=True)
    for tensor in layer.state_dict().values():
        tensor.normal_()
    x, w = torch.randn(2, 4, 8, 8), torch.randn(2, 5)
    style = (w @ layer.style.weight.T + layer.style.bias) / (9 * 4) ** 0.5
    wanted = F.conv2d(F.conv2d(x * style[:, :, None, None], layer.depthwise, padding=1, groups=4), layer.weight)
    wanted = F.leaky_relu(wanted + layer.noise + layer.bias[:, None, None], 0.2)
    torch.testing.assert_close(layer(x, w), wanted)


def test_smaller_pictures_are_means(generator: MobileStyleGAN) -> None:
    latents = generator.sample_latents(2, torch.Generator().manual_seed(1))
    with torch.no_grad():
        whole = generator.module.synthesis(latents, 64, 16)[0]
        for size in (32, 16, 8):
            drawn = generator.module.synthesis(latents, size, 16)[0]
            torch.testing.assert_close(drawn, F.avg_pool2d(whole, 64 // size))


def test_one_at_a_time_draws_the_same(generator: MobileStyleGAN) -> None:
    latents = generator.sample_latents(3, torch.Generator().manual_seed(1))
    together = generator.render(latents)
    with torch.no_grad():
        singly = generator.render(latents)
    torch.testing.assert_close(singly.image, together.image.detach())
    torch.testing.assert_close(singly.features, together.features.detach())


def test_an_edit_goes_into_a_file_that_reads_as_a_checkpoint(generator: MobileStyleGAN, tmp_path: Path) -> None:
    edited = MobileStyleGAN(checkpoint=generator.checkpoint, output_size=64, feature_resolution=16)
    edited.prepare(torch.device("cpu"))
    with torch.no_grad():
        edited.module.synthesis.blocks[0].conv1.weight.add_(0.1)
    save_edit(tmp_path / "edit.safetensors", generator, edited, "mobilestylegan", "guide")
    apply_edit(tmp_path / "edit.safetensors", generator.base.path, tmp_path / "edited.safetensors", MobileStyleGAN)
    again = MobileStyleGAN(checkpoint=tmp_path / "edited.safetensors", output_size=64, feature_resolution=16)
    again.prepare(torch.device("cpu"))
    latents = generator.sample_latents(1, torch.Generator().manual_seed(1))
    assert torch.equal(again.render(latents).image, edited.render(latents).image)
    assert torch.equal(again.w_avg, generator.w_avg)
    put_on(generator, tmp_path / "edit.safetensors")
    assert torch.equal(generator.render(latents).image, edited.render(latents).image)


def test_what_is_refused(generator: MobileStyleGAN, tmp_path: Path) -> None:
    with pytest.raises(ShapeError, match="expected latents"):
        generator.render(torch.zeros(1, 3, 16))
    with pytest.raises(ShapeError, match="expected"):
        generator.map(torch.zeros(1, 3))
    with pytest.raises(ConfigError, match="output_size: got 512"):
        MobileStyleGAN(checkpoint=generator.checkpoint, output_size=512).prepare(torch.device("cpu"))
    with pytest.raises(CheckpointError, match="does not exist"):
        MobileStyleGAN(checkpoint=tmp_path / "nothing").check()
    (generator.base.path.parent / "MappingNetwork.bin").unlink()
    with pytest.raises(CheckpointError, match=r"MappingNetwork\.bin does not exist"):
        MobileStyleGAN(checkpoint=generator.checkpoint).check()


def test_without_files_the_command_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(ConfigError, match="unlearnkit fetch mobilestylegan-"):
        MobileStyleGAN().check()
    assert all("research only" in file.licence and file.groups == ("photoreal",) for file in FILES)


GOLDEN = Path(os.environ.get("UNLEARNKIT_GOLDEN", "")) / "mobilestylegan_ffhq1024.safetensors"
CROP = slice(480, 544)


@pytest.mark.slow
@pytest.mark.skipif(not GOLDEN.is_file() or any(present(file) is None for file in FILES),
                    reason="needs UNLEARNKIT_GOLDEN and 'unlearnkit fetch photoreal'")
@pytest.mark.parametrize(("double", "most", "mean"), [(True, 1.5e-4, 1e-5), (False, 4e-4, 1e-5)])
def test_what_openvino_draws(double: bool, most: float, mean: float) -> None:
    from safetensors.torch import load_file

    golden = load_file(GOLDEN)
    files = [present(file) for file in (*MAPPING, *SYNTHESIS)]
    network = network_of(tensors_of_files((files[0], files[1]), (files[2], files[3])), "here", double)
    dtype = torch.float64 if double else torch.float32
    with torch.no_grad():
        assert (network.mapping(golden["z"].to(dtype)) - golden["w"]).abs().max() < most
        for number, w in enumerate(golden["w"].to(dtype)):
            image = network.synthesis(w.expand(1, 23, -1), 1024, 64)[0]
            apart = (image[:, :, CROP, CROP] - golden["image_crop"][number]).abs()
            assert apart.max() < most and apart.mean() < mean
        image = network.synthesis(golden["w_plus"].to(dtype), 1024, 64)[0]
        assert (F.avg_pool2d(image, 4) - golden["w_plus_image_mean256"]).abs().max() < most, "23 different rows"


def test_drafts_stop_early_and_are_the_same_on_both_sides(generator: MobileStyleGAN) -> None:
    generator._draft = Draft(generator.module, 16)
    for parameter in generator.editable_parameters().values():
        parameter.requires_grad_()
    frozen, latents = copy.deepcopy(generator), generator.sample_latents(2, torch.Generator().manual_seed(1))
    whole = generator.render(latents)
    with generator.drafting(), frozen.drafting():
        drafted = generator.render(latents)
        assert torch.equal(drafted.image, frozen.render(latents).image)
        drafted.image.square().mean().backward()
    assert drafted.image.shape == whole.image.shape and torch.equal(drafted.features, whole.features)
    assert not torch.equal(drafted.image, whole.image)
    reached = {name for name, value in generator.editable_parameters().items() if value.grad is not None}
    assert any("blocks.1." in name for name in reached) and not any("to_image" in name for name in reached)
    assert not any("blocks.2." in name for name in reached), "the block of 32 pixels is left out"
    assert torch.equal(generator.render(latents).image, whole.image), "outside nothing changes"


def test_the_head_is_the_least_squares_solution(generator: MobileStyleGAN) -> None:
    """Pictures that are a linear function of the block's output are found exactly."""
    network = generator.module
    weight, bias = torch.randn(3, network.synthesis.blocks[1].conv2.weight.shape[0], 1, 1), torch.randn(3)

    def linear(latents: torch.Tensor, output: int, feature: int) -> tuple[torch.Tensor, torch.Tensor]:
        x, features = network.synthesis.trunk(latents, feature, output)
        return F.conv2d(x, weight, bias), features

    draft = Draft(network, 16)
    draft._network.synthesis.forward = linear
    torch.testing.assert_close(draft.head[0], weight, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(draft.head[1], bias, rtol=1e-3, atol=1e-3)


def test_features_beyond_the_draft_are_refused(tmp_path: Path) -> None:
    made = MobileStyleGAN(checkpoint=write_ir(tmp_path / "ir"), feature_resolution=128, training_resolution=64)
    with pytest.raises(ConfigError, match=r"got 128, .* stops at 64; raise training_resolution too"):
        made.check()


def test_the_inverse_haar_with_channels_last_is_the_same() -> None:
    bands = torch.randn(2, 12, 32, 32).bfloat16()
    wanted = inverse_haar(bands.double())
    made = inverse_haar(bands.contiguous(memory_format=torch.channels_last))
    assert made.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(made.double(), wanted, atol=0.05, rtol=0.02)


@pytest.mark.parametrize("samples", [1, 2])
def test_bfloat16_is_near_float32(generator: MobileStyleGAN, monkeypatch: pytest.MonkeyPatch, samples: int) -> None:
    monkeypatch.setattr("unlearnkit.ops.reduced.MIN_PIXELS", 8 * 8)
    generator._draft = Draft(generator.module, 32)
    parameters = generator.editable_parameters()
    latents = generator.sample_latents(samples, torch.Generator().manual_seed(1))
    found = []
    for on in (False, True):
        for parameter in parameters.values():
            parameter.requires_grad_().grad = None
        with generator.drafting(), bfloat16_maps(on):
            drawn = generator.render(latents)
            (drawn.image.square().mean() + drawn.features.square().mean()).backward()
        gradient = torch.cat([value.grad.flatten() for value in parameters.values() if value.grad is not None])
        found.append((drawn.image.detach().flatten(), drawn.features.detach().flatten(), gradient))
    for exact, rounded in zip(*found, strict=True):
        assert rounded.dtype == torch.float32 and not torch.equal(exact, rounded)
        assert F.cosine_similarity(exact, rounded, dim=0) > 0.99
    assert {value.dtype for value in parameters.values()} == {torch.float32}
