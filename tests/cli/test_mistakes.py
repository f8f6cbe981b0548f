"""Whatever a user mistypes gives a line on stderr, exit code 2 and no traceback."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from PIL import Image

import unlearnkit.cli
from unlearnkit.errors import ConfigError, Interrupted

Cli = Callable[..., "subprocess.CompletedProcess[str]"]

ENCODERS = ("--identity", "demo-identity", "--judge", "demo-judge", "--perceptual", "demo-trunk")
RUN = ("run", "--method", "outside-nudge", "--generator", "outside-toy", *ENCODERS)
APPLY = ("apply", "text.txt")
SAMPLE = ("sample", "--generator", "outside-toy", "--out", "x.png")
INVERT = ("invert", "picture.png", "--generator", "outside-toy", "--out", "x")
MEASURE = ("measure", "text.txt", "--generator", "outside-toy")
# What is wrong stands last, or is a word without option right behind the command: so a test below counts them.
MISTAKES = [
    (("compare", "text.txt", "--full=1"), "does not take a value"),
    (("run", "--nonsense"), "--nonsense"),
    (("measure", "missing"), "missing"),
    (("measure", "folder"), "no run directory"),
    (("measure", "folder", "--generator", "outside-toy"), "--generator is for a checkpoint"),
    (("measure", "folder", "--original", "text.txt"), "--original is for a checkpoint"),
    (("measure", "folder", "--latent", "text.txt"), "--latent is for a checkpoint"),
    (("measure", "folder", "--latent-seed", "1"), "--latent-seed is for a checkpoint"),
    (("measure", "folder", "--person", "Ada=seed:1"), "--person is for a checkpoint"),
    (("measure", "folder", "--identity", "demo-identity"), "--identity is for a checkpoint"),
    (("measure", "folder", "--config", "text.txt"), "--config is for a checkpoint"),
    ((*MEASURE, "--judge", "nonsense"), "there is no identity 'nonsense'"),
    ((*MEASURE, "--perceptual", "nonsense"), "there is no perceptual 'nonsense'"),
    ((*MEASURE, "--inverter", "nonsense"), "there is no inverter 'nonsense'"),
    ((*MEASURE, "--image", "missing.png"), "missing.png"),
    ((*MEASURE, "--bystander", "missing.png"), "missing.png"),
    ((*MEASURE, "--align", "perhaps"), "--align"),
    ((*MEASURE, "--face", "0"), "--face"),
    ((*MEASURE, "--seed", "-1"), "--seed"),
    ((*MEASURE, "--set", "method.steps=3"), "'unlearnkit measure' does not use the setting 'method.steps'"),
    ((*MEASURE, "--device", "nonsense"), "--device"),
    ((*MEASURE, "--out", "text.txt"), "already exists"),
    ((*MEASURE, "--json=1"), "--json"),
    ((*MEASURE, "--debug=1"), "--debug"),
    (("nonsense",), "nonsense"),
    (("run",), "generator"),
    (("run", "--generator", "outside-toi", "--method", "outside-nudge"), "Did you mean 'outside-toy'"),
    (("run", "--generator", "outside-toy", "--method", "nonsense"), "there is no method 'nonsense'"),
    ((*RUN, "--target", "nonsense"), "there is no target 'nonsense'"),
    ((*RUN, "--inverter", "nonsense"), "there is no inverter 'nonsense'"),
    ((*RUN, "--identity", "nonsense"), "there is no identity 'nonsense'"),
    ((*RUN, "--judge", "nonsense"), "there is no identity 'nonsense'"),
    ((*RUN, "--perceptual", "nonsense"), "there is no perceptual 'nonsense'"),
    ((*RUN, "--checkpoint", "missing.pkl"), "missing.pkl"),
    ((*RUN, "--checkpoint", "folder"), "folder"),
    ((*RUN, "--image", "missing.png"), "missing.png"),
    ((*RUN, "--image", "text.txt"), "cannot be read as a picture"),
    ((*RUN, "--bystander", "text.txt"), "cannot be read as a picture"),
    ((*RUN, "--latent", "missing.npy"), "missing.npy"),
    ((*RUN, "--latent-seed", "-1"), "--latent-seed"),
    ((*RUN, "--latent", "text.txt", "--latent-seed", "1"), "exclude each other"),
    ((*RUN, "--latent-seed", "1", "--person", "Ada=seed:1"), "exclude each other"),
    ((*RUN, "--person", "Ada"), "expected NAME=PICTURE"),
    ((*RUN, "--person", "=seed:1"), "expected NAME=PICTURE"),
    ((*RUN, "--person", "Ada="), "expected NAME=PICTURE"),
    ((*RUN, "--person", "Ada=seed:x"), "whole number"),
    ((*RUN, "--person", "Ada=seed:-1"), "request.people[0].latent_seed: got -1"),
    ((*RUN, "--person", "Ada=picture.png,missing.png"), "missing.png"),
    ((*RUN, "--person", "Ada=empty"), "holds no picture"),
    ((*RUN, "--person", "Ada=text.txt"), "cannot be read as a picture"),
    ((*RUN, "--person", "a/b=seed:1"), "without slashes"),
    ((*RUN, "--person", "Ada=seed:1", "--person", "ada=seed:2"), "two people are called 'ada'"),
    ((*RUN, "--set", 'request.people=[{name="Ada"}]'), "got none, expected one of images"),
    ((*RUN, "--set", 'request.people=[{nam="Ada"}]'), "there is no setting 'request.people[0].nam'. Did you mean"),
    ((*RUN, "--set", "request.people=Ada"), "request.people: got 'Ada'"),
    ((*RUN, "--set", "request.people=[1]"), "expected a list, each a table"),
    ((*RUN, "--person", "Ada=seed:1", "--set", "request.name=Bo"), "request.people has names"),
    ((*RUN, "--image", "picture.png", "--set", "request.erase=2"), "request.erase: got 2, but person has 1"),
    ((*RUN, "--image", "picture.png", "--bystander", "picture.png"), "nobody can be both"),
    ((*RUN, "--base", "missing"), "missing"),
    ((*RUN, "--base", "folder"), "edit.safetensors does not exist"),
    ((*RUN, "--latent-seed", "1", "--base", "text.txt"), "text.txt"),
    ((*RUN, "--set", "request.erase=0"), "request.erase"),
    ((*RUN, "--steps", "0"), "--steps"),
    ((*RUN, "--steps", "1.5"), "--steps"),
    ((*RUN, "--seed", "x"), "--seed"),
    ((*RUN, "--seed", "-3"), "--seed"),
    ((*RUN, "--device", "gpu"), "expected auto, cpu"),
    ((*RUN, "--device", "cuda:99"), "cuda:99"),
    ((*RUN, "--set", "device=tpu"), "device"),
    ((*RUN, "--config", "missing.toml"), "missing.toml"),
    ((*RUN, "--config", "text.txt"), "no valid TOML"),
    ((*RUN, "--set", "target.distance"), "--set needs"),
    ((*RUN, "--set", "target.distance=abc"), "target.distance: got 'abc'"),
    ((*RUN, "--set", "target.distance=nan"), "target.distance: got nan"),
    ((*RUN, "--set", "taget.distance=1"), "Did you mean 'target'"),
    ((*RUN, "--seed", "1", "--set", "seed=2"), "given twice"),
    ((*RUN, "--out", "text.txt"), "is a file"),
    ((*RUN, "--out", "folder"), "not empty"),
    (("run", "--resume", "missing"), "missing"),
    (("run", "--resume", "folder"), "no run folder"),
    (("run", "--resume", "folder", "--steps", "3"), "exclude each other"),
    (("run", "--generator", "nonsense"), "there is no generator 'nonsense'. Available:"),
    ((*RUN, "--method", "nonsense"), "there is no method 'nonsense'"),
    ((*RUN, "--config", "folder"), "is a directory"),
    ((*RUN, "--set", "method.amont=1"), "Did you mean 'amount'"),
    ((*RUN, "--set", "request.random_bystanders=-1"), "request.random_bystanders"),
    ((*RUN, "--set", "metrics.samples=1"), "metrics.samples"),
    ((*RUN, "--set", "save_every=-1"), "save_every"),
    ((*RUN, "--dry-run=yes"), "does not take a value"),
    ((*RUN, "--steps"), "(see 'unlearnkit run --help')"),
    (("apply", "missing.safetensors", "--base", "text.txt", "--out", "x"), "missing.safetensors"),
    (("apply", "text.txt", "--out", "x"), "is no safetensors file"),
    (("apply", "text.txt", "--base", "text.txt", "--out", "text.txt"), "never overwritten"),
    (("apply", "text.txt", "--base", "text.txt", "--out", "folder"), "is a folder"),
    ((*APPLY, "--out", "x", "--base", "missing"), "missing"),
    ((*APPLY, "--out", "x", "--base", "folder"), "folder"),
    ((*APPLY, "--base", "text.txt", "--out", "missing/x"), "does not exist"),
    (("sample", "--generator", "outside-toy"), "--out"),
    (("sample", "--out", "x.png", "--generator", "outside-toi"), "Did you mean 'outside-toy'"),
    ((*SAMPLE, "--checkpoint", "missing"), "missing"),
    ((*SAMPLE, "--count", "many"), "--count"),
    ((*SAMPLE, "--seed", "-1"), "--seed"),
    ((*SAMPLE, "--truncation", "x"), "--truncation"),
    ((*SAMPLE, "--config", "text.txt"), "no valid TOML"),
    ((*SAMPLE, "--set", "generator.network_seed=-1"), "generator.network_seed"),
    ((*SAMPLE, "--device", "cuda:99"), "cuda:99"),
    ((*SAMPLE, "--edit", "missing"), "missing"),
    ((*SAMPLE, "--out", "folder"), "is a folder"),
    ((*SAMPLE, "--out", "missing/x.png"), "does not exist"),
    (("sample", "--generator", "outside-toy", "--out", "x.png", "--count", "0"), "--count"),
    (("sample", "--generator", "outside-toy", "--out", "x.png", "--truncation", "nan"), "--truncation"),
    (("sample", "--generator", "outside-toy", "--out", "x.png", "--edit", "missing"), "missing"),
    (("invert", "missing.png", "--out", "x"), "missing.png"),
    (("invert", "text.txt", *INVERT[2:], "--inverter", "optimise"), "cannot be read as a picture"),
    (("invert", "picture.png", "--out", "x", "--generator", "nonsense"), "there is no generator"),
    ((*INVERT, "--checkpoint", "missing"), "missing"),
    ((*INVERT, "--inverter", "nonsense"), "there is no inverter"),
    ((*INVERT, "--config", "missing"), "missing"),
    ((*INVERT, "--set", "inverter.nonsense=1"), "set inverter.name"),
    ((*INVERT, "--device", "gpu"), "expected auto, cpu"),
    ((*INVERT, "--out", "folder"), "is a folder"),
    ((*INVERT, "--out", "missing/x"), "does not exist"),
    ((*INVERT, "--out", "picture.png"), "never overwritten"),
    ((*RUN, "--align", "maybe"), "--align"),
    ((*RUN, "--face", "0"), "expected largest or a number from 1"),
    ((*INVERT, "--align", "maybe"), "--align"),
    ((*INVERT, "--face", "none"), "expected largest or a number from 1"),
    (("convert", "missing", "x.safetensors"), "missing"),
    (("convert", "text.txt", "x.safetensors"), "expected an NVIDIA .pkl"),
    (("convert", "text.txt", "text.txt"), "never overwritten"),
    (("convert", "text.txt", "x.safetensors", "--float32=yes"), "does not take a value"),
    (("convert", "text.txt", "x.onnx"), "choose a name that ends in .safetensors"),
    (("convert", "text.txt", "x.pkl"), "give such a file of the same network with --like"),
    (("convert", "text.txt", "x.pkl", "--like", "missing.pkl"), "missing.pkl"),
    (("convert", "text.txt", "x.pt", "--generator", "nonsense"), "there is no generator 'nonsense'"),
    (("fetch",), "give the NAME"),
    (("fetch", "nonsense"), "there is no weight file 'nonsense'"),
    (("fetch", "--list=yes"), "does not take a value"),
    (("fetch", "fid", "--yes=3"), "does not take a value"),
    (("new", "Left Ear"), "small letters"),
    (("new", "mine", "--kind", "lens"), "'lens' is not one of"),
    (("new", "mine", "--out", "text.txt"), "text.txt"),
    (("new", "mine", "--out", "text.txt/below"), "text.txt"),
    (("audit", "missing"), "missing"),
    (("audit", "folder"), "no run directory"),
    (("audit", "folder", "--attack", "nonsense"), "there is no attack 'nonsense'"),
    (("audit", "folder", "--set", "attack.relearning"), "--set needs"),
    (("audit", "folder", "--seed", "-1"), "--seed"),
    (("audit", "folder", "--device", "gpu"), "expected auto, cpu"),
    (("audit", "folder", "--quick=yes"), "does not take a value"),
    (("certify", "missing", "--key", "text.txt", "--out", "x"), "missing"),
    (("certify", "folder", "--out", "x", "--key", "text.txt"), "is no private key: expected an Ed25519 or ECDSA P-256"),
    (("certify", "folder", "--out", "x"), "Missing --key"),
    (("certify", "folder", "--key", "text.txt", "--out", "text.txt"), "never overwritten"),
    (("certify", "folder", "--key", "text.txt", "--out", "x", "--checkpoint", "missing"), "missing"),
    (("certify", "folder", "--key", "text.txt", "--out", "x", "--expires", "0"), "--expires"),
    (("certify", "--new-key", "text.txt"), "never overwritten"),
    (("certify", "--new-key", "missing/x"), "does not exist"),
    (("certify", "folder", "--new-key", "x"), "stands alone"),
    (("verify", "missing"), "missing"),
    (("verify", "text.txt", "--checkpoint", "missing"), "missing"),
    (("verify", "text.txt", "--public-key", "text.txt"), "is no public key"),
    (("compare",), "RESULTS"),
    (("compare", "missing"), "missing"),
    (("compare", "text.txt"), "text.txt is no JSON"),
    (("compare", "folder"), "holds no results"),
    (("compare", "text.txt", "--mix-budgets=yes"), "does not take a value"),
    (("compare", "text.txt", "--markdown", "folder"), "--markdown: folder is a folder"),
    (("compare", "text.txt", "--latex", "missing/x.tex"), "--latex: the folder missing does not exist"),
    (("compare", "text.txt", "--html", "folder"), "--html: folder is a folder"),
    (("compare", "text.txt", "--merge", "folder"), "--merge: folder is a folder"),
    (("compare", "text.txt", "--predicts", "missing"), "missing"),
    (("compare", "text.txt", "--predicts", "text.txt"), "text.txt is no JSON"),
    (("compare", "text.txt", "--predicts", "text.txt", "--html", "x.html"), "writes no --html"),
    (("compare", "text.txt", "--site", "folder"), "--site: folder already exists"),
    (("bench", "--quick=yes"), "does not take a value"),
    (("bench", "--full=yes"), "does not take a value"),
    (("bench", "--photoreal=yes"), "does not take a value"),
    (("bench", "--methods", "nonsense"), "there is no method 'nonsense'"),
    (("bench", "--methods", "guide", "--tune", "guide"), "exclude each other"),
    (("bench", "--generators", "nonsense"), "there is no generator 'nonsense'"),
    (("bench", "--scenarios", "nonsense"), "scenarios: got 'nonsense'"),
    (("bench", "--identities", "0"), "--identities"),
    (("bench", "--seeds", "0"), "--seeds"),
    (("bench", "--steps", "0"), "--steps"),
    (("bench", "--samples", "1"), "--samples"),
    (("bench", "--results", "text.txt"), "is a file"),
    (("bench", "--again=yes"), "does not take a value"),
    (("bench", "--part", "3/2"), "expected I/N"),
    (("bench", "--known", "missing"), "missing"),
    (("bench", "--known", "text.txt"), "text.txt is no JSON"),
    (("bench", "--launcher", "slrm"), "there is no launcher 'slrm'. Did you mean 'slurm'?"),
    (("bench", "--launcher", "local", "--set", "launcher.nonsense=1"), "nonsense"),
    (("bench", "--launcher", "local", "--part", "1/2"), "--launcher excludes"),
    (("bench", "--set", "launcher.cpus=2"), "give --launcher local, ray or slurm too"),
    (("bench", "--tune", "nonsense"), "there is no method 'nonsense'"),
    (("bench", "--tuned", "text.txt"), "text.txt is damaged"),
    (("bench", "--device", "gpu"), "expected auto, cpu"),
    (("bench", "--device", "cuda:99"), "cuda:99"),
    (("bench", "--set", "target.distance"), "--set needs"),
    (("bench", "--set", "nonsense=1"), "no setting 'nonsense'"),
    (("bench", "--set", "seed=1"), "--seeds"),
    (("sweep", "missing.toml"), "missing.toml"),
    (("sweep", "text.txt"), "no valid TOML"),
    (("sweep", "text.txt", "--out", "text.txt"), "is a file"),
    (("sweep", "text.txt", "--launcher", "slrm"), "there is no launcher 'slrm'. Did you mean 'slurm'?"),
    (("sweep", "text.txt", "--dry-run=yes"), "does not take a value"),
    (("plugins", "nonsense"), "nonsense"),
    (("doctor", "nonsense"), "nonsense"),
    (("build-ext", "--cuda=yes"), "does not take a value"),
    (("build-ext", "--arch"), "requires an argument"),
    (("build-ext", "--force=yes"), "does not take a value"),
    *(((command, "--debug=yes"), "does not take a value") for command in unlearnkit.cli._COMMANDS),
    (("show", "nonsense"), "there is no kind 'nonsense'"),
    (("show", "target", "nonsense"), "there is no target 'nonsense'"),
    (("show", "run"), "needs the folder"),
    (("show", "run", "missing"), "not a run folder"),
    (("completion", "tcsh"), "'tcsh' is not one of"),
    *(((name, "--json=yes"), "does not take a value")
      for name in ("plugins", "doctor", "apply", "show", "audit", "compare", "verify")),
]


@pytest.mark.parametrize(("arguments", "words"), MISTAKES, ids=[" ".join(m[0])[-60:] for m in MISTAKES])
def test_a_line_and_exit_code_2(
    arguments: tuple[str, ...], words: str, outside_path: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
) -> None:
    """In this process: fifty processes that import torch would take minutes."""
    (tmp_path / "text.txt").write_text("this is = no picture")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").touch()
    (tmp_path / "empty").mkdir()
    Image.new("RGB", (32, 32)).save(tmp_path / "picture.png")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(outside_path)
    with pytest.raises(SystemExit) as stop:
        unlearnkit.cli.main(arguments)
    out, err = capfd.readouterr()
    assert (stop.value.code, out) == (2, "")
    lines = err.splitlines()
    assert all(line.startswith("error: ") for line in lines) and any(words in line for line in lines), err
    # A run finds all mistakes at once: most cases of it also lack somebody to erase.
    assert len(lines) == 1 or arguments[0] == "run", err
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before, "it wrote something"


def _faults(arguments: tuple[str, ...]) -> set[tuple[str, str]]:
    """The parameters that a case is about: the last option, or the words right behind the command."""
    command, *rest = arguments
    options = [word for word in rest if word.startswith("--")]
    last = {options[-1].partition("=")[0]} if options and options[-1] in rest[-2:] else set()
    plain = next((number for number, word in enumerate(rest) if word.startswith("--")), len(rest))
    return {(command, name) for name in last | {f"word {number}" for number in range(plain)}}


def test_every_parameter_of_every_command_has_a_mistake() -> None:
    """A new option needs a case above."""
    context = click.Context(unlearnkit.cli.cli)
    covered = {fault for arguments, _ in MISTAKES for fault in _faults(arguments)}
    missing = []
    for name in unlearnkit.cli._COMMANDS:
        command = unlearnkit.cli.cli.get_command(context, name)
        words = [p for p in command.params if isinstance(p, click.Argument)]
        wanted = [p.opts[-1] for p in command.params if isinstance(p, click.Option)]
        wanted += [f"word {number}" for number in range(len(words))]
        missing += [f"{name} {one}" for one in wanted if (name, one) not in covered]
    assert not missing, f"no bad input is tried for: {', '.join(missing)}"


def test_as_a_process(cli: Cli) -> None:
    done = cli("run", "--steps", "0")
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1
    debug = cli("show", "nonsense", "--debug")
    assert debug.returncode == 2 and "Traceback" in debug.stderr and "error: there is no kind" in debug.stderr
    assert "Traceback" in cli("show", "nonsense", UNLEARNKIT_DEBUG="1").stderr


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (ConfigError("two\nlines"), 2, "error: two lines\n"),
        (Interrupted("stopped; continue with: x"), 130, "stopped; continue with: x\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (PermissionError(13, "Permission denied", "file"), 2, "error: Permission denied: file\n"),
    ],
)
def test_exit_codes(
    error: BaseException, code: int, words: str,
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise error

    monkeypatch.setattr("unlearnkit.cli.show._components", fail)
    with pytest.raises(SystemExit) as stop:
        unlearnkit.cli.main(["show", "loss"])
    assert stop.value.code == code and capfd.readouterr().err.endswith(words)


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unlearnkit.cli.show._components", lambda kind: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        unlearnkit.cli.main(["show", "loss"])


def test_reader_that_goes_away(cli: Cli) -> None:
    import sys

    read, write = os.pipe()
    os.close(read)
    program = "from unlearnkit.cli import main; main(['plugins'])"
    done = subprocess.run([sys.executable, "-c", program], stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr


def test_show_run(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "config.toml").write_text('seed = 1\n[method]\nname = "guide"\n')
    (folder / "metrics.json").write_text(json.dumps({"identity": 0.123456}))
    manifest = {"format": 1, "status": "finished", "seconds": 3.5}
    manifest |= {name: {} for name in ("versions", "plugins", "inputs", "timings", "memory")}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    done = cli("show", "run", folder)
    assert done.returncode == 0, done.stderr
    for word in ("method: guide", "status: finished", "identity", "0.123"):
        assert word in done.stdout
