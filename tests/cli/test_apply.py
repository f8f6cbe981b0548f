"""`apply` as a process, for every format of file and every sort of generator, on small files of random weights."""

from __future__ import annotations

import copy
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import builder
from torch import Tensor
from unlearnkit_eg3d.generator import EG3D
from unlearnkit_stylegan2.generator import StyleGAN2
from unlearnkit_stylegan2.network import Generator as Network

import unlearnkit
from unlearnkit.checkpoints import read_checkpoint, write_tensors
from unlearnkit.edits.file import FORMAT, load_edit, put_on, save_edit
from unlearnkit.interfaces import Generator
from unlearnkit.plugins import Registry
from unlearnkit.workflows.options import RunOptions

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
GOLDEN = Path(__file__).parents[1] / "golden"
CONDITIONAL = Path(os.environ.get("UNLEARNKIT_GOLDEN", GOLDEN)) / "sg2_ada_32_cond_fp16_clamp.pkl"
CPU = torch.device("cpu")


def random_state(c_dim: int = 0, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Weights of a StyleGAN2 of 32 pixels and few channels."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        network = Network(z_dim=16, c_dim=c_dim, w_dim=24, img_resolution=32, num_layers=2, channel_base=256,
                          channel_max=16)
    return {name: value.detach().to(dtype) for name, value in network.state_dict().items()}


def read(cls: type[Generator], file: Path | None, **options: Any) -> Generator:
    made = cls(**{"checkpoint": file} if file else {}, **options)
    made.prepare(CPU)
    return made


def edit_of(frozen: Generator, path: Path, name: str, move: float = 0.25) -> Generator:
    """Save an edit of every editable parameter; what it makes of the generator."""
    edited = copy.deepcopy(frozen)
    with torch.no_grad():
        for value in edited.editable_parameters().values():
            value.copy_(((value * 64).round().clamp(-64, 64) / 64) + move)  # float16 and bfloat16 hold these
    save_edit(path, frozen, edited, name, "by-hand")
    return edited


def nvidia(folder: Path) -> Path:
    return GOLDEN / "sg2_ada_32.pkl"


def conditional(folder: Path) -> Path:
    return builder.nvidia_generator(folder / "cond.pkl", random_state(c_dim=5))


def half(folder: Path) -> Path:
    return builder.nvidia_generator(folder / "half.pkl", random_state(c_dim=5, dtype=torch.float16))


def authors_conditional(folder: Path) -> Path:
    if not CONDITIONAL.is_file():
        pytest.skip(f"{CONDITIONAL.name} does not ship; give its folder in UNLEARNKIT_GOLDEN")
    return CONDITIONAL


def rosinality(folder: Path) -> Path:
    return GOLDEN / "rosinality_32.pt"


def psp(folder: Path) -> Path:
    root = torch.load(GOLDEN / "rosinality_32.pt", weights_only=True)
    state = {f"decoder.{name}": value for name, value in root["g_ema"].items()} | {"encoder.x": torch.zeros(3)}
    torch.save({"state_dict": state, "latent_avg": root["latent_avg"].expand(8, -1).clone()}, folder / "psp.pt")
    return folder / "psp.pt"


def safetensors(folder: Path) -> Path:
    write_tensors(folder / "face.safetensors", random_state(), {"class_name": "Generator"})
    return folder / "face.safetensors"


def bfloat(folder: Path) -> Path:
    write_tensors(folder / "bf.safetensors", random_state(c_dim=5, dtype=torch.bfloat16), {"class_name": "Generator"})
    return folder / "bf.safetensors"


def state_dict(folder: Path) -> Path:
    torch.save(random_state(), folder / "plain.pt")
    return folder / "plain.pt"


def eg3d(folder: Path) -> Path:
    return GOLDEN / "eg3d_tiny_p32_n16_sr64.pkl"


LABEL = {"label": 3}
FILES: list[tuple[Callable[[Path], Path], type[Generator], str, dict[str, Any]]] = [
    (nvidia, StyleGAN2, "stylegan2", {}), (conditional, StyleGAN2, "stylegan2", LABEL),
    (authors_conditional, StyleGAN2, "stylegan2", LABEL), (half, StyleGAN2, "stylegan2", LABEL),
    (rosinality, StyleGAN2, "stylegan2", {}), (psp, StyleGAN2, "stylegan2", {}),
    (safetensors, StyleGAN2, "stylegan2", {}), (bfloat, StyleGAN2, "stylegan2", LABEL),
    (state_dict, StyleGAN2, "stylegan2", {}), (eg3d, EG3D, "eg3d", {}),
]


