"""Writing back: the same bytes except where the changed weights lie, and never over anything."""

from __future__ import annotations

import errno
import os
import pickle
import sys
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from unlearnkit.checkpoints import open_base, read_checkpoint, reading, tensorfiles, write_like, write_tensors
from unlearnkit.errors import CheckpointError

from . import builder

GOLDEN = Path(__file__).parents[1] / "golden"


def differing_bytes(a: Path, b: Path) -> int:
    old, new = a.read_bytes(), b.read_bytes()
    assert len(old) == len(new)
    return sum(x != y for x, y in zip(old, new, strict=True))


@pytest.mark.parametrize("name", ["sg2_ada_32.pkl", "eg3d_tiny_p32_n16_sr64.pkl", "rosinality_32.pt"])
def test_golden_files_differ_only_in_the_changed_data(tmp_path, name):
    base, out = GOLDEN / name, tmp_path / "out"
    state = read_checkpoint(base).state
    changed = {key: torch.randn(t.shape) for key, t in list(state.items())[3:12:2]}
    write_like(base, changed, out)
    check_sums = 8 * len(changed) if name.endswith(".pt") else 0
    assert 0 < differing_bytes(base, out) <= sum(t.nbytes for t in changed.values()) + check_sums
    written = read_checkpoint(out).state
    assert all(torch.equal(written[key], changed.get(key, state[key])) for key in state)
    if name.endswith(".pt"):
        first = next(iter(changed))
        assert torch.equal(torch.load(out, weights_only=True)["g_ema"][first], changed[first])


def test_nothing_changed_gives_the_same_file(tmp_path):
    write_like(GOLDEN / "sg2_ada_32.pkl", {}, tmp_path / "out.pkl")
    assert differing_bytes(GOLDEN / "sg2_ada_32.pkl", tmp_path / "out.pkl") == 0


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_channels_last_weights_are_written_through_their_strides(tmp_path, protocol):
    base = builder.nvidia_file(tmp_path / "base.pkl", protocol)
    changed = {"synthesis.weight": torch.randn(2, 3, 3, 3), "synthesis.noise_strength": torch.tensor(7.0)}
    write_like(base, changed, tmp_path / "out.pkl")
    state = read_checkpoint(tmp_path / "out.pkl").state
    assert torch.equal(state["synthesis.weight"], changed["synthesis.weight"])
    assert state["synthesis.weight"].stride() == read_checkpoint(base).state["synthesis.weight"].stride()


def test_another_loader_reads_what_was_written(tmp_path):
    base = builder.nvidia_file(tmp_path / "base.pkl")
    write_like(base, {"w_avg": torch.full((4,), 9.0)}, tmp_path / "out.pkl")
    with builder.fake_modules():
        sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj = lambda meta: meta["state"]
        root = pickle.loads((tmp_path / "out.pkl").read_bytes())
    assert torch.equal(root["G_ema"]["_buffers"]["w_avg"], torch.full((4,), 9.0))
    assert torch.equal(root["G"]["_buffers"]["w_avg"], torch.linspace(0, 1, 4)), "G is left alone"


def test_protocol_2_holds_weights_as_texts_of_another_length(tmp_path):
    base = builder.nvidia_file(tmp_path / "base.pkl", 2)
    state = read_checkpoint(base).state
    changed = {"w_avg": torch.full((4,), -1.2345), "synthesis.weight": torch.randn(2, 3, 3, 3),
               "synthesis.noise_strength": torch.tensor(7.7)}
    write_like(base, changed, tmp_path / "out.pkl")
    written = read_checkpoint(tmp_path / "out.pkl").state
    assert all(torch.equal(written[name], changed.get(name, state[name])) for name in state)
    with builder.fake_modules():
        sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj = lambda meta: meta["state"]
        root = pickle.loads((tmp_path / "out.pkl").read_bytes())
    assert torch.equal(root["G_ema"]["_buffers"]["w_avg"], changed["w_avg"])
    assert torch.equal(root["G"]["_buffers"]["w_avg"], torch.linspace(0, 1, 4)), "G is left alone"


def test_text_weights_that_python_would_not_write_are_refused(tmp_path):
    base = builder.nvidia_file(tmp_path / "base.pkl", 2)
    base.write_bytes(b"\x80\x04" + base.read_bytes()[2:])  # the same instructions under another protocol
    with pytest.raises(CheckpointError, match=r"base\.pkl: holds its weights as texts .*sample --edit"):
        write_like(base, {"w_avg": torch.ones(4)}, tmp_path / "out.pkl")
    assert os.listdir(tmp_path) == ["base.pkl"]


@pytest.mark.parametrize("legacy", [False, True])
def test_torch_files_keep_everything_else(tmp_path, legacy):
    base = builder.torch_file(tmp_path / "base.pt", builder.rosinality_root(trained=True), legacy)
    changed = {"bias": torch.tensor([1.0, 2.0, float("nan")])}
    write_like(base, changed, tmp_path / "out.pt")
    root = torch.load(tmp_path / "out.pt", weights_only=False)
    assert torch.equal(root["g_ema"]["bias"][:2], changed["bias"][:2]) and root["args"].size == 32
    assert torch.equal(root["g_optim"]["state"][0]["exp_avg"], torch.ones(3))
    assert differing_bytes(base, tmp_path / "out.pt") <= 12 + 8


