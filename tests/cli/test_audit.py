"""`unlearnkit audit` as a process: what it leaves behind, and one line for everything that can be mended."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from unlearnkit.config import AUDIT
from unlearnkit.edits.file import changed_tensors
from unlearnkit.errors import RunError
from unlearnkit.files.atomic import sha256_file
from unlearnkit.interfaces import Evidence
from unlearnkit.plugins import Registry
from unlearnkit.runs import Run
from unlearnkit.workflows.audit import load_edited

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
RUN = (
    "run", "--method", "outside-nudge", "--generator", "outside-toy", "--target", "outside-shift", "--latent-seed",
    "1", "--identity", "demo-identity", "--judge", "demo-judge", "--perceptual", "demo-trunk",
    "--set", "metrics.names=[]", "--set", "metrics.samples=2", "--set", "request.random_bystanders=2",
    "--device", "cpu",
)
SHORT = tuple(
    word for text in ("neighbours.latents=6", "random-search.latents=5", "reinversion-w.steps=2",
                      "reinversion-w-plus.steps=2", "relearning.steps=3", "difference-search.steps=2",
                      "difference-search.random=4", "relearning-grid.steps=1", "benign-relearning.steps=2",
                      "reinversion-bounded.steps=2", "membership.people=12")
    for word in ("--set", f"attack.{text}")
)
NAMES = ["benign-relearning", "difference-search", "membership", "mixtures", "neighbours", "random-search",
         "read-difference", "reinversion-bounded", "reinversion-w", "reinversion-w-plus", "relearning",
         "relearning-grid", "rounding"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, outside_path: Path) -> Path:
    """A finished run of the toy generator."""
    folder = tmp_path_factory.mktemp("audited")
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(outside_path)}
    command = [sys.executable, "-c", "from unlearnkit.cli import main; main()", *RUN, "--out", "run"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return folder / "run"


@pytest.fixture
def mine(run: Path, tmp_path: Path) -> Path:
    """A copy of it, to spoil."""
    return Path(shutil.copytree(run, tmp_path / "mine"))


def strict(path: Path) -> dict:
    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    return json.loads(path.read_text(), parse_constant=refuse)


def test_an_audit_leaves_numbers_and_a_page(cli: Cli, mine: Path, outside_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in mine.iterdir() if path.is_file() and path.name != ".lock"}
    done = cli("audit", mine, *SHORT, paths=(outside_path,))
    assert done.returncode == 0, done.stderr
    for word in (*NAMES, "audit.json", "audit.html", "0 optimiser steps", "neighbours: 6 latents tried (5 of 13)",
                 "attacker who has"):
        assert word in done.stdout, done.stdout
    audit = strict(mine / "audit.json")
    assert audit["format"] == "unlearnkit-audit-1" and audit["seed"] == 0 and audit["device"] == "cpu"
    assert audit["levels"]["strangers"] < audit["levels"]["border"] < audit["levels"]["same_person"]
    assert [result["attack"] for result in audit["results"]] == NAMES
    assert audit["settings"]["neighbours"]["latents"] == 6 and audit["n_pictures"] == {"person": 1}
    for result in audit["results"]:
        kind = result["control"]["kind"]
        assert result[kind] == result["control"]["curve"][-1][1] and result["best"] == result["curve"][-1][1]
        assert result["curve"][-1][0] == result["budget"] == result["control"]["curve"][-1][0]
        assert ("speedup" in result) == (kind == "floor")
        asks_who = result["attack"] in ("difference-search", "membership", "read-difference")
        assert (result["identified"] is not None) == asks_who == (result["control"]["identified"] is not None)
        assert result["holds"].keys() == {"base", "photo", "encoder", "compute"}
        assert result["tone"] in ("good", "mixed", "bad", "unknown") and result["verdict"].endswith(".")
        effort = result["effort_to_recognise"]
        assert effort is None or 0 <= effort <= result["budget"]
    attackers = [way["attacker"] for way in audit["summary"]]
    assert len(attackers) == len(set(attackers)) >= 5 and {way["attack"] for way in audit["summary"]} <= set(NAMES)
    after = {name: (mine / name).read_bytes() for name in before}
    assert after.pop("report.html") != before.pop("report.html"), "the report counts the audit"
    manifest, noted = json.loads(before.pop("manifest.json")), json.loads(after.pop("manifest.json"))
    assert noted.pop("audits") == {"audit.json": sha256_file(mine / "audit.json")} and noted == manifest
    assert after == before, "an audit changes nothing else that the run left"
    assert 'href="audit.html"' in (mine / "report.html").read_text()


def test_json_is_the_only_thing_on_standard_output(
    cli: Cli, mine: Path, outside_path: Path, noisy_path: Path
) -> None:
    """Whatever plugins print at any time, and progress, goes to standard error."""
    words = ("--attack", "noisy", "--set", "attack.noisy.latents=3", "--json")
    done = cli("audit", mine, *words, paths=(outside_path, noisy_path))
    assert done.returncode == 0, done.stderr
    for way, where in itertools.product(("print", "C", "descriptor", "child"), ("import", "prepare", "attack", "exit")):
        assert f"noise: {way} in {where}" in done.stderr
    assert "loading networks" in done.stderr
    files = {"numbers": str(mine / "audit.json"), "page": str(mine / "audit.html")}
    assert json.loads(done.stdout) == {**strict(mine / "audit.json"), "files": files}


def test_the_page_needs_nothing_but_itself(cli: Cli, mine: Path, outside_path: Path) -> None:
    assert cli("audit", mine, "--attack", "neighbours", *SHORT[:2], paths=(outside_path,)).returncode == 0
    page = (mine / "audit.html").read_text()
    sources = re.findall(r"""(?:src|href)\s*=\s*["']([^"']+)""", page)
    assert len(sources) >= 3 and all(source.startswith(("data:", "#")) or source == "report.html" for source in sources)
    assert not re.search(r"url\((?!['\"]?(?:data:|#))|@import|<script", page)
    assert "light-dark(" in page and "<svg" in page and "How much effort brings person back?" in page


def test_the_same_seed_gives_the_same_audit_and_an_earlier_one_stays(
    cli: Cli, mine: Path, outside_path: Path
) -> None:
    for seed in ("3", "3", "4"):
        done = cli("audit", mine, *SHORT, "--seed", seed, paths=(outside_path,))
        assert done.returncode == 0, done.stderr
    first, second, third = (strict(mine / name) for name in ("audit.json", "audit-2.json", "audit-3.json"))
    assert first["results"] == second["results"] != third["results"]
    assert (mine / "audit-3.html").is_file()


def test_quick_shortens_what_nobody_set(cli: Cli, mine: Path, outside_path: Path) -> None:
    done = cli("audit", mine, "--quick", "--attack", "relearning", "--attack", "neighbours", "--set",
               "attack.neighbours.latents=3", paths=(outside_path,))
    assert done.returncode == 0, done.stderr
    audit = strict(mine / "audit.json")
    assert audit["quick"] is True and list(audit["settings"]) == ["relearning", "neighbours"]
    assert audit["settings"]["relearning"]["steps"] == 24 and audit["settings"]["neighbours"]["latents"] == 3


MISTAKES = [
    (("--attack", "relerning"), "there is no attack 'relerning'. Did you mean 'relearning'"),
    (("--set", "attack.relearning.step=3"), "there is no setting 'attack.relearning.step'"),
    (("--set", "attack.relearning.steps=0"), "attack.relearning.steps: got 0"),
    (("--set", "attack.nonsense.steps=1"), "there is no attack 'nonsense'"),
    (("--set", "method.steps=1"), "expected attack.NAME.FIELD=VALUE"),
    (("--set", "attack.relearning=1"), "expected attack.NAME.FIELD=VALUE"),
    (("--attack", "neighbours", "--set", "attack.relearning.steps=1"), "add --attack relearning"),
    (("--device", "cuda:77"), "cuda:77"),
    (("--device", "toaster"), "toaster"),
    (("--seed", "-1"), "--seed"),
]


@pytest.mark.parametrize(("arguments", "words"), MISTAKES, ids=[" ".join(arguments) for arguments, _ in MISTAKES])
def test_a_mistake_is_one_line(
    cli: Cli, run: Path, outside_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    done = cli("audit", run, *arguments, paths=(outside_path,))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1) and words in done.stderr, done.stderr
    assert not list(run.glob("audit*"))


def _set_status(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"status": "interrupted"}))


