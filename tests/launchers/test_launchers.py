"""Launchers: what each shares out, and the promises of those that need a package of their own."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import psutil
import pytest

from unlearnkit.config import build
from unlearnkit.errors import ConfigError, PluginError
from unlearnkit.launchers import local
from unlearnkit.launchers.local import Local
from unlearnkit.launchers.ray import Ray
from unlearnkit.launchers.slurm import Slurm
from unlearnkit.plugins import registry
from unlearnkit.testing import Subject, check_component
from unlearnkit.work import Work


def test_they_are_registered() -> None:
    assert registry().names("launcher") == ("local", "ray", "slurm")


def test_cores_and_memory_say_how_many_run_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "usable_cores", lambda: 8)
    total = psutil.virtual_memory().total / 1e9
    assert [Local().at_once(), Local(cpus=3).at_once(), Local(cpus=9).at_once()] == [8, 2, 1]
    assert Local(memory=total / 3.5).at_once() == 3 and Local(memory=total / 3.5, workers=2).at_once() == 2


def test_gpus_are_shared_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6")
    monkeypatch.setattr(local, "usable_cores", lambda: 8)
    assert Local(gpus=0.5).at_once() == 6 and Local(gpus=1).at_once() == 3 and Local(gpus=2).at_once() == 1
    line = "import os; print(os.environ['CUDA_VISIBLE_DEVICES'])"
    works = [Work(f"{n}", ("-c", line), tmp_path / f"{n}.log") for n in range(3)]
    assert all(end.done for end in Local(gpus=2).launch(works, tmp_path))
    assert {(tmp_path / f"{n}.log").read_text() for n in range(3)} == {"4,5\n"}


def test_what_the_machine_lacks_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(ConfigError, match=r"launcher\.gpus: got 1, but this machine has 0"):
        Local(gpus=1).check()
    with pytest.raises(ConfigError, match=r"launcher\.memory: got 1e\+06, but this machine has"):
        Local(memory=1e6).check()
    with pytest.raises(ConfigError, match=r"launcher\.gpus: got 1\.5, expected a whole number, or a part of one"):
        build(Local, {"gpus": 1.5}, "launcher")


def test_a_missing_package_or_program_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(PluginError, match=r"pip install 'unlearnkit\[ray\]'"):
        Ray().check()
    with pytest.raises(PluginError, match=r"pip install 'unlearnkit\[slurm\]'"):
        Slurm().check()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: "there")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(PluginError, match="there is no command srun here"):
        Slurm().check()
    with pytest.raises(ConfigError, match="Slurm shares no GPU"):
        Slurm(executor="local", gpus=0.5).check()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "package", "settings"), [
    ("ray", "ray", {}), ("slurm", "submitit", {"executor": "local", "minutes": 5}),
])
def test_promises_of(name: str, package: str, settings: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip(package)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    check_component(Subject("launcher", name, settings))


@pytest.mark.slow
def test_a_cluster_that_is_not_there(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    with pytest.raises(PluginError, match="no Ray cluster at auto"):
        list(Ray(address="auto").launch([Work("w", ("-c", "pass"), tmp_path / "w")], tmp_path))
