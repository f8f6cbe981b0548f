"""``unlearnkit bench`` as a process: the way of somebody's own method from installing to a table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import Cli

TINY = ("--steps", "1", "--samples", "4", "--identities", "1", "--set", "inverter.refine_steps=1")


def test_help_and_mistakes_are_quick_and_leave_nothing(cli: Cli, tmp_path: Path) -> None:
    assert "--tune" in cli("bench", "--help").stdout
    for arguments, words in {
        ("--methods", "guid"): "Did you mean 'guide'?",
        ("--scenarios", "nowhere"): "scenarios: got 'nowhere', expected random, ind",
        ("--part", "3/2"): "part: got '3/2', expected I/N",
        ("--set", "metrics.samples=3"): "give --samples",
        ("--set", "target.bogus=3"): "bogus",
        ("--device", "cuda:99"): "cuda:99",
        ("--tune", "guide", "--methods", "ewc"): "exclude each other",
    }.items():
        done = cli("bench", *arguments)
        assert done.returncode == 2 and words in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert not list(tmp_path.iterdir())


def test_help_imports_no_torch(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "poison").mkdir()
    (tmp_path / "poison" / "torch.py").write_text("raise SystemExit('torch was imported')")
    done = cli("bench", "--help", paths=(tmp_path / "poison",))
    assert done.returncode == 0 and "torch was imported" not in done.stdout + done.stderr


@pytest.mark.slow
def test_from_a_plugin_of_ones_own_to_a_table(cli: Cli, outside_path: Path, tmp_path: Path) -> None:
    """docs/benchmarks.md, "A method of your own": install, tune, bench, compare; no --mix-budgets."""
    before = cli("bench", "--methods", "outside-nudge", "--scenarios", "random", *TINY, "--results", "untuned",
                 paths=(outside_path,))
    assert before.returncode == 0 and "never tuned: outside-nudge" in before.stdout, before.stdout + before.stderr

    tuned = cli("bench", "--tune", "outside-nudge", *TINY, paths=(outside_path,))
    assert tuned.returncode == 0 and "wrote runs/bench/tuned.json" in tuned.stdout, tuned.stdout + tuned.stderr
    entry = json.loads((tmp_path / "runs/bench/tuned.json").read_text())["generators"]["stylegan2"]["outside-nudge"]
    assert entry["trials"] == 4 and entry["settings"] in ({"method.amount": 0.001}, {"method.amount": 0.01})
    assert len(entry["tried"]) == 2

    arguments = ("bench", "--methods", "outside-nudge,closed-form", "--scenarios", "random", *TINY)
    first = cli(*arguments, paths=(outside_path,))
    assert first.returncode == 0, first.stdout + first.stderr
    assert first.stdout.startswith("2 cases: 2 methods, 1 person (stylegan2 random); 2 cases to do: about")
    assert "never tuned" not in first.stdout and "left out" not in first.stdout
    assert "Times are from" in first.stdout and "results: runs/bench/quick" in first.stdout
    made = json.loads((tmp_path / "runs/bench/quick/cases/stylegan2.random.outside-nudge.random_seed_1000.0.json")
                      .read_text())
    assert made["settings"]["method"]["amount"] == entry["settings"]["method.amount"]
    assert made["budget"]["tuning_trials"] == 4 and made["hardware"]["instructions"]

    again = cli(*arguments, paths=(outside_path,))
    assert again.returncode == 0 and "2 done before, nothing to do" in again.stdout
    compared = cli("compare", "runs/bench/quick", paths=(outside_path,))
    assert compared.returncode == 0, compared.stderr
    assert "outside-nudge" in compared.stdout and "closed-form" in compared.stdout