@pytest.mark.parametrize(("make", "cls", "name", "options"), FILES, ids=[case[0].__name__ for case in FILES])
def test_what_is_written_is_the_edited_generator(
    cli: Cli, tmp_path: Path, make: Callable[[Path], Path], cls: type[Generator], name: str, options: dict[str, Any],
) -> None:
    base = make(tmp_path)
    edited = edit_of(read(cls, base, **options), tmp_path / "edit.safetensors", name)
    done = cli("apply", "edit.safetensors", "--base", base, "--out", f"out{base.suffix}")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert done.stdout.splitlines()[0] == f"wrote out{base.suffix}"
    out = tmp_path / f"out{base.suffix}"
    found = read(cls, out, **options).module.state_dict()
    for key, value in edited.module.state_dict().items():
        assert torch.equal(found[key], value), key
    before, after = read_checkpoint(base), read_checkpoint(out)
    assert before.format == after.format and list(before.state) == list(after.state)
    assert [value.dtype for value in before.state.values()] == [value.dtype for value in after.state.values()]
    assert out.stat().st_size == base.stat().st_size and not list(tmp_path.glob(".*.part"))


@pytest.mark.parametrize("suffix", [".pt", ".npz"])
def test_a_plugin_writes_its_own_files(
    cli: Cli, tmp_path: Path, outside: Registry, outside_path: Path, suffix: str
) -> None:
    cls, base = outside.component_class("generator", "outside-toy"), tmp_path / f"toy{suffix}"
    state = read(cls, None, network_seed=7).module.state_dict()
    if suffix == ".pt":
        torch.save(state, base)
    else:
        np.savez(base, **{name.replace(".", "/"): value.numpy() for name, value in state.items()})
    edited = edit_of(read(cls, base), tmp_path / "edit.safetensors", "outside-toy")
    done = cli("apply", "edit.safetensors", "--base", base, "--out", f"out{suffix}", paths=(outside_path,))
    assert done.returncode == 0, done.stderr
    found = read(cls, tmp_path / f"out{suffix}").module.state_dict()
    assert all(torch.equal(found[key], value) for key, value in edited.module.state_dict().items())


def test_a_generator_without_a_file_says_what_to_use(
    cli: Cli, tmp_path: Path, outside: Registry, outside_path: Path
) -> None:
    cls = outside.component_class("generator", "outside-toy")
    edited = edit_of(read(cls, None, network_seed=7), tmp_path / "edit.safetensors", "outside-toy")
    metadata = load_edit(tmp_path / "edit.safetensors")[1]
    assert json.loads(metadata["base_options"]) == {"network_seed": 7}
    (tmp_path / "any").write_text("x")
    for base in ((), ("--base", "any")):
        done = cli("apply", "edit.safetensors", *base, "--out", "out.pt", paths=(outside_path,))
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert "makes without a file" in done.stderr and "unlearnkit sample --edit" in done.stderr
    done = cli("sample", "--edit", "edit.safetensors", "--out", "x.png", "--count", "1", paths=(outside_path,))
    assert done.returncode == 0, done.stderr  # the seed of the network came with the edit
    fresh = read(cls, None, network_seed=7)
    put_on(fresh, tmp_path / "edit.safetensors")
    assert all(torch.equal(fresh.module.state_dict()[key], value) for key, value in edited.module.state_dict().items())


def test_the_class_of_a_conditional_network_comes_with_the_edit(cli: Cli, tmp_path: Path) -> None:
    base = conditional(tmp_path)
    edit_of(read(StyleGAN2, base, label=3), tmp_path / "edit.safetensors", "stylegan2")
    common = ("sample", "--edit", "edit.safetensors", "--checkpoint", base, "--count", "1")
    for name, extra in (("a", ()), ("b", ("--set", "generator.label=3")), ("c", ("--set", "generator.label=1"))):
        done = cli(*common, *extra, "--out", f"{name}.png")
        assert done.returncode == 0, done.stderr
    a, b, c = ((tmp_path / f"{name}.png").read_bytes() for name in "abc")
    assert a == b and a != c
    edit = tmp_path / "edit.safetensors"
    generator = unlearnkit.load_generator(checkpoint=base, edit=edit, device="cpu")
    assert isinstance(generator, StyleGAN2) and generator.label == 3
    said = {"method": "guide", "generator": "stylegan2", "checkpoint": base, "base": edit, "latent_seed": 1,
            "identity": "demo-identity", "judge": "demo-judge", "perceptual": "demo-trunk"}
    for extra, label in (({}, 3), ({"set": {"generator.label": 1}}, 1)):
        chosen = RunOptions(**said, **extra).settings().generator.component
        assert isinstance(chosen, StyleGAN2) and chosen.label == label


