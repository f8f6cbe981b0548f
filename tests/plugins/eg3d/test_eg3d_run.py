"""GUIDE on an EG3D, from the command line to the edited pickle (random weights, so it shows no quality)."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import torch

from unlearnkit.checkpoints import read_checkpoint, read_tensors

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
FILE = Path(__file__).parents[2] / "golden" / "eg3d_tiny_p32_n16_sr64.pkl"


def test_run_and_apply(cli: Cli, tmp_path: Path) -> None:
    done = cli("run", "--method", "guide", "--generator", "eg3d", "--checkpoint", FILE, "--latent-seed", "1",
               "--steps", "2", "--identity", "demo-identity", "--judge", "demo-judge", "--perceptual", "demo-trunk",
               "--set", "metrics.samples=4", "--set", "request.random_bystanders=1",
               "--set", "metric.neighbours.directions=1", "--out", "run")
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


def _only_changed_tensors_differ(old: bytes, new: bytes, before: dict[str, torch.Tensor], edit: object) -> None:
    """Cut the data of every changed tensor out of both files: what is left is the same, byte for byte."""
    assert isinstance(edit, dict)
    for name in sorted(edit, key=lambda name: -before[name].numel()):
        if before[name].numel() < 16:
            continue  # too short to be found by its bytes
        data, fresh = (t.contiguous().numpy().tobytes() for t in (before[name], edit[name]))
        at = old.index(data)
        assert new[at : at + len(fresh)] == fresh, name
        old, new = (file[:at] + file[at + len(data):] for file in (old, new))
    different = sum(a != b for a, b in zip(old, new, strict=True))
    assert different <= 4 * sum(t.numel() for t in edit.values() if t.numel() < 16)
