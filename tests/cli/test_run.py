"""`unlearnkit run` as a process: what it leaves behind, and that nothing that happens to it spoils the result."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import unlearnkit_demo

from unlearnkit.checkpoints import read_tensors

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
STEPS = 5
SHORT = (
    "run", "--method", "guide", "--generator", "stylegan2", "--latent-seed", "3", "--steps", str(STEPS),
    "--set", "metrics.samples=4", "--set", "metric.neighbours.directions=1", "--set", "request.bystanders=[]",
    "--set", "request.random_bystanders=2", "--set", "save_every=0",
)
BUNDLED = unlearnkit_demo.PICTURES
FILES = {"config.toml", "manifest.json", "log.jsonl", "latents.safetensors", "edit.safetensors", "images",
         "metrics.json", "numbers.json", "report.html", ".lock"}


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """The command in the background, with its standard error in a pipe."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    command = [sys.executable, "-c", "from unlearnkit.cli import main; main()", *arguments]
    return subprocess.Popen(command, cwd=folder, env=environment, text=True, start_new_session=True,
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def wait_for(process: subprocess.Popen[str], done: Callable[[], bool]) -> None:
    """Until ``done()``, or the process has ended."""
    deadline = time.monotonic() + 120
    while not done() and process.poll() is None:
        assert time.monotonic() < deadline, "the process hangs"
        time.sleep(0.002)


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run that nobody disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    process = start(folder, *SHORT, "--out", "run")
    assert process.wait(timeout=300) == 0, process.stderr and process.stderr.read()
    return folder / "run"


def assert_same(run: Path, whole: Path) -> None:
    """The same edit, log, latents and numbers, to the bit."""
    for name in ("edit.safetensors", "latents.safetensors", "log.jsonl", "metrics.json", "numbers.json"):
        assert (run / name).read_bytes() == (whole / name).read_bytes(), name
    assert json.loads((run / "manifest.json").read_text())["status"] == "finished"


# ---------------------------------------------------------------- what it leaves behind

def test_the_run_directory_is_complete(whole: Path) -> None:
    assert {path.name for path in whole.iterdir()} == FILES
    manifest = json.loads((whole / "manifest.json").read_text())
    assert manifest["status"] == "finished" and manifest["base"]["format"] and len(manifest["base"]["sha256"]) == 64
    steps = [json.loads(line) for line in lines(whole / "log.jsonl")]
    assert [step["step"] for step in steps] == list(range(STEPS))
    assert all(step[term] > 0 for step in steps for term in ("guide-local/identity", "guide-global/perceptual"))
    metrics = json.loads((whole / "metrics.json").read_text())
    assert metrics["erased_before"] == pytest.approx(1) and metrics["erased_after"] < 0.999


def test_only_synthesis_moved_and_the_edit_knows_its_base(whole: Path) -> None:
    tensors, metadata = read_tensors(whole / "edit.safetensors")
    assert tensors and all(name.startswith("synthesis.") for name in tensors)
    base = json.loads((whole / "manifest.json").read_text())["base"]["sha256"]
    assert metadata["base_sha256"] == base and metadata["generator"] == "stylegan2"


def test_the_report_needs_nothing_but_itself(whole: Path) -> None:
    page = (whole / "report.html").read_text()
    sources = re.findall(r"""(?:src|href)\s*=\s*["']([^"']+)""", page)
    assert sources and all(source.startswith(("data:", "#")) for source in sources)
    assert not re.search(r"url\((?!['\"]?(?:data:|#))|@import|<script[^>]+src", page)


def test_the_table_the_folder_and_the_report_are_told(cli: Cli, tmp_path: Path) -> None:
    done = cli(*SHORT, "--steps", "1", "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    told = done.stdout + done.stderr
    for word in ("erased person", "random people", "peak memory", "measured with: judge demo-judge",
                 "perceptual demo-trunk", "report.html", str(tmp_path / "run")):
        assert word in told, told
    again = cli(*SHORT, "--out", tmp_path / "run")
    assert (again.returncode, again.stderr.count("\n")) == (2, 1) and "not empty" in again.stderr


def test_a_picture_is_erased_and_other_pictures_judge(cli: Cli, tmp_path: Path) -> None:
    pictures = [f"--image={BUNDLED / f'person_03_{number}.png'}" for number in range(2)]
    done = cli("run", "--method", "guide", "--generator", "stylegan2", *pictures, "--steps", "1",
               "--bystander", BUNDLED / "person_04_0.png", "--set", "inverter.refine_steps=1",
               "--set", "metrics.samples=4", "--set", "request.random_bystanders=0", "--out", "run")
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert (metrics["n_erased"], metrics["n_others"], metrics["n_bystanders"]) == (1, 1, 1)
    assert 0.5 < metrics["erased_before"] < 1 and 0.5 < metrics["same_person"] <= 1


def test_two_of_three_pictures_are_erased_and_the_third_judges(cli: Cli, tmp_path: Path) -> None:
    pictures = [f"--image={BUNDLED / f'person_03_{number}.png'}" for number in range(3)]
    done = cli("run", "--method", "guide", "--generator", "stylegan2", *pictures, "--steps", "1",
               "--set", "request.erase=2", "--set", "inverter.refine_steps=0", "--set", "metrics.samples=4",
               "--set", "request.bystanders=[]", "--set", "request.random_bystanders=0", "--out", "run")
    assert done.returncode == 0, done.stderr
    run = tmp_path / "run"
    metrics = json.loads((run / "metrics.json").read_text())
    assert (metrics["n_erased"], metrics["n_others"]) == (2, 1)
    kept = read_tensors(run / "latents.safetensors")[0]
    assert kept["targets"].shape[0] == 2 and kept["erased/0/person/latents"].shape[0] == 3
    assert not kept["targets"][0].equal(kept["targets"][1])
    page = (run / "report.html").read_text()
    assert "person, no. 1<" in page and "person, no. 2<" in page
    assert (run / "images" / "erased-person-1-target.png").exists() and not (
        run / "images" / "erased-person-2-target.png").exists()


def test_released_preset_draws_noise_and_says_so(cli: Cli, tmp_path: Path, whole: Path) -> None:
    arguments = [*SHORT]
    arguments[2] = "guide-released"
    runs = []
    for name in ("a", "b"):
        done = cli(*arguments, "--out", name)
        assert done.returncode == 0, done.stderr
        runs.append(tmp_path / name)
    config = (runs[0] / "config.toml").read_text()
    assert 'noise = "random"' in config and 'feature_pass = "separate"' in config
    assert (runs[0] / "edit.safetensors").read_bytes() == (runs[1] / "edit.safetensors").read_bytes()
    assert (runs[0] / "log.jsonl").read_bytes() != (whole / "log.jsonl").read_bytes()


def test_a_plugin_from_outside_runs_and_a_broken_one_does_no_harm(
    cli: Cli, outside_path: Path, broken_path: Path, tmp_path: Path
) -> None:
    done = cli("run", "--method", "outside-nudge", "--generator", "outside-toy", "--target", "outside-shift",
               "--set", "target.direction=down", "--set", "method.amount=0.2", "--identity", "demo-identity",
               "--judge", "demo-judge", "--perceptual", "demo-trunk", "--latent-seed", "1",
               "--set", "metrics.samples=4", "--out", "run", paths=(outside_path, broken_path))
    assert done.returncode == 0, done.stderr
    config = (tmp_path / "run" / "config.toml").read_text()
    assert 'direction = "down"' in config and "amount = 0.2" in config
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["plugins"]["unlearnkit-outside"] == "1.2.3" and "unlearnkit-broken" not in manifest["plugins"]
    assert (tmp_path / "run" / "edit.safetensors").stat().st_size > 0


# ---------------------------------------------------------------- killed, stopped, resumed

MOMENTS = {
    "while the networks load": lambda run: (run / "manifest.json").exists(),
    "while a checkpoint is written": lambda run: any((run / "checkpoint").glob(".*")) and len(
        lines(run / "log.jsonl")) >= 3,
    "after the last step": lambda run: len(lines(run / "log.jsonl")) == STEPS,
    "while it measures": lambda run: (run / "edit.safetensors").exists(),
    "while it draws": lambda run: (run / "manifest.json").exists() and '"finished": "' in (
        run / "manifest.json").read_text() and not (run / "report.html").exists(),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_and_resumed_gives_the_same_bits(moment: str, cli: Cli, tmp_path: Path, whole: Path) -> None:
    run = tmp_path / "run"
    process = start(tmp_path, *SHORT, "--out", "run")
    wait_for(process, lambda: MOMENTS[moment](run))
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it had ended before it was killed"
    done = cli("run", "--resume", run)
    assert done.returncode == 0, done.stderr
    assert_same(run, whole)


CHAINED = (*(word for word in SHORT if word not in ("--latent-seed", "3")), "--person", "Bo=seed:4",
           "--person", "Cy=seed:5")


@pytest.fixture(scope="module")
def chained(tmp_path_factory: pytest.TempPathFactory, whole: Path) -> Path:
    """A short run on top of the first, with two more people."""
    folder = tmp_path_factory.mktemp("chained")
    process = start(folder, *CHAINED, "--base", str(whole), "--out", "run")
    assert process.wait(timeout=300) == 0, process.stderr and process.stderr.read()
    return folder / "run"


def test_a_run_on_an_earlier_edit_keeps_it_and_looks_after_it(whole: Path, chained: Path) -> None:
    one, two = (json.loads((run / "metrics.json").read_text()) for run in (whole, chained))
    assert two["earlier_person_then"] == pytest.approx(one["erased_after"], abs=1e-6)
    assert two["earlier_person_before"] == pytest.approx(1) and two["n_erased"] == 2
    old, new = (read_tensors(run / "edit.safetensors")[0] for run in (whole, chained))
    assert old.keys() <= new.keys()
    steps = [json.loads(line) for line in lines(chained / "log.jsonl")]
    # The frozen side is the generator with the earlier edit on it: before the first step nothing differs from it.
    assert steps[0]["guide-global/perceptual"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("moment", ["while a checkpoint is written", "while it measures"])
def test_a_chained_run_that_was_killed_gives_the_same_bits(
    moment: str, cli: Cli, tmp_path: Path, whole: Path, chained: Path
) -> None:
    run = tmp_path / "run"
    process = start(tmp_path, *CHAINED, "--base", str(whole), "--out", "run")
    wait_for(process, lambda: MOMENTS[moment](run))
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it had ended before it was killed"
    done = cli("run", "--resume", run)
    assert done.returncode == 0, done.stderr
    assert_same(run, chained)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_says_how_to_go_on(
    number: signal.Signals, cli: Cli, tmp_path: Path, whole: Path
) -> None:
    run = tmp_path / "run"
    process = start(tmp_path, *SHORT, "--set", "save_every=1000", "--out", "run")
    wait_for(process, lambda: len(lines(run / "log.jsonl")) >= 2)
    process.send_signal(number)
    said = process.communicate()[1]
    assert process.returncode == 130 and "Traceback" not in said
    assert re.search(r"unlearnkit run --resume \S*run$", said.strip().splitlines()[-1]), said
    assert json.loads((run / "manifest.json").read_text())["status"] == "interrupted"
    state = json.loads((run / "checkpoint" / "state.json").read_text())
    assert state["state"]["step"] == len(lines(run / "log.jsonl")) < STEPS
    done = cli("run", "--resume", run)
    assert done.returncode == 0, done.stderr
    assert_same(run, whole)


def test_a_finished_run_is_not_resumed(cli: Cli, whole: Path) -> None:
    before = (whole / "edit.safetensors").stat().st_mtime_ns
    done = cli("run", "--resume", whole)
    assert done.returncode == 2 and "is finished" in done.stderr and done.stderr.count("\n") == 1
    assert (whole / "edit.safetensors").stat().st_mtime_ns == before


# ---------------------------------------------------------------- a disk that does not play along

@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB: the edit alone is larger."""
    disk = tmp_path / "disk"
    disk.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", disk], capture_output=True)
    if made.returncode:
        pytest.skip("only root may mount a small file system")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def test_a_full_disk_is_one_line(cli: Cli, small_disk: Path) -> None:
    done = cli(*SHORT, "--out", small_disk / "run")
    assert done.returncode == 2, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ") and "space" in last and "Traceback" not in done.stderr
    left = [path for path in (small_disk / "run").rglob("*") if path.is_file()]
    assert not [path for path in left if path.name.endswith((".tmp", ".part")) or path.name.startswith(".tmp")], left
    assert not (small_disk / "run" / "edit.safetensors").exists()


def test_a_folder_that_cannot_be_written_is_one_line(cli: Cli) -> None:
    done = cli(*SHORT, "--out", "/proc/run")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1) and "/proc" in done.stderr, done.stderr
