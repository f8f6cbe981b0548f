"""``unlearnkit new`` writes a plugin of each kind that installs, passes its own tests and linters, and runs."""

from __future__ import annotations

import errno
import os
import runpy
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from unlearnkit import plugins
from unlearnkit.cli import cli as program
from unlearnkit.cli.new import PARTS
from unlearnkit.testing import components_of

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
ROOT = Path(__file__).parents[2]
KINDS = [part.kind for part in PARTS]
ALL = [word for kind in KINDS for word in ("--kind", kind)]


def invoke(*arguments: str | Path) -> str:
    """What a command prints; any error is raised."""
    result = CliRunner().invoke(program, list(map(str, arguments)), catch_exceptions=False, standalone_mode=False)
    return result.output


def process(*command: str | Path, cwd: Path, **env: str) -> None:
    """Run a command that must succeed and print nothing about skipped tests."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **env}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and " skipped" not in done.stdout, done.stdout + done.stderr


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a package ``only-KIND`` for each kind, and ``left-ear`` with a component of every kind."""
    folder = tmp_path_factory.mktemp("made")
    for kind in KINDS:
        invoke("new", f"only-{kind}", "--kind", kind, "--out", folder / f"only-{kind}")
    invoke("new", "left-ear", *ALL, "--out", folder / "left-ear")
    return folder


@pytest.fixture(scope="module")
def site(made: Path) -> Path:
    """What pip makes of them, to be put on PYTHONPATH."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    pip += ["--no-build-isolation", "--no-index", "--target", "site"]
    process(*pip, *(f"./only-{kind}" for kind in KINDS), "./left-ear", cwd=made)
    return made / "site"


@pytest.fixture
def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The packages are installed in this process."""
    monkeypatch.syspath_prepend(site)
    plugins.reset()
    yield
    for name in [name for name in sys.modules if name.startswith(("unlearnkit_only_", "unlearnkit_left_ear"))]:
        del sys.modules[name]


@pytest.mark.slow
def test_their_own_tests_pass(made: Path, site: Path) -> None:
    pytest_ = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib"]
    process(*pytest_, *(f"only-{kind}/tests" for kind in KINDS), cwd=made, PYTHONPATH=str(site))


def test_several_components_fit_into_one_package(installed: None) -> None:
    subjects = components_of("left-ear")
    assert {(subject.kind, subject.name) for subject in subjects} == {(kind, "left-ear") for kind in KINDS}
    assert {subject.cls.__name__ for subject in subjects} == {"LeftEar"}


@pytest.mark.parametrize("rules", [(), ("--config", str(ROOT / "pyproject.toml"))], ids=["own", "project"])
def test_the_linter_finds_nothing(made: Path, rules: tuple[str, ...]) -> None:
    for package in made.glob("*-*"):
        process("ruff", "check", "--no-cache", *rules, ".", cwd=package)


def test_a_long_name_leaves_lines_short(tmp_path: Path) -> None:
    invoke("new", "a-rather-long-name-of-24", *ALL, "--out", tmp_path / "long")
    process("ruff", "check", "--no-cache", "--config", str(ROOT / "pyproject.toml"), ".", cwd=tmp_path / "long")


@pytest.mark.slow
def test_the_type_checker_finds_nothing(made: Path) -> None:
    files = [f"unlearnkit_only_{kind}" for kind in KINDS] + [f"tests/test_{kind}.py" for kind in KINDS]
    found = [f"{folder}/{file}" for folder, file in zip([f"only-{kind}" for kind in KINDS] * 2, files, strict=True)]
    found += ["only-generator/tests/test_conformance.py"]
    paths = os.pathsep.join([str(ROOT), *(str(made / f"only-{kind}") for kind in KINDS)])
    process(sys.executable, "-m", "mypy", "--strict", "--follow-imports", "silent", "--cache-dir", "mypy", *found,
            cwd=made, MYPYPATH=paths)