def test_changes_that_the_precision_of_the_file_loses_are_not_kept_quiet(cli: Cli, tmp_path: Path) -> None:
    base = bfloat(tmp_path)
    frozen = read(StyleGAN2, base, label=3)
    edited = copy.deepcopy(frozen)
    parameters = list(edited.editable_parameters().values())
    with torch.no_grad():
        for value in parameters:
            value.mul_(1.0005)
    save_edit(tmp_path / "lost.safetensors", frozen, edited, "stylegan2", "by-hand")
    done = cli("apply", "lost.safetensors", "--base", base, "--out", "out.safetensors")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1) and "too coarse" in done.stderr, done.stderr
    assert not (tmp_path / "out.safetensors").exists()
    with torch.no_grad():
        parameters[0].add_(1.0)
    save_edit(tmp_path / "half.safetensors", frozen, edited, "stylegan2", "by-hand")
    done = cli("apply", "half.safetensors", "--base", base, "--out", "out.safetensors")
    assert done.returncode == 0 and "rounded back" in done.stderr, done.stderr


@pytest.mark.parametrize(("extra", "words"), [
    (("--out", "out.pkl"), "'sg2_ada_32.pkl' with SHA-256"),
    (("--base", "other.pkl", "--out", "out.pkl"), "another base"),
    (("--base", str(nvidia(GOLDEN)), "--out", "mine.pkl"), "never overwritten"),
    (("--base", str(nvidia(GOLDEN)), "--out", "nowhere.pkl"), "never overwritten"),
    (("--base", str(nvidia(GOLDEN)), "--out", "no/out.pkl"), "does not exist"),
])
def test_what_cannot_be_done_is_one_line(cli: Cli, tmp_path: Path, extra: tuple[str, ...], words: str) -> None:
    edit_of(read(StyleGAN2, nvidia(tmp_path)), tmp_path / "edit.safetensors", "stylegan2")
    (tmp_path / "other.pkl").write_bytes(b"other")
    (tmp_path / "mine.pkl").write_bytes(b"mine")
    (tmp_path / "nowhere.pkl").symlink_to(tmp_path / "gone")
    there = sorted(tmp_path.iterdir())
    done = cli("apply", "edit.safetensors", *extra)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1) and words in done.stderr, done.stderr
    assert sorted(tmp_path.iterdir()) == there and (tmp_path / "mine.pkl").read_bytes() == b"mine"


@pytest.mark.parametrize(("changes", "words"), [
    ({"generator": "nobody"}, "nobody"), ({"generator": "eg3d"}, "has no tensor"),
    ({"base_name": "two\nlines", "base_sha256": "1" * 64}, "another base"),
])
def test_what_an_edit_says_is_not_believed(cli: Cli, tmp_path: Path, changes: dict[str, str], words: str) -> None:
    base = nvidia(tmp_path)
    metadata = {"format": FORMAT, "generator": "stylegan2", "base_format": "x",
                "base_sha256": read_checkpoint(base).sha256} | changes
    write_tensors(tmp_path / "edit.safetensors", {"nowhere.weight": torch.zeros(1)}, metadata)
    done = cli("apply", "edit.safetensors", "--base", base, "--out", "out.pkl")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1) and words in done.stderr, done.stderr


def test_no_network_is_built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from unlearnkit.edits.file import apply_edit

    edit_of(read(StyleGAN2, rosinality(tmp_path)), tmp_path / "edit.safetensors", "stylegan2")

    def refuse(*_: object) -> None:
        raise AssertionError("a network was built")

    monkeypatch.setattr(Network, "__init__", refuse)
    monkeypatch.setattr(StyleGAN2, "prepare", refuse)
    applied = apply_edit(tmp_path / "edit.safetensors", rosinality(tmp_path), tmp_path / "out.pt")
    assert (applied.out, applied.rounded_back) == (tmp_path / "out.pt", 0.0)
    assert applied.tensors_changed == len(load_edit(tmp_path / "edit.safetensors")[0])
