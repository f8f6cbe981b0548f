"""Weights that are finite and draw nothing are refused before any work, by run and sample."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import torch
from cases import files

from unlearnkit.checkpoints import read_checkpoint, write_like

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


def test_absurd_weights(cli: Cli, tmp_path: Path) -> None:
    base = files.GOLDEN / files.STYLEGAN2
    state = read_checkpoint(base).state
    name = next(name for name in state if name.endswith("torgb.weight"))
    write_like(base, {name: torch.full_like(state[name], 3e38)}, tmp_path / "absurd.pkl")
    ours = ("--identity", "demo-identity", "--judge", "demo-judge", "--perceptual", "demo-trunk")
    run = cli("run", "--method", "guide", "--generator", "stylegan2", "--checkpoint", "absurd.pkl", *ours,
              "--latent-seed", "1", "--out", "run")
    sample = cli("sample", "--generator", "stylegan2", "--checkpoint", "absurd.pkl", "--out", "faces.png")
    for done in (run, sample):
        assert done.returncode == 2 and "not finite" in done.stderr and done.stderr.count("\n") <= 2, done.stderr
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists() and not (tmp_path / "faces.png").exists()
