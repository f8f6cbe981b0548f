"""Every container becomes a safetensors file from which the same network is built."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from unlearnkit_eg3d.loading import network_from_checkpoint as eg3d_network
from unlearnkit_stylegan2.loading import network_from_checkpoint

from unlearnkit.checkpoints import read_checkpoint
from unlearnkit.checkpoints.converting import to_safetensors
from unlearnkit.errors import CheckpointError

from . import files

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.mark.parametrize("name", [files.STYLEGAN2, files.ROSINALITY, files.EG3D])
def test_the_same_network_is_built_from_it(tmp_path: Path, name: str) -> None:
    build = eg3d_network if name == files.EG3D else network_from_checkpoint
    to_safetensors(files.GOLDEN / name, tmp_path / "out.safetensors")
    before, after = build(read_checkpoint(files.GOLDEN / name)), build(read_checkpoint(tmp_path / "out.safetensors"))
    assert all(torch.equal(tensor, after.state_dict()[key]) for key, tensor in before.state_dict().items())
    assert repr(before) == repr(after)
    plain = [{key: value for key, value in vars(network).items() if isinstance(value, (int, float, str, tuple))}
             for network in (before, after)]
    assert plain[0] == plain[1]


@pytest.mark.parametrize("name", ["whole_module.pt", "rosinality_module.pt", "tuple_of_three.pkl", "half.pkl"])
def test_float32_of_any_container(tmp_path: Path, name: str) -> None:
    source = files.write(tmp_path, name)
    to_safetensors(source, tmp_path / "out.safetensors", float32=True)
    found = read_checkpoint(tmp_path / "out.safetensors").state
    wanted = read_checkpoint(source).state
    assert found.keys() == wanted.keys()
    assert all(found[key].dtype is torch.float32 and torch.equal(found[key], wanted[key].float()) for key in wanted)


def test_names_that_are_refused(tmp_path: Path) -> None:
    base = files.GOLDEN / files.STYLEGAN2
    with pytest.raises(CheckpointError, match=r"out\.pkl: only safetensors"):
        to_safetensors(base, tmp_path / "out.pkl")
    (tmp_path / "mine.safetensors").write_text("mine")
    with pytest.raises(CheckpointError, match=r"mine\.safetensors: already exists"):
        to_safetensors(base, tmp_path / "mine.safetensors")
    assert (tmp_path / "mine.safetensors").read_text() == "mine"


def test_the_command(tmp_path: Path, cli: Cli) -> None:
    done = cli("convert", files.GOLDEN / files.EG3D, "eg3d.safetensors")
    assert done.returncode == 0 and done.stdout.startswith("wrote eg3d.safetensors: "), done.stderr
    assert eg3d_network(read_checkpoint(tmp_path / "eg3d.safetensors")).neural_resolution == 16
    done = cli("convert", files.GOLDEN / files.EG3D, "eg3d.safetensors")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1) and "already exists" in done.stderr
