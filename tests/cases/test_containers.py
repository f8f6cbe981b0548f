"""The same network in every container that programs save it in, and edits that can be put on each."""

from __future__ import annotations

import copy
import sys
import types
from pathlib import Path

import pytest
import torch
from unlearnkit_eg3d.loading import network_from_checkpoint as eg3d_network
from unlearnkit_stylegan2.generator import StyleGAN2
from unlearnkit_stylegan2.loading import network_from_checkpoint

from unlearnkit.checkpoints import read_checkpoint
from unlearnkit.edits.file import apply_edit, save_edit
from unlearnkit.errors import CheckpointError, EditError

from . import files

CONTAINERS = [*files.PICKLES, *files.TORCH, *files.SAFETENSORS]


def golden(name: str) -> dict[str, torch.Tensor]:
    return network_from_checkpoint(read_checkpoint(files.GOLDEN / name)).state_dict()


@pytest.mark.parametrize("name", CONTAINERS)
def test_the_network_in_the_container_is_the_golden_one(tmp_path: Path, name: str) -> None:
    found = network_from_checkpoint(read_checkpoint(files.write(tmp_path, name))).state_dict()
    layout = files.ROSINALITY if name.startswith(("ros", "params", "psp")) else files.STYLEGAN2
    wanted = golden(layout)
    for key, tensor in found.items():
        assert torch.equal(tensor, wanted[key]) or key == "mapping.w_avg", key  # estimated where the file has none


@pytest.mark.parametrize("protocol", [2, 4])
def test_eg3d_in_a_file_of_torch(tmp_path: Path, protocol: int) -> None:
    (tmp_path / "eg3d.pt").write_bytes(files.torch_bytes(files.eg3d(), pickle_protocol=protocol))
    checkpoint = read_checkpoint(tmp_path / "eg3d.pt")
    assert (checkpoint.format, checkpoint.class_name) == ("module", "TriPlaneGenerator")
    wanted = eg3d_network(read_checkpoint(files.GOLDEN / files.EG3D)).state_dict()
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in eg3d_network(checkpoint).state_dict().items())


@pytest.mark.parametrize("prefix", ["module.", "G_ema."])
def test_the_decoder_of_an_eg3d_is_no_generator(tmp_path: Path, prefix: str) -> None:
    state = files.state_of(files.EG3D)
    (tmp_path / "x.pt").write_bytes(files.torch_bytes(files.prefixed(prefix, state)))
    assert list(read_checkpoint(tmp_path / "x.pt").state) == list(state)


def test_a_whole_module_of_a_class_that_nobody_knows(tmp_path: Path) -> None:
    module = types.ModuleType("someones_program")
    layer = type("Generator", (), {"__module__": "someones_program"})
    module.Generator = layer  # type: ignore[attr-defined]
    sys.modules["someones_program"] = module

    def make(plain: dict[str, object]) -> object:
        made = layer()
        made.__dict__.update(plain)
        return made

    try:
        (tmp_path / "x.pt").write_bytes(files.torch_bytes(files.tree(files.rosinality(), make)))
    finally:
        del sys.modules["someones_program"]
    checkpoint = read_checkpoint(tmp_path / "x.pt")
    assert checkpoint.class_name == "Generator" and "someones_program" not in sys.modules
    assert network_from_checkpoint(checkpoint).img_resolution == 32


@pytest.mark.parametrize("root", [
    3, (), [None, 2], {"D": None}, {"G_ema": None, "step": 3}, {"G_ema": {}}, torch.ones(3), {"a": {"b": {}}}, "text",
], ids=["number", "tuple", "list", "only D", "no G_ema", "empty", "tensor", "deep", "text"])
def test_what_holds_no_generator_says_so_in_words(tmp_path: Path, root: object) -> None:
    (tmp_path / "x.pt").write_bytes(files.torch_bytes(root))
    with pytest.raises(CheckpointError, match=r"x\.pt: holds ") as caught:
        read_checkpoint(tmp_path / "x.pt")
    assert not any(word in str(caught.value) for word in ("Record", "RawTensor", "Blob", "Global", "NoneType"))


def prepared(path: Path, label: int | None = None) -> StyleGAN2:
    made = StyleGAN2(checkpoint=path, label=label)
    made.prepare(torch.device("cpu"))
    return made


def edit_of(path: Path, edit: Path) -> StyleGAN2:
    """A generator with every weight of synthesis moved, and its edit."""
    before = prepared(path, 3 if "conditional" in path.name else None)
    after = copy.deepcopy(before)
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in after.editable_parameters().values():
            parameter += 0.1 * torch.randn(parameter.shape, generator=rng)
    save_edit(edit, before, after, "stylegan2", "test")
    return after


@pytest.mark.parametrize("name", [*files.BASES, *CONTAINERS])
def test_an_edit_can_be_put_on_every_base(tmp_path: Path, name: str) -> None:
    base = files.write(tmp_path, name)
    after, out = edit_of(base, tmp_path / "edit.safetensors"), tmp_path / f"out{base.suffix}"
    apply_edit(tmp_path / "edit.safetensors", base, out)
    found = prepared(out, after.label)
    assert found.base.format == after.base.format
    tolerance = {"half": 2e-3, "bf16": 2e-2}.get(base.stem.partition("_")[0], 1e-6)
    wanted = after.module.state_dict()
    for key, tensor in found.module.state_dict().items():
        torch.testing.assert_close(tensor, wanted[key], rtol=tolerance, atol=tolerance, msg=key)


@pytest.mark.parametrize(("name", "suffix", "instead"), [
    ("ema_only.pkl", ".safetensors", "out.pkl"), ("ema_only.pkl", ".pt", "out.pkl"),
    ("ema_only.pkl", ".PTH", "out.pkl"), ("whole_module.pt", ".pkl", "out.pt"),
    ("legacy.pt", ".pkl", "out.pt"), ("half.safetensors", ".pt", "safetensors"),
    ("params_ema.pth", ".safetensors", "out.pt"), ("protocol2.pkl", ".ckpt", "out.pkl"),
])
def test_no_format_is_written_under_the_name_of_another(tmp_path: Path, name: str, suffix: str, instead: str) -> None:
    base = files.write(tmp_path, name)
    edit_of(base, tmp_path / "edit.safetensors")
    there = sorted(tmp_path.iterdir())
    with pytest.raises(EditError, match=rf"out\{suffix} would be .*name it .*{instead}"):
        apply_edit(tmp_path / "edit.safetensors", base, tmp_path / f"out{suffix}")
    assert sorted(tmp_path.iterdir()) == there


@pytest.mark.parametrize("name", files.UNSUPPORTED)
def test_a_sound_file_that_is_not_supported_is_not_called_damaged(tmp_path: Path, name: str) -> None:
    checkpoint = read_checkpoint(files.write(tmp_path, name))
    with pytest.raises(CheckpointError, match=files.UNSUPPORTED[name][1]) as caught:
        network_from_checkpoint(checkpoint)
    assert not any(word in str(caught.value) for word in ("get the file again", "damaged", "download"))


def test_a_stylegan3_is_no_eg3d_and_no_stylegan2(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="StyleGAN3 generator, which is not supported; give an EG3D file"):
        eg3d_network(read_checkpoint(files.write(tmp_path, "stylegan3.pkl")))


def test_the_missing_label_names_its_setting(tmp_path: Path) -> None:
    path = files.write(tmp_path, "conditional.pkl")
    with pytest.raises(Exception, match=r"--set generator\.label=N"):
        prepared(path)
