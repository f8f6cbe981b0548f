import attrs
import pytest
import torch
from torch.testing import assert_close
from unlearnkit_stylegan2.loading import estimate_w_avg, network_from_checkpoint

from unlearnkit.errors import CheckpointError

PUBLISHED = [
    ("stylegan2_ada_ffhq256_base16384", 256, 24_767_458, 64),
    ("stylegan2_ada_ffhq512_base32768", 512, 30_276_583, 64),
    ("stylegan2_ada_ffhq1024_base32768", 1024, 30_370_060, 32),
    ("rosinality_256", 256, 30_034_338, 128),
    ("rosinality_512", 512, 30_276_583, 64),
    ("rosinality_1024", 1024, 30_370_060, 32),
]


@pytest.mark.parametrize(("name", "resolution", "parameters", "width"), PUBLISHED)
def test_every_published_size_loads(name, resolution, parameters, width, keys, make_checkpoint):
    state = keys(name)
    if name.startswith("rosinality"):
        state["latent_avg"] = torch.zeros(512)
    network = network_from_checkpoint(make_checkpoint(state))
    assert (network.img_resolution, network.num_ws) == (resolution, 2 * (resolution.bit_length() - 1) - 2)
    assert sum(value.numel() for value in network.parameters()) == parameters
    assert network.synthesis.channels[resolution] == width
    assert network.mapping.num_layers == 8 and network.synthesis.architecture == "skip"


@pytest.mark.parametrize("settings", [
    {}, {"architecture": "resnet"}, {"architecture": "orig"}, {"c_dim": 3}, {"num_layers": 1},
    {"num_layers": 4}, {"channels": {4: 5, 8: 7, 16: 3, 32: 2}}, {"img_resolution": 8}, {"z_dim": 5},
    {"layer_features": 9}, {"c_dim": 3, "embed_features": 7}, {"resample_filter": (1.0, 2.0, 1.0)},
    {"resample_filter": (1.0, 5.0, 5.0, 1.0)},
], ids=str)
def test_settings_are_read_from_the_shapes(settings, small, make_checkpoint):
    before = small(**settings).eval()
    after = network_from_checkpoint(make_checkpoint(before.state_dict()))
    z, c = torch.randn(2, before.z_dim), torch.randn(2, before.c_dim)
    assert_close(after(z, c), before(z, c), rtol=0, atol=0)


def test_the_network_owns_its_tensors(small, make_checkpoint):
    state = small().state_dict()
    network = network_from_checkpoint(make_checkpoint(state))
    network.synthesis.b4.const.data.zero_()
    assert state["synthesis.b4.const"].abs().max() > 0
    assert all(value.requires_grad and value.dtype == torch.float32 for value in network.parameters())
    assert not network.training


def test_half_precision_and_channels_last_weights(small, make_checkpoint):
    state = small().state_dict()
    strange = {key: value.half() if value.ndim != 4 else value.to(memory_format=torch.channels_last)
               for key, value in state.items()}
    network = network_from_checkpoint(make_checkpoint(strange))
    for value in network.state_dict().values():
        assert value.is_contiguous() and value.dtype == torch.float32


NESTED = {"mapping_kwargs": {"num_layers": 2},
          "synthesis_kwargs": {"channel_base": 256, "channel_max": 16}}
FLAT = {"mapping_kwargs": {"num_layers": 2}, "channel_base": 256, "channel_max": 16, "num_fp16_res": 0,
        "fused_modconv_default": "inference_only"}


@pytest.mark.parametrize(("kwargs", "clamp", "multiplier"), [
    ({}, None, 0.01), (NESTED, None, 0.01), (FLAT, 256.0, 0.01), (FLAT | {"conv_clamp": None}, None, 0.01),
    (FLAT | {"conv_clamp": 8}, 8.0, 0.01),
    (NESTED | {"synthesis_kwargs": {"conv_clamp": 256}}, 256.0, 0.01),
    (NESTED | {"mapping_kwargs": {"lr_multiplier": 1}}, None, 1.0), ({"lr_multiplier": 1.0}, None, 1.0),
    ({"lr_multiplier": None}, None, 0.01),
])
def test_settings_that_shapes_cannot_tell(kwargs, clamp, multiplier, small, make_checkpoint):
    network = network_from_checkpoint(make_checkpoint(small().state_dict(), **kwargs))
    assert network.synthesis.b32.conv1.conv_clamp == clamp
    assert network.mapping.fc0.bias_gain == multiplier


def test_old_rosinality_files_without_noise(golden):
    checkpoint = golden("rosinality_32").checkpoint
    state = {key: value for key, value in checkpoint.state.items() if not key.startswith("noises.")}
    first, second = (network_from_checkpoint(attrs.evolve(checkpoint, state=state)) for _ in range(2))
    assert first.synthesis.b32.conv1.noise_const.std() > 0.5
    assert_close(first.synthesis.b32.conv1.noise_const, second.synthesis.b32.conv1.noise_const)


def test_a_missing_mean_latent_is_estimated(golden):
    checkpoint = golden("rosinality_32").checkpoint
    state = {key: value for key, value in checkpoint.state.items() if key != "latent_avg"}
    network = network_from_checkpoint(attrs.evolve(checkpoint, state=state))
    with torch.no_grad():
        w = network.mapping(torch.randn(20_000, 64, generator=torch.Generator().manual_seed(7)))[:, 0]
    assert (network.mapping.w_avg - w.mean(0)).abs().max() < 6 * w.std(0).max() / 100
    assert_close(estimate_w_avg(network.mapping), network.mapping.w_avg, rtol=0, atol=0)


