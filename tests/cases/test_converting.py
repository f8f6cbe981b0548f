"""Every container becomes a safetensors file from which the same network is built."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from unlearnkit_eg3d.generator import EG3D
from unlearnkit_eg3d.loading import network_from_checkpoint as eg3d_network
from unlearnkit_stylegan2.generator import StyleGAN2
from unlearnkit_stylegan2.loading import network_from_checkpoint

from unlearnkit.checkpoints import read_checkpoint, write_like
from unlearnkit.checkpoints.converting import convert, to_safetensors
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
    with pytest.raises(CheckpointError, match=r"out\.pkl: an NVIDIA pickle holds the program"):
        convert(base, tmp_path / "out.pkl", StyleGAN2.state_for)
    with pytest.raises(CheckpointError, match=r"out\.onnx: choose a name"):
        convert(base, tmp_path / "out.onnx", StyleGAN2.state_for)
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


def pictures(path: Path) -> torch.Tensor:
    """What the network of a file draws."""
    generator = StyleGAN2(checkpoint=path)
    generator.prepare(torch.device("cpu"))
    return generator.render(generator.sample_latents(2, torch.Generator().manual_seed(0))).image


@pytest.mark.parametrize("suffix", [".pt", ".safetensors", ".pkl"])
@pytest.mark.parametrize("name", [files.STYLEGAN2, files.ROSINALITY])
def test_there_and_back_draws_the_same(tmp_path: Path, name: str, suffix: str) -> None:
    source, like = files.GOLDEN / name, files.GOLDEN / files.STYLEGAN2
    if suffix == ".pkl" and name == files.ROSINALITY:
        pytest.skip("the two golden networks have other widths")
    there, back = tmp_path / f"there{suffix}", tmp_path / "back.safetensors"
    convert(source, there, StyleGAN2.state_for, like=like)
    convert(there, back, StyleGAN2.state_for)
    wanted = pictures(source)
    assert torch.equal(pictures(there), wanted) and torch.equal(pictures(back), wanted)


def test_a_pickle_takes_another_networks_weights(tmp_path: Path) -> None:
    """From rosinality's names to NVIDIA's, in a pickle that holds another network of the same shape."""
    torch_file, edited = tmp_path / "mine.pt", tmp_path / "edited.safetensors"
    base = files.GOLDEN / files.STYLEGAN2
    found = read_checkpoint(base)
    moved = {name: tensor + 0.01 if name.endswith("affine.bias") else tensor for name, tensor in found.state.items()}
    to_safetensors(base, edited)
    biases = {name: tensor for name, tensor in moved.items() if name.endswith("affine.bias")}
    write_like(edited, biases, tmp_path / "m.safetensors")
    convert(tmp_path / "m.safetensors", torch_file, StyleGAN2.state_for)
    convert(torch_file, tmp_path / "mine.pkl", StyleGAN2.state_for, like=base)
    state = read_checkpoint(tmp_path / "mine.pkl").state
    assert all(torch.equal(state[name], moved[name]) for name in moved)
    with pytest.raises(CheckpointError, match=r"is another network|both must agree"):
        convert(files.GOLDEN / files.ROSINALITY, tmp_path / "no.pkl", StyleGAN2.state_for, like=base)
    assert not (tmp_path / "no.pkl").exists()


def test_eg3d_goes_into_its_pickle_and_nowhere_else(tmp_path: Path) -> None:
    base = files.GOLDEN / files.EG3D
    convert(base, tmp_path / "one.safetensors", EG3D.state_for)
    convert(tmp_path / "one.safetensors", tmp_path / "two.pkl", EG3D.state_for, like=base)
    assert (tmp_path / "two.pkl").read_bytes() == base.read_bytes()
    with pytest.raises(CheckpointError, match="knows no names of rosinality"):
        convert(base, tmp_path / "out.pt", EG3D.state_for)
