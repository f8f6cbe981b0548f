"""What a file says is what is read: formats, protocols, strides, shared storages, dtypes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch

from unlearnkit.checkpoints import file_sha256, read_checkpoint
from unlearnkit.errors import CheckpointError

from . import builder

GOLDEN = Path(__file__).parents[1] / "golden"
DIGESTS = json.loads((GOLDEN / "checkpoint_digests.json").read_text())


@pytest.mark.parametrize("name", DIGESTS)
def test_golden_tensors_are_read_exactly(name):
    checkpoint = read_checkpoint(GOLDEN / name)
    found = {
        key: [list(t.shape), hashlib.sha256(t.contiguous().numpy().tobytes()).hexdigest()]
        for key, t in checkpoint.state.items() if key != "latent_avg"
    }
    assert found == DIGESTS[name]
    assert checkpoint.sha256 == hashlib.sha256((GOLDEN / name).read_bytes()).hexdigest()


def test_eg3d_settings_come_from_the_state_and_the_constructor():
    checkpoint = read_checkpoint(GOLDEN / "eg3d_tiny_p32_n16_sr64.pkl")
    assert (checkpoint.format, checkpoint.class_name) == ("nvidia-pickle", "TriPlaneGenerator")
    assert checkpoint.attributes["neural_rendering_resolution"] == 16
    assert checkpoint.attributes["rendering_kwargs"]["avg_camera_pivot"] == [0, 0, 0.2]
    assert checkpoint.init_kwargs["mapping_kwargs"] == {"num_layers": 2}
    assert type(checkpoint.init_kwargs["mapping_kwargs"]) is dict


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_nvidia_pickle_of_every_protocol(tmp_path, protocol):
    checkpoint = read_checkpoint(builder.nvidia_file(tmp_path / "net.anything", protocol))
    wanted = builder.tiny_tensors()
    assert list(checkpoint.state) == [
        "w_avg", "synthesis.weight", "synthesis.bias", "synthesis.noise_strength", "decoder.weight"]
    for name, tensor in wanted.items():
        found = checkpoint.state[f"synthesis.{name}"]
        assert torch.equal(found, tensor) and found.stride() == tensor.stride()
    assert checkpoint.init_kwargs == {"z_dim": 4, "mapping_kwargs": {"num_layers": 2}, "size": 7}
    assert checkpoint.attributes == {"training": False, "z_dim": 4, "gain": 0.25}
    assert type(checkpoint.attributes["gain"]) is float


def test_g_is_the_fallback_and_neither_is_an_error(tmp_path):
    path = tmp_path / "g.pkl"
    path.write_bytes(builder.nvidia_bytes({"G": builder.network(builder.tiny_tensors(5)), "G_ema": None}))
    assert torch.equal(read_checkpoint(path).state["synthesis.bias"], builder.tiny_tensors(5)["bias"])
    path.write_bytes(builder.nvidia_bytes({"D": None, "G": None}))
    with pytest.raises(CheckpointError, match=r"g\.pkl: .*neither a G_ema nor a G"):
        read_checkpoint(path)


@pytest.mark.parametrize("dtype", [
    torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int32, torch.int16, torch.int8,
    torch.uint8, torch.bool])
def test_every_storage_type(tmp_path, dtype):
    net = builder.network({})
    net.state["_buffers"]["x"] = wanted = torch.tensor([[0, 1], [1, 1]]).to(dtype)
    path = tmp_path / "net.pkl"
    path.write_bytes(builder.nvidia_bytes({"G_ema": net}))
    found = read_checkpoint(path).state["x"]
    assert found.dtype is dtype and torch.equal(found, wanted)


def test_offsets_and_shared_storages_are_kept(tmp_path):
    flat = torch.arange(12.0)
    root = {"g_ema": {"a": flat[2:8].reshape(2, 3).t(), "b": flat[6:], "c": torch.empty(0, 3)}}
    for legacy in (False, True):
        state = read_checkpoint(builder.torch_file(tmp_path / f"{legacy}.pt", root, legacy)).state
        assert all(torch.equal(state[name], root["g_ema"][name]) for name in root["g_ema"])
        state["b"][0] = -1
        assert state["a"][1, 1] == -1, "a and b look into the same memory, as in the file"


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("trained", [False, True])
def test_rosinality(tmp_path, legacy, trained):
    root = builder.rosinality_root(trained)
    checkpoint = read_checkpoint(builder.torch_file(tmp_path / "x.pkl", root, legacy))
    wanted = dict(root["g_ema"]) | ({} if trained else {"latent_avg": root["latent_avg"]})
    assert checkpoint.format == "rosinality" and list(checkpoint.state) == list(wanted)
    assert all(torch.equal(checkpoint.state[name], wanted[name]) for name in wanted)


@pytest.mark.parametrize("legacy", [False, True])
def test_psp(tmp_path, legacy):
    checkpoint = read_checkpoint(builder.torch_file(tmp_path / "e4e.pt", builder.psp_root(), legacy))
    assert checkpoint.format == "psp"
    assert list(checkpoint.state) == ["weight", "bias", "noise_strength", "latent_avg"]
    assert checkpoint.state["latent_avg"].shape == (2, 4)


def test_state_is_independent_of_the_file(tmp_path):
    path = builder.nvidia_file(tmp_path / "net.pkl")
    state = read_checkpoint(path).state
    before = file_sha256(path)
    state["synthesis.bias"].zero_()
    assert file_sha256(path) == before
    path.unlink()
    assert state["synthesis.weight"].isfinite().all()


def test_only_plain_values_become_attributes(tmp_path):
    deep = {"ok": [1, 2.5, "x", None, (True,)], "module": builder.OSGDecoder(), "tensor": torch.ones(1)}
    path = builder.nvidia_file(tmp_path / "net.pkl", rendering_kwargs=deep, plane=torch.ones(2))
    checkpoint = read_checkpoint(path)
    assert checkpoint.attributes["rendering_kwargs"] == {"ok": [1, 2.5, "x", None, (True,)]}
    assert "plane" not in checkpoint.attributes
