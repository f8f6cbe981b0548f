"""A sweep's file: what it means, and one line for each mistake in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from unlearnkit.errors import UnlearnkitError
from unlearnkit.launchers.local import Local
from unlearnkit.launchers.slurm import Slurm
from unlearnkit.sweeps.file import read_sweep
from unlearnkit.sweeps.jobs import jobs_of

HEAD = 'methods = ["closed-form"]\ngenerators = ["stylegan2"]\n'
ADA = '[[people]]\nname = "ada"\nlatent_seed = 1\n'

MISTAKES = [
    ("", "methods: must be given"),
    ("methods = 'x", "no valid TOML"),
    (f"method = 3\n{HEAD}", "there is no setting 'method'. Did you mean 'methods'?"),
    (HEAD.replace('["closed-form"]', "[]"), "methods: got an empty list"),
    (HEAD.replace('["closed-form"]', '"closed-form"'), "methods: got 'closed-form', expected"),
    (HEAD.replace('"closed-form"', '"closed-form", "closed-form"'), "expected each once"),
    (HEAD.replace("closed-form", "closed-fom"), "there is no method 'closed-fom'. Did you mean 'closed-form'"),
    (HEAD.replace("stylegan2", "stylegan"), "there is no generator 'stylegan'. Did you mean"),
    (f"{HEAD}seeds = [-1]", "seeds: got [-1]"),
    (f"{HEAD}seeds = 3", "seeds: got 3"),
    (f"{HEAD}people = 3", "people: got 3"),
    (f"{HEAD}{ADA}age = 3", "there is no setting 'people[0].age'"),
    (f"{HEAD}{ADA}{ADA}", "two people are called 'ada'"),
    (f"{HEAD}[[people]]\nname = 'ada'\nimages = ['missing.png']", "missing.png"),
    (f"{HEAD}common = 3", "common: got 3, expected a table"),
    (f"{HEAD}[common]\nseed = 3", "common.seed: the sweep decides that; give seeds"),
    (f"{HEAD}[common]\nmethod.name = 'guide'", "common.method.name: the sweep decides that; name it in methods"),
    (f"{HEAD}[common]\nmetrics.sample = 3", "closed-form, stylegan2: there is no setting 'metrics.sample'."),
    (f"{HEAD}[settings]\nmethod.samples = 3", "each headed by [[settings]]"),
    (f"{HEAD}[[settings]]\n[[settings]]\nmethod.steps = 3", "closed-form, stylegan2, settings[1]: there is no setting"),
    (f"{HEAD}launcher = 'ray'", "launcher: got 'ray', expected a table"),
    (f"{HEAD}[launcher]\nname = 3", "launcher.name: got 3"),
    (f"{HEAD}[launcher]\nname = 'slrm'", "there is no launcher 'slrm'. Did you mean 'slurm'?"),
    (f"{HEAD}[launcher]\nworker = 3", "there is no setting 'launcher.worker'. Did you mean 'workers'"),
    (f"{HEAD}[launcher]\nworkers = 0", "launcher.workers: got 0"),
    (f"{HEAD}[launcher]\ncpus = 0.5", "launcher.cpus: got 0.5"),
    (f"{HEAD}[launcher]\ngpus = -1", "launcher.gpus: got -1"),
    (f"{HEAD}[launcher]\ngpus = 1.5", "launcher.gpus: got 1.5, expected a whole number, or a part of one GPU"),
    (f"{HEAD}[launcher]\nmemory = 'much'", "launcher.memory: got 'much'"),
    (f"{HEAD}[launcher]\nretries = -1", "launcher.retries: got -1"),
    (f"{HEAD}[launcher]\nname = 'slurm'\nminutes = 0", "launcher.minutes: got 0"),
    (f"{HEAD}[launcher]\nname = 'slurm'\nexecutor = 'lokal'", "launcher.executor: got 'lokal'"),
    (f"{HEAD}[launcher]\nname = 'ray'\npartition = 'gpu'", "there is no setting 'launcher.partition'"),
]


@pytest.mark.parametrize(("text", "words"), MISTAKES, ids=[words[:50] for _, words in MISTAKES])
def test_mistakes(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "sweep.toml").write_text(text)
    with pytest.raises(UnlearnkitError) as caught:
        jobs_of(read_sweep(tmp_path / "sweep.toml"), tmp_path)
    assert words in str(caught.value)


def test_several_mistakes_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "sweep.toml").write_text(f"{HEAD}seeds = 3\n[launcher]\ncpus = 0\n")
    with pytest.raises(UnlearnkitError, match=r"seeds: got 3.*launcher\.cpus: got 0"):
        read_sweep(tmp_path / "sweep.toml")


def test_each_with_each_once_and_known_by_its_settings(tmp_path: Path) -> None:
    text = HEAD.replace('"closed-form"', '"closed-form", "ewc"') + "seeds = [0, 1]\n" + ADA
    (tmp_path / "sweep.toml").write_text(text + ADA.replace("ada", "bo").replace("= 1", "= 2") + "[[settings]]\n" * 2
                                         + "metrics.samples = 10\n")
    found = [job.name for job in jobs_of(read_sweep(tmp_path / "sweep.toml"), tmp_path)]
    assert len(found) == len(set(found)) == 2 * 2 * 2 * 2
    assert {name.rpartition(".")[0] for name in found} == {
        f"{method}.stylegan2.{person}.{seed}" for method in ("closed-form", "ewc") for person in ("ada", "bo")
        for seed in (0, 1)}
    (tmp_path / "other.toml").write_text(HEAD + ADA)
    (job,) = jobs_of(read_sweep(tmp_path / "other.toml"), tmp_path)
    assert job.name in found, "the same settings are the same job, whatever sweep they come from"
    assert b"threads = 1" in job.config
    (tmp_path / "other.toml").write_text(HEAD + ADA + "[launcher]\ncpus = 2\n")
    (job,) = jobs_of(read_sweep(tmp_path / "other.toml"), tmp_path)
    assert job.name not in found and b"threads = 2" in job.config, "other threads, other bits"
    (tmp_path / "other.toml").write_text(HEAD + ADA + "[common]\nthreads = 1\n[launcher]\ncpus = 2\n")
    assert [job.name in found for job in jobs_of(read_sweep(tmp_path / "other.toml"), tmp_path)] == [True]


def test_another_launcher_keeps_the_options_that_it_has(tmp_path: Path) -> None:
    text = "[launcher]\nname = 'slurm'\npartition = 'gpu'\ncpus = 3\nworkers = 7\n"
    (tmp_path / "sweep.toml").write_text(HEAD + text)
    named = read_sweep(tmp_path / "sweep.toml").launcher
    assert isinstance(named, Slurm) and named.partition == "gpu"
    other = read_sweep(tmp_path / "sweep.toml", "local").launcher
    assert isinstance(other, Local) and (other.cpus, other.workers) == (3, 7)
