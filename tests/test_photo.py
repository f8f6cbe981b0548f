"""From a photo to an edited checkpoint, as README has it, on files of official format whose weights are random."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import unlearnkit_demo as demo
from PIL import Image
from unlearnkit_faces.files import ARCFACE, FACENET
from unlearnkit_faces.irse import ir_se50
from unlearnkit_stylegan2.layouts import Layout
from unlearnkit_stylegan2.network import Generator

from unlearnkit.checkpoints import read_checkpoint
from unlearnkit.cli import run

Cli = Callable[..., subprocess.CompletedProcess[str]]
README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
QUICK = ["--steps", "1", "--set", "inverter.steps=1", "--set", "request.random_bystanders=0", "--set",
         'metrics.names=["identity"]', "--set", "metrics.samples=2", "--set", "perceptual.trunk=trunk.pth"]
"""And the trunk, whose name in the cache promises a hash that random weights have not."""


def path_in_readme() -> list[list[str]]:
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    block = next(block for block in blocks if "--checkpoint ffhq.pkl" in block)
    return [shlex.split(line.replace("ffhq.pkl", "ffhq.pt").replace("edited.pkl", "edited.pt"))[1:]
            for line in block.splitlines()]


def photo(path: Path, number: int) -> None:
    """A person of the bundled world as a phone would have it: neither square nor upright, with EXIF."""
    face = Image.open(demo.PICTURES / f"person_07_{number}.png").convert("RGB").resize((300, 300))
    canvas = Image.new("RGB", (640, 480), "grey")
    canvas.paste(face, (250, 90))
    exif = Image.Exif()
    exif[0x0112] = 6
    canvas.transpose(Image.Transpose.ROTATE_90).save(path, exif=exif)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What a user has: a StyleGAN2 of 256 px in rosinality's format, two photos, and the networks' files."""
    from facenet_pytorch import InceptionResnetV1
    from torchvision.models import vgg16

    torch.manual_seed(0)
    shape = {"z_dim": 16, "c_dim": 0, "w_dim": 24, "img_resolution": 256, "num_layers": 2, "channel_base": 1024}
    network = Generator(**shape, channel_max=16)
    state = Layout("rosinality").to_file(network.state_dict())
    torch.save({"g_ema": state, "latent_avg": torch.zeros(24)}, tmp_path / "ffhq.pt")
    photo(tmp_path / "me.jpg", 0)
    photo(tmp_path / "me2.jpg", 1)
    cache = tmp_path / "torch" / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    torch.save(InceptionResnetV1().state_dict(), cache / FACENET.file_name)
    torch.save(ir_se50().state_dict(), cache / ARCFACE.file_name)
    features = vgg16(weights=None).features.state_dict()
    torch.save({f"features.{name}": value for name, value in features.items()}, tmp_path / "trunk.pth")
    return tmp_path


@pytest.mark.slow
def test_from_a_photo_to_an_edited_checkpoint(cli: Cli, folder: Path) -> None:
    fetch, check, erase, apply = path_in_readme()
    assert [words[0] for words in (fetch, check, erase, apply)] == ["fetch", "run", "run", "apply"]
    for name in fetch[1:]:
        assert f"`{name}`" in (Path(__file__).parents[1] / "docs" / "weights.md").read_text(encoding="utf-8")
    missing = cli(*check, TORCH_HOME=str(folder / "nowhere"))
    assert missing.returncode == 2 and missing.stderr.count("\n") == 3 and "fetch lpips-vgg" in missing.stderr
    done = cli(*erase, *QUICK, TORCH_HOME=str(folder / "torch"))
    assert done.returncode == 0, done.stderr
    done = cli(*apply)
    assert done.returncode == 0, done.stderr
    old, new = read_checkpoint(folder / "ffhq.pt"), read_checkpoint(folder / "edited.pt")
    assert new.format == old.format and old.state.keys() == new.state.keys()
    assert any(not torch.equal(new.state[name], value) for name, value in old.state.items())


def test_the_help_of_run_has_the_same_path() -> None:
    help_text = run.command.help or ""
    for option in ("--inverter optimise", "--identity arcface-ir-se50", "--judge facenet-vggface2",
                   "--perceptual lpips-vgg"):
        assert option in help_text and all(option in shlex.join(words) for words in path_in_readme()[1:3])
