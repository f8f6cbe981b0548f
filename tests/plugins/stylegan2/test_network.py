import copy

import pytest
import torch
from torch.testing import assert_close
from unlearnkit_stylegan2.layers import SynthesisBlock
from unlearnkit_stylegan2.network import ARCHITECTURES, Generator, block_channels, block_resolutions

from unlearnkit.errors import ShapeError


@pytest.mark.parametrize("resolution", [8, 16, 64, 128])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_shapes(small, resolution, architecture):
    network = small(img_resolution=resolution, architecture=architecture)
    rows = 2 * (resolution.bit_length() - 1) - 2
    ws = network.mapping(torch.randn(2, 16))
    assert ws.shape == (2, rows, 24) and network.num_ws == rows
    image, features = network.synthesis(ws, feature=8)
    assert image.shape == (2, 3, resolution, resolution) and features.shape == (2, 16, 8, 8)
    assert_close(network.synthesis(ws), image, rtol=0, atol=0)


@pytest.mark.parametrize("resolution", [0, 4, 48, 2048, 2**20])
def test_resolutions_that_no_stylegan2_has(resolution):
    with pytest.raises(ShapeError, match="power of two from 8 to 1024"):
        Generator(z_dim=8, c_dim=0, w_dim=8, img_resolution=resolution)


def test_widths():
    assert block_resolutions(32) == [4, 8, 16, 32]
    assert block_channels(256, 16384, 512)[256] == 64 and block_channels(256, 32768, 512)[256] == 128
    assert set(block_channels(32, 32768, 512).values()) == {512}


def test_any_channels_can_be_given(small):
    channels = {4: 5, 8: 7, 16: 3, 32: 2}
    network = small(channels=channels)
    assert {r: getattr(network.synthesis, f"b{r}").conv1.weight.shape[0] for r in channels} == channels


def test_state_dict_names(small):
    names = small(c_dim=3).state_dict().keys()
    assert {"mapping.fc0.weight", "mapping.w_avg", "mapping.embed.bias", "synthesis.b4.const",
            "synthesis.b8.conv0.affine.weight", "synthesis.b8.conv0.noise_const",
            "synthesis.b8.resample_filter", "synthesis.b8.conv1.noise_strength",
            "synthesis.b32.torgb.bias"} <= names
    assert "synthesis.b4.conv0.weight" not in names and "synthesis.b8.torgb.resample_filter" not in names


def test_truncation(small):
    mapping, z = small().mapping, torch.randn(3, 16)
    ws = mapping(z)
    half = mapping(z, truncation_psi=0.5, truncation_cutoff=3)
    assert_close(half[:, :3], (ws[:, :3] + mapping.w_avg) / 2)
    assert_close(half[:, 3:], ws[:, 3:])
    assert_close(mapping(z, truncation_psi=0.0), mapping.w_avg.expand(3, mapping.num_ws, -1))


def test_conditioning(small):
    mapping, z = small(c_dim=4).mapping, torch.randn(2, 16)
    first, second = mapping(z, torch.eye(4)[[0, 0]]), mapping(z, torch.eye(4)[[0, 1]])
    assert_close(first[0], second[0])
    assert (first[1] - second[1]).abs().max() > 1e-3


def test_noise_modes(small):
    synthesis = small().synthesis
    ws = torch.randn(2, synthesis.num_ws, 24)

    def drawn(mode, seed=None):
        return synthesis(ws, noise_mode=mode, generator=seed and torch.Generator().manual_seed(seed))

    assert_close(drawn("const"), drawn("const"), rtol=0, atol=0)
    assert_close(drawn("random", 1), drawn("random", 1), rtol=0, atol=0)
    for a, b in [("const", "none"), ("random", "none"), ("random", "const"), ("random", "random")]:
        assert (drawn(a) - drawn(b)).abs().max() > 1e-2


def test_training_and_evaluation_are_the_same(small):
    network = small()
    z = torch.randn(2, 16)
    assert_close(network.train()(z), network.eval()(z), rtol=0, atol=0)


def test_pictures_do_not_depend_on_the_batch(small):
    synthesis = small().synthesis
    ws = torch.randn(3, synthesis.num_ws, 24)
    assert_close(synthesis(ws)[1:2], synthesis(ws[1:2]), rtol=0, atol=1e-5)


def test_double_precision_latents_are_accepted(small):
    synthesis = small().synthesis
    ws = torch.randn(1, synthesis.num_ws, 24)
    assert_close(synthesis(ws.double()), synthesis(ws))


def test_clamp_limits_features(small):
    synthesis = small(conv_clamp=0.5).synthesis
    image, features = synthesis(torch.randn(2, synthesis.num_ws, 24), feature=32)
    assert features.abs().max() <= 0.5 and image.abs().max() <= 4 * 0.5 + 1


def test_every_synthesis_parameter_gets_a_gradient(small):
    for architecture in ARCHITECTURES:
        synthesis = small(architecture=architecture).synthesis
        synthesis(torch.randn(2, synthesis.num_ws, 24)).square().mean().backward()
        for name, parameter in synthesis.named_parameters():
            assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


def test_a_copy_is_independent(small):
    network = small()
    other = copy.deepcopy(network)
    other.synthesis.b4.const.data.zero_()
    assert network.synthesis.b4.const.abs().max() > 0


def test_a_block_that_keeps_its_resolution():
    block = SynthesisBlock(6, 4, w_dim=5, resolution=16, img_channels=3, is_last=True, up=1)
    x, image = block(torch.randn(2, 6, 16, 16), torch.randn(2, 3, 16, 16), torch.randn(2, 3, 5))
    assert x.shape == (2, 4, 16, 16) and image.shape == (2, 3, 16, 16)


def test_wrong_arguments_name_what_is_needed(small):
    network = small()
    ws = torch.zeros(1, network.num_ws, 24)
    for call, text in [
        (lambda: network.mapping(torch.zeros(2, 5)), r"\(N, 16\)"),
        (lambda: small(c_dim=3).mapping(torch.zeros(2, 16)), r"\(2, 3\)"),
        (lambda: network.synthesis(ws[:, 1:]), r"\(N, 8, 24\)"),
        (lambda: network.synthesis(ws, feature=12), "4, 8, 16, 32"),
        (lambda: network.synthesis(ws, noise_mode="loud"), "const, random, none"),
        (lambda: small(architecture="tower"), "skip, resnet, orig"),
    ]:
        with pytest.raises(ShapeError, match=text):
            call()
