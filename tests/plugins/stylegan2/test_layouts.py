import pytest
import torch
from torch.testing import assert_close
from unlearnkit_stylegan2.layouts import ENTRIES, Layout, layout_of

from unlearnkit.errors import CheckpointError

ROSINALITY = ("rosinality_256", "rosinality_512", "rosinality_1024")


def test_names_are_unique_on_both_sides():
    assert len({entry.rosinality for entry in ENTRIES}) == len(ENTRIES)
    assert len({entry.nvidia for entry in ENTRIES}) == len(ENTRIES)


@pytest.mark.parametrize("name", ROSINALITY)
def test_published_files_are_consumed_completely(name, keys):
    state = keys(name)
    layout = layout_of(state)
    assert layout == Layout("rosinality")
    assert all(key.startswith(("mapping.", "synthesis.")) for key in layout.to_network(state))


@pytest.mark.parametrize("name", ROSINALITY)
def test_there_and_back_is_the_identity(name, keys):
    state = keys(name)
    layout = layout_of(state)
    back = layout.to_file(layout.to_network(state))
    assert back.keys() == state.keys()
    assert all(back[key].shape == value.shape for key, value in state.items())


def test_there_and_back_keeps_every_number(golden):
    state = golden("rosinality_32").checkpoint.state
    layout = layout_of(state)
    back = layout.to_file(layout.to_network(state))
    assert back.keys() == state.keys()
    for key, value in state.items():
        assert_close(back[key], value, rtol=0, atol=0)


def test_back_and_there_keeps_every_number(small):
    state = small().state_dict()
    layout = Layout("rosinality")
    there = layout.to_network(layout.to_file(state))
    # The first block and the second convolutions have filters that rosinality files do not hold.
    assert {key for key in state.keys() - there.keys() if not key.endswith("resample_filter")} == set()
    for key, value in there.items():
        assert_close(value, state[key], rtol=0, atol=0)


def test_a_few_names():
    names = {entry.rosinality: entry.nvidia for entry in ENTRIES}
    assert names["style.1.weight"] == "mapping.fc0.weight"
    assert names["convs.0.conv.weight"] == "synthesis.b8.conv0.weight"
    assert names["convs.15.activate.bias"] == "synthesis.b1024.conv1.bias"
    assert names["to_rgbs.2.bias"] == "synthesis.b32.torgb.bias"
    assert names["noises.noise_0"] == "synthesis.b4.conv1.noise_const"
    assert names["noises.noise_5"] == "synthesis.b32.conv0.noise_const"


@pytest.mark.parametrize("prefix", ["", "decoder.", "g_ema."])
def test_a_prefix_is_taken_off_and_put_back(prefix, golden):
    state = {prefix + key: value for key, value in golden("rosinality_32").checkpoint.state.items()}
    state["latent_avg"] = state.pop(f"{prefix}latent_avg")
    state |= {"encoder.input_layer.0.weight": torch.zeros(3)} if prefix == "decoder." else {}
    layout = layout_of(state)
    assert layout.prefix == prefix
    network = layout.to_network(state)
    assert "mapping.w_avg" in network and not any(key.startswith("encoder") for key in network)
    assert layout.to_file(network).keys() == {key for key in state if not key.startswith("encoder")}


def test_a_mean_latent_stored_per_row():
    row = torch.arange(4.0)
    state = {"input.input": torch.zeros(1, 2, 4, 4), "style.1.weight": torch.zeros(4, 4),
             "latent_avg": row.expand(6, 4)}
    layout = layout_of(state)
    assert layout.latent_rows == 6
    assert_close(layout.to_network(state)["mapping.w_avg"], row)
    assert layout.to_file({"mapping.w_avg": row})["latent_avg"].shape == (6, 4)


def test_nvidia_names_stay(golden):
    state = golden("sg2_ada_32").checkpoint.state
    layout = layout_of(state)
    assert layout == Layout("nvidia")
    assert layout.to_file(layout.to_network(state)).keys() == state.keys()


def test_tensors_without_a_place():
    with pytest.raises(CheckpointError, match=r"mapping\.embed\.weight"):
        Layout("rosinality").to_file({"mapping.embed.weight": torch.zeros(2, 2)})


@pytest.mark.parametrize("state", [{}, {"a": torch.zeros(1)}, {"synthesis.b4.const": torch.zeros(1)}])
def test_other_files_have_no_layout(state):
    assert layout_of(state) is None