@pytest.mark.parametrize(("spoil", "words"), [
    (_set_status, "is not finished (interrupted)"),
    (lambda folder: (folder / "manifest.json").unlink(), "is no run directory"),
    (lambda folder: (folder / "edit.safetensors").unlink(), "edit.safetensors"),
    (lambda folder: (folder / "latents.safetensors").unlink(), "latents.safetensors"),
    (lambda folder: (folder / "latents.safetensors").write_bytes(b"nonsense"), "latents.safetensors"),
    (lambda folder: (folder / "config.toml").write_text("= no"), "config.toml"),
], ids=["unfinished", "no-manifest", "no-edit", "no-latents", "damaged-latents", "damaged-settings"])
def test_a_run_that_cannot_be_audited_is_one_line(
    cli: Cli, mine: Path, outside_path: Path, spoil: Callable[[Path], object], words: str
) -> None:
    spoil(mine)
    done = cli("audit", mine, *SHORT, paths=(outside_path,))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1) and words in done.stderr, done.stderr
    assert not list(mine.glob("audit*"))


def test_a_folder_that_is_not_there(cli: Cli) -> None:
    done = cli("audit", "nowhere")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1) and "nowhere" in done.stderr


def evidence_of(folder: Path) -> Evidence:
    run = Run.open(folder)
    return load_edited(run, run.settings_for(AUDIT)).evidence


