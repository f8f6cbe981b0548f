"""`certify` and `verify` as processes, on a real run of a toy that takes a second."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from unlearnkit.runs import Run

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
PAGE = (Path(__file__).parents[2] / "docs" / "json.md").read_text()
RUN = ("run", "--method", "outside-nudge", "--generator", "outside-toy", "--identity", "demo-identity", "--judge",
       "demo-judge", "--perceptual", "demo-trunk", "--set", "metrics.samples=2", "--set", 'metrics.names=["identity"]',
       "--set", "request.random_bystanders=2", "--device", "cpu")


@pytest.fixture(scope="module")
def made(outside_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of Zenobia and Bo B., its key and its certificate."""
    folder = tmp_path_factory.mktemp("certified")
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(outside_path)}
    who = ("--person", "Zenobia=seed:4711", "--person", "Bo B.=seed:2")
    for words in ((*RUN, *who, "--out", "run"), ("certify", "--new-key", "key.pem"),
                  ("certify", "run", "--key", "key.pem", "--out", "certificate.json")):
        command = [sys.executable, "-c", "from unlearnkit.cli import main; main()", *words]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def certified(made: Path, tmp_path: Path) -> Path:
    """A copy of them, to spoil, in the folder where commands run."""
    return Path(shutil.copytree(made, tmp_path, dirs_exist_ok=True))


def refused(done: subprocess.CompletedProcess[str], words: str) -> None:
    assert done.returncode == 1 and done.stdout == "" and "Traceback" not in done.stderr
    assert done.stderr.startswith("refused: ") and done.stderr.count("\n") == 1 and words in done.stderr, done.stderr


def test_from_a_run_to_a_reader(cli: Cli, certified: Path) -> None:
    assert stat.S_IMODE((certified / "key.pem").stat().st_mode) == 0o600
    done = cli("verify", "certificate.json", "--public-key", "key.pem.pub", "--checkpoint", "run/edit.safetensors")
    assert done.returncode == 0 and done.stderr == "", done.stderr
    text = " ".join(done.stdout.split())
    for words in ("which is the key you gave", "bit for bit", "to erase 2 people", "Attacks: NONE WERE TRIED",
                  "no audit was made", "What is NOT claimed", "outside-nudge"):
        assert words in text, words
    answer = re.search(r"Verdict: (.*?)\.", text)
    said = cli("show", "run", "run", "--json").stdout
    assert answer and answer[1].split(";")[0] in json.loads(said)["verdict"]["answer"]
    assert "whose it is unknown" in " ".join(cli("verify", "certificate.json").stdout.split())


def test_nobody_is_in_it(cli: Cli, certified: Path) -> None:
    """Not in what is signed, nor in what anybody is told."""
    document = json.loads(cli("verify", "certificate.json", "--json").stdout)
    text = json.dumps(document) + cli("verify", "certificate.json").stdout
    manifest = Run.open(certified / "run").manifest
    for secret in ("Zenobia", "Bo B", "bo_b", "4711", str(certified), manifest["latents"], manifest["metrics"]):
        assert secret.casefold() not in text.casefold(), secret
    exact = [repr(value) for value in json.loads((certified / "run" / "metrics.json").read_bytes()).values()]
    exact = [number for number in exact if len(number) > 8]
    assert len(exact) > 5 and [number for number in exact if number in text] == []


def test_refusals(cli: Cli, certified: Path) -> None:
    cli("certify", "--new-key", "other.pem")
    refused(cli("verify", "certificate.json", "--public-key", "other.pem.pub"), "signed by another key")
    refused(cli("verify", "certificate.json", "--checkpoint", "run/config.toml"), "another file than those")
    data = (certified / "certificate.json").read_text()
    (certified / "certificate.json").write_text(data.replace('"sig": "', '"sig": "A'))
    refused(cli("verify", "certificate.json"), "")
    (certified / "none.json").write_bytes(b"\xff")
    refused(cli("verify", "none.json"), "no JSON")
    os.mkfifo(certified / "pipe")
    refused(cli("verify", "pipe"), "is a pipe")


def test_json(cli: Cli, certified: Path) -> None:
    done = cli("verify", "certificate.json", "--json", "--public-key", "key.pem.pub")
    found = json.loads(done.stdout)
    assert done.returncode == 0 and found["holds"] and found["trusted"] and found["reasons"] == []
    assert f"`{found['format']}`" in PAGE and all(f"`{field}`" in PAGE for field in found)
    done = cli("verify", "run/config.toml", "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 1 and not found["holds"] and found["statement"] is None and len(found["reasons"]) == 1


def test_certify_writes_over_nothing_and_refuses_a_spoilt_run(cli: Cli, certified: Path) -> None:
    again = cli("certify", "run", "--key", "key.pem", "--out", "certificate.json")
    assert again.returncode == 2 and "never overwritten" in again.stderr
    metrics = certified / "run" / "metrics.json"
    metrics.write_text(metrics.read_text() + " ")
    done = cli("certify", "run", "--key", "key.pem", "--out", "new.json")
    assert done.returncode == 2 and "is not the file that this run wrote" in done.stderr
    assert not (certified / "new.json").exists()


def test_verify_needs_neither_torch_nor_the_network() -> None:
    program = ("import sys, unlearnkit.cli.verify, unlearnkit.certificates.account, unlearnkit.certificates.checking; "
               "sys.exit('torch' in sys.modules)")
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
