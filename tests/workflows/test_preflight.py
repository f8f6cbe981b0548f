"""Mistakes are found before a folder is made, all of them at once, each with what would do."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import attrs
import pytest
import torch
from PIL import Image
from rich.console import Console
from torch import Tensor

from unlearnkit.config import Settings, resolve
from unlearnkit.errors import ConfigError, Mistakes, UnlearnkitError
from unlearnkit.interfaces import IdentityEncoder
from unlearnkit.plugins import Registry, registry
from unlearnkit.workflows import preflight
from unlearnkit.workflows.options import RunOptions
from unlearnkit.workflows.run import dry_run, start_run

TABLES: dict[str, Any] = {
    "method.name": "outside-nudge", "generator.name": "outside-toy", "request.latent_seed": 1,
    "request.random_bystanders": 1, "identity.name": "demo-identity", "judge.name": "demo-judge",
    "perceptual.name": "demo-trunk", "metrics.names": [], "device": "cpu",
}


@pytest.fixture(autouse=True)
def no_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What is ready to use must not hang on what was fetched on this machine."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


def settings(outside: Registry, **more: Any) -> Settings:
    tables = {**TABLES, **{key.replace("__", "."): value for key, value in more.items()}}
    return resolve({key: value for key, value in tables.items() if value is not None}, outside)


def problems(made: Settings, out: Path | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        preflight.check(made, out=out)
    error = caught.value
    return " | ".join(error.problems if isinstance(error, Mistakes) else [str(error)])


def test_nothing_is_wrong(outside: Registry) -> None:
    preflight.check(settings(outside))


def test_what_nobody_chose_comes_with_candidates(outside: Registry) -> None:
    told = problems(settings(outside, identity__name=None, judge__name=None, perceptual__name=None))
    assert told.count("give --identity NAME (ready to use: demo-identity, demo-judge") == 1
    assert "give --judge NAME (ready to use: demo-identity, demo-judge" in told
    assert "give --perceptual NAME (ready to use: demo-trunk" in told


def test_nobody_judges_their_own_work(outside: Registry) -> None:
    told = problems(settings(outside, judge__name="demo-identity"))
    assert "may not judge its own work" in told and "ready to use: demo-judge;" in told


def bundled(**more: Any) -> Settings:
    tables = {"method.name": "guide", "generator.name": "stylegan2", "device": "cpu", "metrics.names": [],
              **{key.replace("__", "."): value for key, value in more.items()}}
    return resolve(tables, registry())


def test_networks_that_know_other_faces_are_refused(tmp_path: Path) -> None:
    real, nobodys = tmp_path / "stylegan2-ffhq-256x256.pkl", tmp_path / "mine.pkl"
    for path in (real, nobodys):
        path.write_bytes(b"weights")
    preflight.check(bundled())
    demo = {"identity__name": "demo-identity", "judge__name": "demo-judge", "perceptual__name": "lpips-vgg",
            "request__latent_seed": 1}
    told = problems(bundled(generator__checkpoint=str(real), **demo))
    assert "draws photographs, which other networks do not know" in told
    assert "identity 'demo-identity' (synthetic renders), judge 'demo-judge' (synthetic renders);" in told
    assert "--judge one of arcface-ir-se50" in told and "demo-judge," not in told.partition("give ")[2]
    assert "mixed_domains" not in problems(
        bundled(generator__checkpoint=str(real), request__mixed_domains=True, perceptual__trunk="none", **demo))
    told = problems(bundled(judge__name="facenet-vggface2"))
    assert "draws synthetic renders" in told and "--judge one of demo-identity, demo-judge" in told
    unknown = bundled(generator__checkpoint=str(nobodys), **{**demo, "perceptual__name": "demo-trunk"})
    preflight.check(unknown)  # nobody knows whom that file draws
    assert unknown.domains() == {"generator": "any", **dict.fromkeys(
        ("identity", "judge", "perceptual"), "synthetic-renders")}


@attrs.define(eq=False)
class JudgeOnly(IdentityEncoder):
    """An encoder outside torch."""

    differentiable: ClassVar[bool] = False

    def embed(self, images: Tensor) -> Tensor:
        return torch.ones(len(images), 1)


def test_a_judge_only_encoder_is_refused_for_losses(outside: Registry) -> None:
    made = settings(outside)
    assert made.identity is not None
    judging = attrs.evolve(made, identity=attrs.evolve(made.identity, name="dlib", component=JudgeOnly()))
    told = problems(judging)
    assert "identity encoder 'dlib' has no gradients, so it can only judge" in told and "demo-identity" in told
    preflight.check(attrs.evolve(made, judge=attrs.evolve(made.identity, name="dlib", component=JudgeOnly())))


def test_files_pictures_device_and_folder_at_once(outside: Registry, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    Image.new("RGB", (8, 4)).save(tmp_path / "wide.png")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("")
    made = settings(
        outside, request__latent_seed=None, request__images=[str(tmp_path / "text.png"), str(tmp_path / "wide.png")],
        request__align=False, device="cuda:9", judge__name="arcface-ir-se50",
    )
    told = problems(made, tmp_path / "full")
    for part in ("text.png cannot be read", "wide.png is 8×4", "no weights", "cuda:9", "not empty",
                 "needs an inverter"):
        assert part in told, part


def test_the_dry_run_finds_what_the_run_finds_and_no_folder_is_left(outside: Registry, tmp_path: Path) -> None:
    made = settings(outside, request__latent_seed=None, request__latent=str(tmp_path / "none.safetensors"),
                    judge__name="facenet-vggface2")
    found = []
    for start in (lambda: dry_run(made, tmp_path / "run"),
                  lambda: start_run(made, tmp_path / "run", Console(quiet=True))):
        with pytest.raises(UnlearnkitError) as caught:
            start()
        found.append(str(caught.value))
    assert found[0] == found[1] and "none.safetensors" in found[0] and "no weights" in found[0]
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_network_leaves_no_run_behind(outside: Registry, tmp_path: Path) -> None:
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"x" * 100)
    made = settings(outside, generator__name="stylegan2", generator__checkpoint=str(bad), method__name="guide")
    for start in (dry_run, lambda made, out: start_run(made, out, Console(quiet=True))):
        with pytest.raises(UnlearnkitError, match="bad"):
            start(made, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_mistakes_of_settings_and_of_files_are_told_together(outside: Registry, tmp_path: Path) -> None:
    options = RunOptions(
        method="outside-nudge", generator="outside-toy", image=tmp_path / "none.png", identity="demo-identity",
        judge="demo-identity", perceptual="demo-trunk", set={"metrics.samples": 1, "target.distance": -1},
    )
    with pytest.raises(Mistakes) as caught:
        options.settings()
    told = " | ".join(caught.value.problems)
    for part in ("metrics.samples", "target.distance", "none.png", "own work"):
        assert part in told, part