def test_a_run_on_an_earlier_edit(
    cli: Cli, run: Path, outside: Registry, outside_path: Path, tmp_path: Path
) -> None:
    """Its generator before has the earlier edit on it, and nothing of its own."""
    second = [*RUN]
    second[second.index("--latent-seed") + 1] = "2"
    done = cli(*second, "--base", run, "--out", "second", paths=(outside_path,))
    assert done.returncode == 0, done.stderr
    done = cli("audit", tmp_path / "second", "--attack", "neighbours", *SHORT[:2], paths=(outside_path,))
    assert done.returncode == 0, done.stderr
    evidence = evidence_of(tmp_path / "second")
    assert evidence.original is not None
    assert changed_tensors(evidence.original, evidence.frozen) and changed_tensors(evidence.frozen, evidence.edited)
    first = evidence_of(run)
    assert first.original is None and not changed_tensors(first.edited, evidence.frozen)
    shutil.copy(tmp_path / "second" / "edit.safetensors", tmp_path / "other.safetensors")
    config = tmp_path / "second" / "config.toml"
    config.write_text(config.read_text().replace(str(run), str(tmp_path / "other.safetensors")))
    with pytest.raises(RunError, match=r"other\.safetensors is not the edit that .*second started from; put that file"):
        evidence_of(tmp_path / "second")


def test_everything_in_a_run_is_private(run: Path) -> None:
    assert {path.stat().st_mode & 0o777 for path in run.rglob("*") if path.is_file()} == {0o600}
    assert {path.stat().st_mode & 0o777 for path in (run, *run.rglob("*")) if path.is_dir()} == {0o700}


@pytest.mark.parametrize("name", ["edit.safetensors", "latents.safetensors"])
def test_files_of_another_run_are_not_audited(cli: Cli, mine: Path, outside_path: Path, name: str) -> None:
    from unlearnkit.checkpoints import read_tensors, write_tensors

    tensors, metadata = read_tensors(mine / name)
    write_tensors(mine / name, {key: tensor + 1 for key, tensor in tensors.items()}, metadata)
    done = cli("audit", mine, "--quick", paths=(outside_path,))
    assert done.returncode == 2 and "is not the file that this run wrote" in done.stderr
    assert done.stderr.count("\n") == 1 and not (mine / "audit.json").exists()
