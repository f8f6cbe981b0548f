"""Several people in one request, and edits on edits, as processes on a toy that takes a second."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from unlearnkit.checkpoints import file_sha256, read_tensors, write_tensors
from unlearnkit.edits.file import load_edit, put_on

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
RUN = ("run", "--method", "outside-nudge", "--generator", "outside-toy", "--identity", "demo-identity", "--judge",
       "demo-judge", "--perceptual", "demo-trunk", "--set", "metrics.samples=2", "--set",
       "metric.neighbours.directions=1", "--set", "request.random_bystanders=2")
NUDGE = ("--set", "method.amount=0.3")


def read(file: Path) -> dict:
    return json.loads(file.read_text())


def made(cli: Cli, site: Path, *arguments: str | Path) -> str:
    """Run; returns what it said."""
    done = cli(*RUN, *arguments, paths=(site,))
    assert done.returncode == 0, done.stderr
    return " ".join(done.stdout.split())


@pytest.fixture
def first(cli: Cli, outside_path: Path, tmp_path: Path) -> Path:
    """A run that erased Ada and Bo."""
    made(cli, outside_path, *NUDGE, "--person", "Ada=seed:1", "--person", "Bo B.=seed:2", "--out", "first")
    return tmp_path / "first"


def test_three_people_jointly(cli: Cli, outside_path: Path, tmp_path: Path) -> None:
    who = [word for name, seed in (("Ada", 1), ("Bo B.", 2), ("Cy", 3)) for word in ("--person", f"{name}=seed:{seed}")]
    said = made(cli, outside_path, *NUDGE, *who, "--out", "run")
    metrics = read(tmp_path / "run" / "metrics.json")
    each = [metrics[f"erased_after_{name}"] for name in ("ada", "bo_b", "cy")]
    assert metrics["n_erased"] == 3 and len(set(each)) == 3
    assert metrics["erased_after"] == pytest.approx(sum(each) / 3) and metrics["erased_worst_after"] == max(each)
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Has the generator forgotten Ada, Bo B. and Cy?" in page
    for name in ("Ada", "Bo B.", "Cy"):
        assert re.search(rf'<span class="name[^"]*">{re.escape(name)}[ <]', page) and f" {name} " in said
    kept = read_tensors(tmp_path / "run" / "latents.safetensors")[0]
    assert kept["targets"].shape == (3, 2, 8) and "erased/1/Bo B./latents" in kept


def test_settings_replay(cli: Cli, outside_path: Path, first: Path, tmp_path: Path) -> None:
    settings = tomllib.loads((first / "config.toml").read_text())
    assert [person["name"] for person in settings["request"]["people"]] == ["Ada", "Bo B."]
    assert "name" not in settings["request"]
    dry = cli("run", "--config", first / "config.toml", "--base", first, "--dry-run", paths=(outside_path,))
    assert dry.returncode == 0 and tomllib.loads(dry.stdout) == settings | {"base": str(first)}, dry.stderr
    again = cli("run", "--config", first / "config.toml", "--out", "again", paths=(outside_path,))
    assert again.returncode == 0, again.stderr
    for name in ("edit.safetensors", "metrics.json", "latents.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (first / name).read_bytes(), name
    one = cli("run", "--config", first / "config.toml", "--latent-seed", "5", "--dry-run", paths=(outside_path,))
    request = tomllib.loads(one.stdout)["request"]
    assert request["latent_seed"] == 5 and request["people"] == []


def test_a_second_run_stands_on_the_first_and_measures_it_again(
    cli: Cli, outside_path: Path, first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = made(cli, outside_path, "--set", "method.amount=0.01", "--base", "first", "--person", "Cy=seed:3",
                "--out", "second")
    sha256, second = file_sha256(first / "edit.safetensors"), tmp_path / "second"
    metadata = load_edit(second / "edit.safetensors")[1]
    assert json.loads(metadata["chain"]) == [sha256] and metadata["base_edit_sha256"] == sha256
    assert metadata["base_sha256"] == load_edit(first / "edit.safetensors")[1]["base_sha256"]
    (link,) = read(second / "manifest.json")["chain"]
    assert (link["sha256"], link["people"]) == (sha256, ["Ada", "Bo B."]) and link["path"].endswith("edit.safetensors")

    one, two = read(first / "metrics.json"), read(second / "metrics.json")
    for name in ("ada", "bo_b"):
        assert two[f"earlier_{name}_before"] == pytest.approx(1)
        assert two[f"earlier_{name}_then"] == pytest.approx(one[f"erased_after_{name}"], abs=1e-6)
        assert two[f"earlier_{name}_after"] != two[f"earlier_{name}_then"]
    page = (second / "report.html").read_text()
    assert "Ada, erased earlier" in page and "Ada, erased earlier" in said and sha256 in page
    assert "Erased earlier" in page and "before this run" in page

    # One file on the checkpoint gives the newest generator: the first nudge and the second.
    monkeypatch.syspath_prepend(outside_path)
    from unlearnkit_outside.generator import ToyGenerator

    found, wanted = ToyGenerator(), ToyGenerator()
    for generator, edit in ((found, second), (wanted, first)):
        generator.prepare(torch.device("cpu"))
        put_on(generator, edit / "edit.safetensors")
    with torch.no_grad():
        for parameter in wanted.editable_parameters().values():
            parameter.add_(0.01)
    for name, tensor in found.module.state_dict().items():
        assert torch.equal(tensor, wanted.module.state_dict()[name]), name

    made(cli, outside_path, "--set", "method.amount=0.01", "--base", "second", "--latent-seed", "4", "--out", "third")
    third = read(tmp_path / "third" / "manifest.json")["chain"]
    assert [link["people"] for link in third] == [["Ada", "Bo B."], ["Cy"]] and third[0] == link
    assert {"earlier_ada_after", "earlier_cy_after"} <= set(read(tmp_path / "third" / "metrics.json"))


def test_somebody_who_comes_back_is_reported(cli: Cli, outside_path: Path, first: Path, tmp_path: Path) -> None:
    said = made(cli, outside_path, "--set", "method.amount=-0.3", "--base", "first", "--person", "Cy=seed:3",
                "--out", "second")
    metrics = read(tmp_path / "second" / "metrics.json")
    border = (metrics["strangers_level"] + metrics["same_person_level"]) / 2
    assert metrics["earlier_ada_then"] < border < metrics["earlier_ada_after"]
    change = f"({metrics['earlier_ada_then']:.2f} → {metrics['earlier_ada_after']:.2f})"
    sentence = f"Ada, erased earlier, came back {change}."
    assert sentence in said and sentence in (tmp_path / "second" / "report.html").read_text()


def test_without_its_run_directory_nobody_is_measured_and_that_is_said(
    cli: Cli, outside_path: Path, first: Path, tmp_path: Path
) -> None:
    shutil.copy(first / "edit.safetensors", tmp_path / "alone.safetensors")
    (first / "latents.safetensors").unlink()
    for number, base in enumerate(("alone.safetensors", "first")):
        said = made(cli, outside_path, "--set", "method.amount=0.01", "--base", base, "--latent-seed", "3",
                    "--out", f"second-{number}")
        run = tmp_path / f"second-{number}"
        assert not any(name.startswith("earlier") for name in read(run / "metrics.json"))
        assert read(run / "manifest.json")["chain"][0]["people"] is None
        for told in (said, (run / "report.html").read_text()):
            assert "1 of 1 earlier edits" in told and "could not be measured again" in told


def tamper(edit: Path) -> None:
    tensors, metadata = read_tensors(edit)
    edit.unlink()
    write_tensors(edit, {name: tensor + 1 for name, tensor in tensors.items()}, metadata)


def test_an_edit_that_its_run_did_not_make_is_refused(
    cli: Cli, outside_path: Path, first: Path, tmp_path: Path
) -> None:
    tamper(first / "edit.safetensors")
    done = cli(*RUN, "--base", "first", "--latent-seed", "3", "--out", "second", paths=(outside_path,))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1) and "is not the edit that its run made" in done.stderr
    assert not (tmp_path / "second").exists()


def test_resume_refuses_another_earlier_edit(cli: Cli, outside_path: Path, first: Path, tmp_path: Path) -> None:
    shutil.copy(first / "edit.safetensors", tmp_path / "alone.safetensors")
    made(cli, outside_path, "--base", "alone.safetensors", "--latent-seed", "3", "--out", "second")
    (tmp_path / "second" / "report.html").unlink()
    tamper(tmp_path / "alone.safetensors")
    done = cli("run", "--resume", "second", paths=(outside_path,))
    assert done.returncode == 2 and "is not the file this run started from" in done.stderr, done.stderr
    (tmp_path / "alone.safetensors").unlink()
    done = cli("run", "--resume", "second", paths=(outside_path,))
    assert done.returncode == 2 and "alone.safetensors does not exist" in done.stderr, done.stderr


def test_an_unfinished_run_and_another_checkpoint_are_no_base(
    cli: Cli, outside_path: Path, first: Path, tmp_path: Path
) -> None:
    done = cli(*RUN, "--set", "generator.network_seed=1", "--base", "first", "--latent-seed", "3", "--out", "other",
               paths=(outside_path,))
    assert done.returncode == 2 and "was made for another base" in done.stderr, done.stderr
    manifest = read(first / "manifest.json")
    (first / "manifest.json").write_text(json.dumps(manifest | {"status": "interrupted"}))
    done = cli(*RUN, "--base", "first", "--latent-seed", "3", "--out", "second", paths=(outside_path,))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1) and "not finished" in done.stderr, done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="paths of the bundled pictures")
def test_the_bundled_world_offers_nobody_who_is_or_was_erased(cli: Cli, tmp_path: Path) -> None:
    import unlearnkit_demo

    picture = unlearnkit_demo.PICTURES / "person_03_1.png"
    common = ("run", "--method", "guide", "--generator", "stylegan2")
    dry = cli(*common, "--person", f"Ada={picture}", "--person", "Bo=seed:1", "--dry-run")
    request = tomllib.loads(dry.stdout)["request"]
    assert [Path(path).stem for path in request["bystanders"]] == [f"person_0{n}_0" for n in (1, 2, 4, 5, 6)]
    clash = cli(*common, "--person", f"Ada={picture}", "--bystander", picture, "--out", "run")
    assert (clash.returncode, clash.stderr.count("\n")) == (2, 1) and "nobody can be both" in clash.stderr
