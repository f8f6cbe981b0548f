"""EG3D from the command line: GUIDE on the bundled one and on a pickle, resuming, turning, inverting, mistakes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import unlearnkit_demo
from PIL import Image

from unlearnkit.checkpoints import read_checkpoint, read_tensors

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
FILE = Path(__file__).parents[2] / "golden" / "eg3d_tiny_p32_n16_sr64.pkl"


TINY = (
    "run", "--method", "guide", "--generator", "eg3d", "--checkpoint", str(FILE), "--latent-seed", "1",
    "--identity", "demo-identity", "--judge", "demo-judge", "--perceptual", "demo-trunk", "--set", "metrics.samples=4",
    "--set", "request.random_bystanders=1", "--set", "metric.neighbours.directions=1", "--set", "save_every=0",
)


@pytest.mark.parametrize("method", ["guide", "guide-released"])
def test_run_and_apply(cli: Cli, tmp_path: Path, method: str) -> None:
    done = cli(*TINY, "--method", method, "--steps", "2", "--out", "run")
    assert done.returncode == 0, done.stderr
    edit, metadata = read_tensors(tmp_path / "run" / "edit.safetensors")
    assert metadata["generator"] == "eg3d" and edit
    assert all(name.startswith("backbone.synthesis.") for name in edit)
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["n_erased"] == 1
    done = cli("apply", tmp_path / "run" / "edit.safetensors", "--base", FILE, "--out", tmp_path / "out.pkl")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.pkl").stat().st_size == FILE.stat().st_size
    before, after = read_checkpoint(FILE).state, read_checkpoint(tmp_path / "out.pkl").state
    for name, tensor in before.items():
        assert torch.equal(after[name], edit.get(name, tensor)), name
    _only_changed_tensors_differ(FILE.read_bytes(), (tmp_path / "out.pkl").read_bytes(), before, edit)


def _only_changed_tensors_differ(
    old: bytes, new: bytes, before: dict[str, torch.Tensor], edit: dict[str, torch.Tensor]
) -> None:
    """Every byte that differs lies where the old file has the data of a changed tensor."""
    allowed = np.zeros(len(old), bool)
    for name in edit:
        data = before[name].contiguous().numpy().tobytes()
        at = old.find(data)
        assert at >= 0, name
        while at >= 0:
            allowed[at : at + len(data)] = True
            at = old.find(data, at + len(data))
    differs = np.frombuffer(old, np.uint8) != np.frombuffer(new, np.uint8)
    assert differs.any() and not (differs & ~allowed).any()
    assert allowed.sum() < 1.1 * 4 * sum(tensor.numel() for tensor in before.values())


def test_a_killed_run_goes_on_to_the_same_bits(cli: Cli, tmp_path: Path) -> None:
    released = (*TINY, "--method", "guide-released", "--steps", "4")  # the one that draws the most random numbers
    assert cli(*released, "--out", "whole").returncode == 0
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", "from unlearnkit.cli import main; main()", *released, "--out", "cut"]
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, start_new_session=True)
    log = tmp_path / "cut" / "log.jsonl"
    while process.poll() is None and not (log.exists() and log.read_text().count("\n") >= 2):
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    done = cli("run", "--resume", "cut")
    assert done.returncode == 0, done.stderr
    for name in ("edit.safetensors", "log.jsonl", "metrics.json"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_the_bundled_one_needs_nothing_else(cli: Cli, tmp_path: Path) -> None:
    done = cli("run", "--method", "guide", "--generator", "eg3d", "--steps", "1", "--set", "metrics.samples=2",
               "--set", "metric.neighbours.directions=1", "--set", "inverter.refine_steps=1",
               "--image", unlearnkit_demo.PICTURES / "person_00_0.png",
               "--bystander", unlearnkit_demo.PICTURES / "person_01_0.png", "--out", "run")
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["n_geometry"] > 0 and metrics["depth_change_bystanders"] < metrics["depth_between_bystanders"]
    assert metrics["erased_before"] > 0.5 and metrics["erased_front_before"] > 0.5
    for text in ("erased person, mean of all views", "erased person, from the front", "change of bystanders' depth"):
        assert text in done.stdout + done.stderr, text
    page = (tmp_path / "run" / "report.html").read_text()
    assert page.count("data:image/gif;base64,") == 2 and "near is bright" in page
    _, metadata = read_tensors(tmp_path / "run" / "edit.safetensors")
    assert metadata["generator"] == "eg3d"


def test_heads_turn_and_pictures_are_inverted(cli: Cli, tmp_path: Path) -> None:
    done = cli("sample", "--generator", "eg3d", "--count", "2", "--out", "heads.gif")
    assert done.returncode == 0, done.stderr
    gif = Image.open(tmp_path / "heads.gif")
    assert gif.size == (256, 128) and gif.n_frames == 16
    done = cli("invert", unlearnkit_demo.PICTURES / "person_02_0.png", "--generator", "eg3d", "--set",
               "inverter.refine_steps=1", "--out", "me.safetensors")
    assert done.returncode == 0, done.stderr
    assert read_tensors(tmp_path / "me.safetensors")[0]["latent"].shape == (12, 256)
    assert (tmp_path / "me-inverted.png").exists()


@pytest.mark.parametrize(("arguments", "says"), [
    (("sample", "--generator", "stylegan2", "--count", "1", "--out", "turn.gif"), "no views"),
    (("sample", "--generator", "eg3d", "--out", "turn.jpeg"), "ends in .png"),
    (("sample", "--generator", "eg3d", "--checkpoint", FILE.with_name("sg2_ada_32.pkl"), "--out", "x.png"),
     "--generator stylegan2"),
    (("sample", "--generator", "stylegan2", "--checkpoint", FILE, "--out", "x.png"), "--generator eg3d"),
    (("run", "--method", "guide", "--generator", "eg3d", "--inverter", "demo-inverter", "--out", "run"),
     "knows only the bundled StyleGAN2"),
    (("sample", "--generator", "eg3d", "--set", "generator.yaw=3", "--out", "x.png"), "generator.yaw"),
])
def test_mistakes_are_one_line(cli: Cli, tmp_path: Path, arguments: tuple[object, ...], says: str) -> None:
    done = cli(*arguments)
    assert done.returncode == 2 and says in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert not list(tmp_path.glob("*.png")) and not list(tmp_path.glob("*.gif"))
