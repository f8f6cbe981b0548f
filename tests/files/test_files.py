"""Guarded reads, scratch folders, and outputs that a user names."""

import errno
import os
import subprocess
import sys

import pytest

from unlearnkit.checkpoints.files import new_file
from unlearnkit.errors import RunError
from unlearnkit.files.atomic import plain_errors, sha256_file, write_new
from unlearnkit.files.reading import read_file
from unlearnkit.files.scratch import scratch_folder, sweep


def test_a_file_is_read(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert read_file(tmp_path / "a", 3) == read_file(tmp_path / "a", None) == b"abc"


def test_what_is_no_plain_file_is_refused_without_opening_it(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, says in ((tmp_path / "pipe", "pipe"), ("/dev/zero", "device"), (tmp_path, "folder")):
        with pytest.raises(OSError, match=says):
            read_file(type(tmp_path)(path))
    with pytest.raises(RunError, match="pipe"):
        sha256_file(tmp_path / "pipe")


def test_a_giant_is_refused_before_memory_is_taken(tmp_path):
    with open(tmp_path / "giant", "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(OSError, match="at most") as failed:
        read_file(tmp_path / "giant")
    assert failed.value.errno == errno.EFBIG


def test_lack_of_memory_is_one_line(tmp_path):
    with pytest.raises(RunError, match="needs more memory than is free"), plain_errors("read", tmp_path):
        raise MemoryError


def test_a_scratch_folder_goes_with_its_process(tmp_path):
    """A killed process leaves one; the next that writes there removes it, but none that is in use."""
    program = ("import os, sys; from pathlib import Path; from unlearnkit.files.scratch import scratch_folder\n"
               "with scratch_folder(Path(sys.argv[1])) as f: (f / 'big').write_text('x'); os._exit(9)")
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], timeout=60)
    (left,) = tmp_path.iterdir()
    assert (left / "big").exists()
    mine = tmp_path / ".notes.part"
    mine.mkdir()
    with scratch_folder(tmp_path) as used:
        assert not left.exists() and used.is_dir() and mine.is_dir()
        sweep(tmp_path)
        assert used.is_dir()
    assert list(tmp_path.iterdir()) == [mine]


def test_a_new_file_is_never_written_over_another(tmp_path):
    write_new(tmp_path / "a.png", b"first")
    with pytest.raises(FileExistsError):
        write_new(tmp_path / "a.png", b"second")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileExistsError):
        write_new(tmp_path / "link", b"second")
    assert (tmp_path / "a.png").read_bytes() == b"first" and len(list(tmp_path.iterdir())) == 2


def test_a_kill_while_a_checkpoint_is_written_leaves_nothing_for_long(tmp_path):
    program = ("import os, sys; from pathlib import Path; from unlearnkit.checkpoints.files import new_file\n"
               "with new_file(Path(sys.argv[1])) as f: f.write_text('x'); os._exit(9)")
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "out.pkl")], timeout=60)
    assert len(list(tmp_path.iterdir())) == 1
    with new_file(tmp_path / "out.pkl") as part:
        part.write_text("whole")
    assert [path.name for path in tmp_path.iterdir()] == ["out.pkl"]
