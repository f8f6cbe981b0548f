"""`apply`, `sample` and `invert` as processes: files in, files out, in the format that came in."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import unlearnkit_demo
from PIL import Image
from unlearnkit_stylegan2.generator import StyleGAN2

from unlearnkit.checkpoints import read_tensors, write_tensors
from unlearnkit.edits.file import FORMAT, put_on

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
GOLDEN = Path(__file__).parents[1] / "golden"
BASES = {"nvidia": GOLDEN / "sg2_ada_32.pkl", "rosinality": GOLDEN / "rosinality_32.pt",
         "bundled": unlearnkit_demo.CHECKPOINTS["stylegan2"]}
QUICK = ("--method", "guide", "--generator", "stylegan2", "--latent-seed", "1", "--steps", "2",
         "--identity", "demo-identity", "--judge", "demo-judge", "--perceptual", "demo-trunk",
         "--set", "metrics.samples=2", "--set", "metric.neighbours.directions=1",
         "--set", "request.random_bystanders=0", "--set", "request.bystanders=[]")


def generator(checkpoint: Path) -> StyleGAN2:
    made = StyleGAN2(checkpoint=checkpoint)
    made.prepare(torch.device("cpu"))
    return made


@pytest.fixture(scope="module", params=list(BASES))
def edited(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A base of each format and an edit that a run made of it."""
    import sys

    base, folder = BASES[request.param], tmp_path_factory.mktemp("edited")
    command = [sys.executable, "-c", "from unlearnkit.cli import main; main()", "run", *QUICK,
               "--checkpoint", str(base), "--out", str(folder / "run")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return base, folder / "run" / "edit.safetensors"


def test_apply_writes_the_format_that_came_in(cli: Cli, edited: tuple[Path, Path], tmp_path: Path) -> None:
    base, edit = edited
    out = tmp_path / f"out{base.suffix}"
    done = cli("apply", edit, "--base", base, "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    paths = {"edit": str(edit), "base": str(base), "out": str(out)}
    numbers = {"tensors_changed": len(read_tensors(edit)[0]), "rounded_back": 0.0}
    assert json.loads(done.stdout) == {"format": "unlearnkit-apply-1", **paths, **numbers}
    assert generator(out).base.format == generator(base).base.format
    assert abs(out.stat().st_size - base.stat().st_size) <= (1024 if base.suffix == ".safetensors" else 0)
    wanted, found, before = generator(base), generator(out), generator(base)
    put_on(wanted, edit)
    changed = set(read_tensors(edit)[0])
    for name, tensor in found.module.state_dict().items():
        torch.testing.assert_close(tensor, wanted.module.state_dict()[name], rtol=0, atol=1e-6, msg=name)
        if name not in changed:
            assert torch.equal(tensor, before.module.state_dict()[name]), name
    assert any(not torch.equal(found.module.state_dict()[name], before.module.state_dict()[name]) for name in changed)


def test_apply_refuses_another_base_and_an_existing_file(cli: Cli, edited: tuple[Path, Path], tmp_path: Path) -> None:
    base, edit = edited
    other = next(path for path in BASES.values() if path != base)
    done = cli("apply", edit, "--base", other, "--out", tmp_path / "out.pkl")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1) and "another base" in done.stderr
    assert not (tmp_path / "out.pkl").exists()
    (tmp_path / "mine.pkl").write_text("mine")
    done = cli("apply", edit, "--base", base, "--out", tmp_path / "mine.pkl")
    assert done.returncode == 2 and (tmp_path / "mine.pkl").read_text() == "mine"


def test_sample_draws_the_same_grid_and_shows_the_edit(cli: Cli, edited: tuple[Path, Path], tmp_path: Path) -> None:
    base, edit = edited
    side = generator(base).resolution
    common = ("sample", "--generator", "stylegan2", "--checkpoint", base, "--count", "6", "--seed", "4")
    for name, extra in (("a", ()), ("b", ()), ("edited", ("--edit", edit))):
        done = cli(*common, *extra, "--out", tmp_path / f"{name}.png")
        assert done.returncode == 0, done.stderr
    a, b, after = ((tmp_path / f"{name}.png") for name in ("a", "b", "edited"))
    assert a.read_bytes() == b.read_bytes() and a.read_bytes() != after.read_bytes()
    with Image.open(a) as grid:
        assert grid.size == (6 * side, side)


def test_invert_writes_a_latent_that_run_takes(cli: Cli, tmp_path: Path) -> None:
    picture = unlearnkit_demo.PICTURES / "person_05_0.png"
    done = cli("invert", picture, "--generator", "stylegan2", "--set", "inverter.refine_steps=1",
               "--out", "w.safetensors")
    assert done.returncode == 0, done.stderr
    run = cli("run", "--method", "guide", "--generator", "stylegan2", "--latent", "w.safetensors", "--steps", "1",
              "--set", "metrics.samples=2", "--set", "request.bystanders=[]",
              "--set", "request.random_bystanders=0", "--out", "run")
    assert run.returncode == 0, run.stderr
    latent = read_tensors(tmp_path / "w.safetensors")[0]["latent"]
    kept = read_tensors(tmp_path / "run" / "latents.safetensors")[0]
    assert torch.equal(kept["erased/0/person/latents"][0], latent)


def test_invert_leaves_the_picture_alone_and_shows_what_it_found(cli: Cli, tmp_path: Path) -> None:
    picture = tmp_path / "me.png"
    picture.write_bytes((unlearnkit_demo.PICTURES / "person_05_0.png").read_bytes())
    before = picture.read_bytes()
    done = cli("invert", picture, "--generator", "stylegan2", "--set", "inverter.refine_steps=0",
               "--out", "me.safetensors")
    assert done.returncode == 0, done.stderr
    assert picture.read_bytes() == before, "the latent's picture replaced the user's"
    with Image.open(picture) as one, Image.open(tmp_path / "me-inverted.png") as both:
        assert both.size == (2 * one.width, one.height)


def spans(data: bytes, parts: list[bytes]) -> list[tuple[int, int]]:
    """Where each of ``parts`` lies in ``data``; each must be there."""
    starts = [data.find(part) for part in parts]
    assert -1 not in starts
    return [(start, start + len(part)) for start, part in zip(starts, parts, strict=True)]


def test_a_pickle_stays_the_same_bytes_but_for_the_changed_tensors(cli: Cli, tmp_path: Path) -> None:
    """By hand, with an edit of two tensors: no reader of ours decides which bytes may differ."""
    base = BASES["nvidia"]
    before = generator(base).module.state_dict()
    names = ["synthesis.b16.conv0.weight", "synthesis.b32.torgb.bias"]
    metadata = {"format": FORMAT, "generator": "stylegan2", "base_format": "stylegan2-nvidia",
                "base_sha256": hashlib.sha256(base.read_bytes()).hexdigest()}
    write_tensors(tmp_path / "edit.safetensors", {name: before[name] + 1 for name in names}, metadata)
    done = cli("apply", "edit.safetensors", "--base", base, "--out", "out.pkl")
    assert done.returncode == 0, done.stderr
    old, new = base.read_bytes(), (tmp_path / "out.pkl").read_bytes()
    allowed = spans(old, [before[name].numpy().tobytes() for name in names])
    different = {index for index, (a, b) in enumerate(zip(old, new, strict=True)) if a != b}
    assert different and all(any(start <= index < end for start, end in allowed) for index in different)
    after = generator(tmp_path / "out.pkl").module.state_dict()
    for name, tensor in before.items():
        assert torch.equal(after[name], tensor + 1 if name in names else tensor), name


@pytest.mark.parametrize(("content", "words"), [(None, "nothing is downloaded"), (b"fake", "expected 397923af")])
def test_lpips_without_its_trunk_is_one_line(cli: Cli, tmp_path: Path, content: bytes | None, words: str) -> None:
    cached = tmp_path / "torch" / "hub" / "checkpoints" / "vgg16-397923af.pth"
    cached.parent.mkdir(parents=True)
    if content is not None:
        cached.write_bytes(content)
    arguments = [*QUICK]
    arguments[arguments.index("demo-trunk")] = "lpips-vgg"
    done = cli("run", *arguments, "--out", "run", TORCH_HOME=str(tmp_path / "torch"))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert words in done.stderr and str(cached) in done.stderr
    assert not (tmp_path / "run" / "edit.safetensors").exists()


def test_doctor_is_content(cli: Cli) -> None:
    done = cli("doctor")
    assert done.returncode == 0, done.stderr
    for word in ("torch", "python", "demo"):
        assert word in done.stdout.lower()
