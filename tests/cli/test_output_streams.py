"""Standard output as terminals, pipes and full disks make it; a user without a home; arguments that are no text."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from unlearnkit.cli.streams import Output, steady_streams
from unlearnkit.config.tables import read_toml
from unlearnkit.errors import ConfigError, RunError
from unlearnkit.files.plain import toml_bytes


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
@pytest.mark.parametrize("command", [("show", "method"), ("show", "method", "guide"), ("run", "--help")])
def test_any_terminal_is_written_to(encoding: str, command: tuple[str, ...]) -> None:
    program = "from unlearnkit.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", program, *command], capture_output=True,
                          env=os.environ | {"PYTHONIOENCODING": encoding})
    assert done.returncode == 0 and len(done.stdout) > 100, done.stderr


def test_unprintable_characters_become_likenesses(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    with steady_streams():
        print("… → 漢 \udce9")
    assert raw.getvalue().decode().strip() == r"... -> \u6f22 \xe9"


class Gone(io.StringIO):
    """A stream whose reader went away, or whose disk is full."""

    def __init__(self, error: OSError) -> None:
        super().__init__()
        self.error = error

    def write(self, text: str) -> int:
        raise self.error


def test_work_goes_on_without_a_reader() -> None:
    output = Output(Gone(BrokenPipeError(32, "Broken pipe")))
    assert output.write("word") == 4 and isinstance(output.lost, BrokenPipeError)


def test_a_full_disk_is_told_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Gone(OSError(28, "No space left on device")))
    done = []
    with pytest.raises(RunError, match=r"standard output cannot be written \(No space left on device\)"), \
            steady_streams():
        print("word")
        done.append(True)
    assert done


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_standard_output_on_a_full_disk_is_one_line() -> None:
    program = "from unlearnkit.cli import main; main(['show', 'loss'])"
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-c", program], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2 and done.stderr.startswith("error: standard output cannot be written"), done.stderr
    assert done.stderr.count("\n") == 1


def test_an_argument_that_is_not_utf8_is_one_line(tmp_path: Path) -> None:
    arguments = [b"sample", b"--generator", b"stylegan2", b"--out", b"caf\xe9.png"]
    program = "from unlearnkit.cli import main; main()"
    command = [sys.executable.encode(), b"-c", program.encode(), *arguments]
    done = subprocess.run(command, capture_output=True, cwd=tmp_path, env=os.environ | {"PYTHONUTF8": "1"})
    assert done.returncode == 2 and done.stderr.startswith(b"error: the argument 'caf\\udce9.png' is not valid utf-8")
    assert not list(tmp_path.iterdir())


def test_a_setting_that_is_not_utf8_is_one_line() -> None:
    with pytest.raises(RunError, match=r"udce9.*is not UTF-8"):
        toml_bytes({"generator": {"checkpoint": "/home/me/caf\udce9/net.pkl"}})


def test_settings_that_are_a_pipe_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(ConfigError, match="pipe"):
        read_toml(tmp_path / "pipe.toml")


NOBODY = """
import pwd
def unknown(number): raise KeyError("uid not found")
pwd.getpwuid = unknown
from unlearnkit.cli import main
main()
"""


@pytest.mark.parametrize("command", [
    ("doctor",), ("sample", "--generator", "stylegan2", "--count", "1", "--out", "x.png"), ("show", "method", "guide"),
])
def test_a_user_without_a_home(tmp_path: Path, command: tuple[str, ...]) -> None:
    gone = ("HOME", "XDG_CACHE_HOME", "TORCH_HOME")
    environment = {key: value for key, value in os.environ.items() if key not in gone} | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", NOBODY, *command], capture_output=True, text=True, cwd=tmp_path,
                          env=environment)
    assert done.returncode == 0, done.stderr


def test_a_home_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    from unlearnkit import building
    from unlearnkit.errors import BuildError
    from unlearnkit.options.values import expanded

    def nowhere(path: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "expanduser", nowhere)
    with pytest.raises(BuildError, match="set XDG_CACHE_HOME"):
        building.cache_folder()
    with pytest.raises(ConfigError, match="this user has none"):
        expanded(Path("~/x"))
    from unlearnkit.ops import native

    assert native.status()


def test_no_output_is_written_over_another_file(tmp_path: Path) -> None:
    from unlearnkit.cli.common import check_new_file

    (tmp_path / "mine.pkl").write_text("a generator")
    (tmp_path / "link.pkl").symlink_to("nowhere")
    for name in ("mine.pkl", "link.pkl"):
        with pytest.raises(ConfigError, match=r"--html: .* already exists and is never overwritten"):
            check_new_file(tmp_path / name, "--html")
    check_new_file(tmp_path / "new.pkl")
