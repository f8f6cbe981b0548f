"""Weight files: refused, read; and what registering the plugin costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from unlearnkit_faces.weights import load_network, read_state

from unlearnkit.checkpoints import write_tensors
from unlearnkit.errors import CheckpointError

CPU = torch.device("cpu")


def make() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))


class Evil:
    def __reduce__(self):
        return print, ("executed",)


def test_the_plugin_imports_no_torch():
    code = "import sys, unlearnkit_faces; assert 'torch' not in sys.modules, 'torch'"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_nothing_in_a_file_is_executed(tmp_path, capsys):
    path = tmp_path / "evil.pth"
    torch.save({"weight": Evil()}, path)
    with pytest.raises(CheckpointError, match="weights_only"):
        read_state(path)
    assert "executed" not in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b"<html>quota exceeded</html>", b"PK\x03\x04 cut off"])
def test_damaged_files_are_refused(tmp_path, content):
    path = tmp_path / "net.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"net\.pth"):
        read_state(path)


def test_a_file_without_tensors_is_refused(tmp_path):
    path = tmp_path / "net.pth"
    torch.save([torch.zeros(1)], path)
    with pytest.raises(CheckpointError, match="expected a state dict"):
        read_state(path)
    torch.save({"other.weight": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match=r"below 'features\.'.*other\.weight"):
        read_state(path, "features.")


@pytest.mark.parametrize("name", ["net.pth", "net.safetensors"])
def test_a_network_is_loaded_frozen(tmp_path, name):
    path, network = tmp_path / name, make()
    if name.endswith("pth"):
        torch.save(network.state_dict(), path)
    else:
        write_tensors(path, network.state_dict(), {})
    loaded = load_network(make, read_state(path), path, CPU)
    assert all(torch.equal(a, b) for a, b in
               zip(loaded.state_dict().values(), network.state_dict().values(), strict=True))
    assert not loaded.training and not any(p.requires_grad for p in loaded.parameters())


def test_old_files_lack_the_counters_of_batch_normalisation():
    state = {name: value for name, value in make().state_dict().items() if "num_batches" not in name}
    assert load_network(make, state, Path("net.pth"), CPU).state_dict()["1.num_batches_tracked"] == 0


@pytest.mark.parametrize(("change", "message"), [
    ({"0.bias": None}, r"lacks 0\.bias"),
    ({"2.bias": torch.zeros(1)}, r"nothing is known about 2\.bias"),
    ({"0.bias": torch.zeros(3)}, r"has the shape \(3,\), expected \(2,\)"),
    ({"0.bias": torch.tensor([1.0, float("nan")])}, "not finite"),
    ({"0.bias": torch.zeros(2, dtype=torch.int64)}, "not floating-point"),
])
def test_another_networks_file_is_refused(change, message):
    state = {name: value for name, value in (make().state_dict() | change).items() if value is not None}
    with pytest.raises(CheckpointError, match=message):
        load_network(make, state, Path("net.pth"), CPU)