@pytest.mark.parametrize("kind", KINDS)
def test_the_command_that_it_proposes_works(
    kind: str, made: Path, installed: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    readme = (made / f"only-{kind}" / "README.md").read_text()
    lines = [line for line in readme.splitlines() if line.startswith(("unlearnkit ", "python "))]
    Image.new("RGB", (128, 128), "grey").save("face.png")
    for line in lines:
        _, *words = shlex.split(line)
        if words[0] == "-m":
            monkeypatch.setattr(sys, "argv", words[1:])
            runpy.run_module(words[1], run_name="__main__")
        elif words[0] == "run":
            assert f"only-{kind}" in invoke(*words, "--dry-run")
        else:
            invoke(*words, "--set", "inverter.steps=1")
            assert (tmp_path / "face.safetensors").is_file()
    assert lines


def test_a_loss_is_the_default_and_the_plugin_is_found(cli: Cli, site: Path, tmp_path: Path) -> None:
    done = cli("new", "mine")
    assert done.returncode == 0 and (tmp_path / "mine" / "unlearnkit_mine" / "loss.py").is_file(), done.stderr
    readme = (tmp_path / "mine" / "README.md").read_text().splitlines()
    assert "pip install -e 'mine[test]' && pytest mine" in done.stdout
    assert done.stdout.splitlines()[-1].strip() in readme, "it names the command that the README names"
    listed = cli("plugins", paths=(site,))
    assert "only-loss  (unlearnkit-only-loss 0.1.0)" in listed.stdout and listed.returncode == 0


# ---------------------------------------------------------------- folders

def test_it_overwrites_nothing(cli: Cli, tmp_path: Path) -> None:
    kept = tmp_path / "mine" / "pyproject.toml"
    kept.parent.mkdir()
    kept.write_text("mine")
    done = cli("new", "mine")
    assert done.returncode == 2 and "is there already" in done.stderr and done.stderr.count("\n") == 1
    assert kept.read_text() == "mine" and list(kept.parent.iterdir()) == [kept]
    assert cli("new", "mine", "--out", "else/where").returncode == 0
    assert sorted(path.name for path in (tmp_path / "else").iterdir()) == ["where"]


@pytest.mark.parametrize("stop", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()], ids=repr)
def test_a_full_disk_or_an_interruption_leaves_no_half_folder(
    stop: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, calls = Path.write_text, []

    def full(self: Path, *arguments, **options) -> int:
        calls.append(self)
        if len(calls) == 4:
            raise stop
        return write(self, *arguments, **options)

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(BaseException) as caught:
        invoke("new", "mine", "--out", tmp_path / "mine")
    assert len(calls) == 4 and not list(tmp_path.iterdir())
    assert not isinstance(stop, OSError) or "no space is left on the disk" in str(caught.value)


# ---------------------------------------------------------------- names

@pytest.mark.parametrize(("name", "words"), [
    ("Left Ear", "small letters"), ("../up", "small letters"), ("a--b", "small letters"), ("a" * 25, "at most 24"),
    ("guide", "plugin 'guide'"), ("loss", "a class Loss"), ("none", "a class None"), ("tensor", "a class Tensor"),
])
def test_names_that_no_plugin_may_have(cli: Cli, tmp_path: Path, name: str, words: str) -> None:
    done = cli("new", name)
    assert done.returncode == 2 and words in done.stderr and done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_name_that_another_kind_may_have() -> None:
    from unlearnkit.cli.new import package_files

    loss, generator = (part for part in PARTS if part.kind in ("loss", "generator"))
    with pytest.raises(Exception, match="a class Network"):
        package_files("network", [generator])
    assert "class Network(Loss)" in package_files("network", [loss])["unlearnkit_network/loss.py"]


def test_it_imports_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom unlearnkit.cli import main\n"
        "try:\n    main(['new', 'light'])\nexcept SystemExit as stop:\n    assert stop.code == 0, stop.code\n"
        "assert 'torch' not in sys.modules, 'torch was imported'"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
