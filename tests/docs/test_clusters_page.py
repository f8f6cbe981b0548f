"""docs/clusters.md is true: its sweep is the number of jobs that it says, every line is explained, and it runs."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
from pages import DOCS, blocks

from unlearnkit.plugins import registry
from unlearnkit.sweeps.file import Grid, read_sweep
from unlearnkit.sweeps.jobs import jobs_of

PAGE = DOCS / "clusters.md"
SWEEP, SLURM = (block.text for block in blocks(PAGE, "toml"))


def test_its_sweep_is_what_the_page_says(tmp_path: Path) -> None:
    (tmp_path / "sweep.toml").write_text(SWEEP)
    jobs = jobs_of(read_sweep(tmp_path / "sweep.toml"), tmp_path)
    assert f"This one is {len(jobs)} jobs" in PAGE.read_text() and len({job.name for job in jobs}) == len(jobs)
    (tmp_path / "slurm.toml").write_text(SWEEP.partition("[launcher]")[0] + SLURM)
    assert read_sweep(tmp_path / "slurm.toml").launcher_name == "slurm"


def test_every_line_is_explained() -> None:
    text = PAGE.read_text()
    for name in [field.name for field in attrs.fields(Grid)] + ["common", "settings", "launcher"]:
        assert f"`{name}`" in text or f"`[{name}]`" in text or f"`[[{name}]]`" in text, name
    for launcher in registry().names("launcher"):
        assert f"### `{launcher}`" in text


@pytest.mark.slow
def test_it_runs(cli: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    short = SWEEP.replace('[[people]]\nname = "bo"\nlatent_seed = 2\n', "").replace('"guide", ', "")
    short = short.replace("seeds = [0, 1]", "seeds = [0]").replace("samples = 50", "samples = 4")
    (tmp_path / "sweep.toml").write_text(short)
    done = cli("sweep", "sweep.toml")
    assert done.returncode == 0 and "2/2 closed-form.stylegan2.ada.0." in done.stdout, done.stderr
    assert len(list(tmp_path.glob("runs/sweeps/sweep/runs/*/report.html"))) == 2