def test_psp_and_safetensors(tmp_path):
    base = builder.torch_file(tmp_path / "psp.pt", builder.psp_root())
    write_like(base, {"latent_avg": torch.zeros(2, 4)}, tmp_path / "out.pt")
    assert torch.load(tmp_path / "out.pt", weights_only=False)["latent_avg"].sum() == 0
    base = tmp_path / "x.safetensors"
    metadata = {"class_name": "Toy", "init_kwargs": '{"n": 1}'}
    write_tensors(base, {"a": torch.ones(2, 3), "b": torch.zeros(2)}, metadata)
    write_like(base, {"b": torch.tensor([5.0, 6.0])}, tmp_path / "out.safetensors")
    checkpoint = read_checkpoint(tmp_path / "out.safetensors")
    assert checkpoint.state["b"].tolist() == [5, 6] and checkpoint.state["a"].sum() == 6
    assert (checkpoint.format, checkpoint.class_name) == ("safetensors", "Toy")
    assert checkpoint.init_kwargs == {"n": 1}


def test_tied_weights_must_change_alike(tmp_path):
    flat = torch.arange(4.0)
    base = builder.torch_file(tmp_path / "tied.pt", {"g_ema": {"a": flat, "b": flat[:2]}})
    with pytest.raises(CheckpointError, match=r"tied\.pt: .*shares memory"):
        write_like(base, {"a": flat + 1}, tmp_path / "out.pt")
    assert os.listdir(tmp_path) == ["tied.pt"]
    write_like(base, {"a": flat + 1, "b": flat[:2] + 1}, tmp_path / "out.pt")
    assert read_checkpoint(tmp_path / "out.pt").state["b"].tolist() == [1, 2]


@pytest.mark.parametrize(("changed", "said"), [
    ({"synthesis.bia": torch.ones(3)}, "nearest: synthesis.bias"),
    ({"synthesis.bias": torch.ones(4)}, "both must agree"),
    ({"synthesis.bias": torch.ones(3, dtype=torch.float64)}, "both must agree"),
])
def test_tensors_that_do_not_fit(tmp_path, changed, said):
    base = builder.nvidia_file(tmp_path / "base.pkl")
    with pytest.raises(CheckpointError, match=said):
        write_like(base, changed, tmp_path / "out.pkl")


def test_nothing_is_ever_overwritten(tmp_path):
    base = builder.nvidia_file(tmp_path / "base.pkl")
    (tmp_path / "there").write_text("mine")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for out in (base, tmp_path / "there", tmp_path / "dangling"):
        with pytest.raises(CheckpointError, match=rf"{out.name}: already exists"):
            write_like(base, {}, out)
    assert (tmp_path / "there").read_text() == "mine" and not (tmp_path / "nowhere").exists()
    with pytest.raises(CheckpointError, match="folder does not exist"):
        write_like(base, {}, tmp_path / "no" / "out.pkl")
    assert len(os.listdir(tmp_path)) == 3


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_float32_becomes_the_type_of_the_file(tmp_path, dtype):
    base = builder.torch_file(tmp_path / "base.pt", {"w": torch.ones(4, dtype=dtype), "n": torch.ones(2)})
    with open_base(base) as opened:
        changed = {"w": torch.tensor([1.0, 1.0 + 1e-5, 2.0, 3.0])}
        opened.write(changed, tmp_path / "out.pt")
        assert opened.rounded_back == (0 if dtype is torch.float64 else pytest.approx(1 / 3))
    state = read_checkpoint(tmp_path / "out.pt").state
    assert torch.equal(state["w"], changed["w"].to(dtype)) and state["n"].tolist() == [1, 1]


def test_numbers_too_large_for_the_file_are_refused(tmp_path):
    base = builder.torch_file(tmp_path / "base.pt", {"w": torch.ones(2, dtype=torch.float16)})
    with pytest.raises(CheckpointError, match=r"base\.pt: holds w as torch\.float16.*too large"):
        write_like(base, {"w": torch.tensor([1.0, 1e6])}, tmp_path / "out.pt")
    assert os.listdir(tmp_path) == ["base.pt"]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"),
                                   SafetensorError("I/O error: No space left on device (os error 28)")])
def test_a_full_disk_is_not_called_a_damaged_file(tmp_path, monkeypatch, error):
    def full(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(tensorfiles, "save_file", full)
    with pytest.raises(CheckpointError, match=r"x\.safetensors: cannot be written: no space is left"):
        write_tensors(tmp_path / "x.safetensors", {"a": torch.ones(1)}, {})
    assert not os.listdir(tmp_path)


def test_missing_memory_is_not_called_a_damaged_file(tmp_path, monkeypatch):
    def none_left(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(reading, "read_tensor", none_left)
    with pytest.raises(CheckpointError, match=r"sg2_ada_32\.pkl: needs more memory than is free"):
        read_checkpoint(GOLDEN / "sg2_ada_32.pkl")