def replaced(state, changes):
    return {key: value for key, value in (state | changes).items() if value is not None}


zeros = torch.zeros
grey = {f"synthesis.b{r}.torgb.{name}": zeros(1, *rest) for r in (4, 8, 16, 32)
        for name, rest in (("weight", (16, 1, 1)), ("bias", ()))}
huge = zeros(()).expand
blur = {"input.input": zeros(1, 2, 4, 4), "style.1.weight": zeros(4, 4), "synthesis.b4.const": None}

BROKEN = {  # tensors that are put in the place of a good network's, and a part of the message
    "NaN": ({"synthesis.b8.conv0.bias": zeros(16) / 0}, "b8.conv0.bias has numbers that are not finite"),
    "integers": ({"synthesis.b8.conv0.bias": zeros(16).long()}, "holds torch.int64"),
    "a missing tensor": ({"synthesis.b16.conv0.bias": None}, "lacks synthesis.b16.conv0.bias"),
    "a missing layer": ({"synthesis.b16.conv1.weight": None}, "b16.conv1.weight is missing"),
    "an unknown tensor": ({"synthesis.b16.conv2.bias": zeros(16)}, "no StyleGAN2 of its kind has"),
    "a wrong shape": ({"synthesis.b16.conv0.bias": zeros(4)}, r"has the shape \(4,\), not \(16,\)"),
    "a wrong rank": ({"synthesis.b16.conv1.weight": zeros(4)}, "not 4 dimensions"),
    "an empty tensor": ({"mapping.fc0.weight": zeros(24, 0)}, "not 2 dimensions of at least 1"),
    "a label wider than the input": ({"mapping.embed.weight": zeros(99, 3)}, "99 of them for the label"),
    "a gigantic block": ({f"synthesis.b{2**20}.conv1.weight": zeros(1)}, "at most 1024"),
    "a gigantic size": ({"mapping.fc0.weight": huge(24, 2**40)}, "beyond any StyleGAN2"),
    "gigantic in sum": ({"mapping.fc0.weight": huge(8192, 8192, 8192)}, "beyond any StyleGAN2"),
    "a gigantic filter": (blur | {"convs.0.conv.blur.kernel": huge(2**20, 2**20)}, "beyond any StyleGAN2"),
    "too many channels": ({"synthesis.b16.conv1.weight": huge(5000, 5, 3, 3)}, "5000 channels"),
    "a filter of many taps": ({"synthesis.b32.resample_filter": zeros(50, 50)}, "50 taps"),
    "grey pictures": (grey | {"synthesis.b32.torgb.weight": zeros(1, 8, 1, 1)}, "1 channels, not of 3"),
}

CLAIMS = {  # settings beside a good network's tensors
    "resolution": ({"img_resolution": 2**20}, "img_resolution=1048576, its tensors 32"),
    "z_dim": ({"z_dim": 10**9}, "z_dim=1000000000"),
    "gigantic channels": ({"channel_base": 10**9, "channel_max": 10**9}, "channel_base=1000000000"),
    "other channels": ({"synthesis_kwargs": {"channel_base": 512, "channel_max": 16}}, "do not give"),
    "channels of text": ({"channel_base": "x", "channel_max": 16}, "channel_base='x'"),
    "an activation": ({"mapping_kwargs": {"activation": "relu"}}, "only lrelu"),
    "a table of text": ({"mapping_kwargs": "x"}, "mapping_kwargs is no table"),
    "a clamp of text": ({"conv_clamp": "x"}, "conv_clamp is 'x'"),
    "a clamp below zero": ({"conv_clamp": -1}, "must be a positive number"),
    "a gigantic clamp": ({"conv_clamp": 10**400}, "must be a positive number below 1e"),
    "an infinite clamp": ({"conv_clamp": float("inf")}, "must be a positive number"),
}


def refused(checkpoint, text):
    with pytest.raises(CheckpointError, match=text) as caught:
        network_from_checkpoint(checkpoint)
    assert str(caught.value).startswith("/somewhere/face.pkl: ") and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", BROKEN)
def test_broken_tensors(name, small, make_checkpoint):
    changes, text = BROKEN[name]
    refused(make_checkpoint(replaced(small().state_dict(), changes)), text)


@pytest.mark.parametrize("name", CLAIMS)
def test_settings_that_contradict_the_tensors(name, small, make_checkpoint):
    kwargs, text = CLAIMS[name]
    refused(make_checkpoint(small().state_dict(), **kwargs), text)


def test_a_missing_block(small, make_checkpoint):
    state = {key: value for key, value in small().state_dict().items() if ".b16." not in key}
    refused(make_checkpoint(state), r"\[4, 8, 32\]")


@pytest.mark.parametrize(("names", "class_name", "text"), [
    ([], None, "it holds no tensors"), (["a", "b"], None, "it holds a, b;"),
    (["encoder.input_layer.0.weight"], None, "an encoder and no decoder"),
    (["backbone.synthesis.b4.const"], None, "EG3D"), (["a"], "TriPlaneGenerator", "EG3D"),
    (["synthesis.input.freqs"], "Generator", "StyleGAN3"),
    (["b4.fromrgb.weight"], "Discriminator", "it holds a Discriminator with b4.fromrgb.weight"),
])
def test_other_networks(names, class_name, text, make_checkpoint):
    refused(make_checkpoint({name: zeros(3) for name in names}, class_name=class_name), text)


def test_a_missing_mean_latent_of_a_conditional_network(small, make_checkpoint):
    state = replaced(small(c_dim=3).state_dict(), {"mapping.w_avg": None})
    refused(make_checkpoint(state), r"mapping\.w_avg is missing")
