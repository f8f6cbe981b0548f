"""What a run directory gives away: modes, hashes of pictures; and files of another run in it."""

import os
import stat

import pytest
import torch
from PIL import Image
from rich.console import Console

from unlearnkit.checkpoints import write_tensors
from unlearnkit.edits.chain import Chain, Link, open_chain
from unlearnkit.edits.file import load_edit
from unlearnkit.errors import EditError, RunError
from unlearnkit.files.atomic import sha256_file
from unlearnkit.files.keyed import keyed, picture_hash
from unlearnkit.interfaces import Person, Request
from unlearnkit.people.latents import save_people
from unlearnkit.runs import Run


def edit(path, number=1.0):
    write_tensors(path, {"x": torch.full((2,), number)}, {
        "format": "unlearnkit-edit-1", "generator": "toy", "base_sha256": "ab" * 32, "base_format": "made",
    })


def finished(folder, photo=None, number=1.0):
    """A finished run directory, as far as its readers look."""
    with Run.create(folder, {"request": {"images": [str(photo)] if photo else []}}, "x") as run:
        edit(folder / "edit.safetensors", number)
        latents = torch.full((1, 2, 3), number)
        save_people(folder / "latents.safetensors", Request((Person("Ada", latents),)), latents)
        if photo:
            run.record_inputs([photo])
        run.log(0, {"total": 1.0})
        run.save_checkpoint({"a": torch.ones(1)}, {"step": 1})
        run.write_bytes("images/a.png", b"x")
        run.record_hash("latents.safetensors")
        run.record_hash("edit.safetensors")
        run.finish("finished")
    return folder


@pytest.fixture
def photo(tmp_path):
    Image.new("RGB", (8, 8), "red").save(tmp_path / "me.png")
    return tmp_path / "me.png"


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("given", [False, True])
def test_a_run_directory_is_private(tmp_path, photo, given):
    (tmp_path / "there").mkdir(0o755)
    with Run.create(tmp_path / ("there" if given else "new"), {}, "x") as run:
        pass
    assert mode(run.path) == 0o700
    whole = finished(tmp_path / "whole", photo)
    for path in (whole, *whole.rglob("*")):
        if path.name != "edit.safetensors":  # written here as any other file; below as a run does
            assert mode(path) == (0o700 if path.is_dir() else 0o600), path


def test_what_a_user_names_follows_the_umask(tmp_path):
    from unlearnkit.files.atomic import write_new

    old = os.umask(0o027)
    try:
        write_tensors(tmp_path / "w.safetensors", {"x": torch.ones(1)}, {})
        write_new(tmp_path / "grid.png", b"x")
    finally:
        os.umask(old)
    assert mode(tmp_path / "w.safetensors") == mode(tmp_path / "grid.png") == 0o640


def test_nothing_in_the_manifest_finds_the_photo(tmp_path, photo):
    run = finished(tmp_path / "run", photo)
    text = (run / "manifest.json").read_text() + repr(load_edit(run / "edit.safetensors"))
    assert sha256_file(photo) not in text and Run.open(run).key.hex() not in text
    again = finished(tmp_path / "again", photo)
    assert Run.open(run).manifest["inputs"] != Run.open(again).manifest["inputs"]


def test_a_bystander_who_was_erased_earlier_is_known_all_the_same(tmp_path, photo):
    Image.new("RGB", (8, 8), "blue").save(tmp_path / "other.png")
    copy = tmp_path / "copy.png"
    copy.write_bytes(photo.read_bytes())
    chain = open_chain(finished(tmp_path / "run", photo))
    assert chain.erased(copy) and not chain.erased(tmp_path / "other.png")


def test_plain_hashes_of_older_runs_are_compared_and_not_passed_on(tmp_path, photo):
    link = Link("ab" * 32, "", ("Ada",), {str(photo): sha256_file(photo)})
    old = Chain(tmp_path / "edit.safetensors", {}, (link,), None)
    assert old.erased(photo)
    (table,) = old.tables(b"k" * 32)
    assert table["pictures"] == {str(photo): keyed(b"k" * 32, sha256_file(photo))}
    new = Chain(tmp_path / "edit.safetensors", {}, (Link("ab" * 32, "", ("Ada",), table["pictures"]),), None, b"k" * 32)
    assert new.erased(photo) and new.tables(b"k" * 32) == [table] and picture_hash(photo, None) == sha256_file(photo)


def test_files_of_another_run_are_refused(tmp_path):
    mine, other = finished(tmp_path / "mine"), finished(tmp_path / "other", number=2.0)
    assert Run.open(mine).checked("edit.safetensors").is_file()
    (mine / "latents.safetensors").write_bytes((other / "latents.safetensors").read_bytes())
    with pytest.raises(RunError, match=r"latents\.safetensors .*not the file that this run wrote.*put that file back"):
        open_chain(mine)
    (mine / "edit.safetensors").write_bytes((other / "edit.safetensors").read_bytes())
    with pytest.raises(EditError, match="not the edit that its run made"):
        load_edit(mine / "edit.safetensors")
    with pytest.raises(RunError, match="is not the file that this run wrote"):
        Run.open(mine).checked("edit.safetensors")


def test_a_damaged_key_is_one_line(tmp_path, photo):
    run = finished(tmp_path / "run", photo)
    (run / "inputs.key").write_text("nonsense")
    with pytest.raises(RunError, match=r"inputs\.key is damaged"):
        open_chain(run)


def test_what_a_killed_process_left_goes_with_the_next(tmp_path):
    from unlearnkit.workflows.run import continue_run

    folder = finished(tmp_path / "run")
    (folder / "report.html").write_text("whole")
    left = [folder / ".0123456789abcdef.part", folder / "images" / ".a.png.tmp", folder / ".manifest.json.tmp"]
    left[0].mkdir()
    for path in (left[0] / "edit.safetensors", *left[1:]):
        path.write_bytes(b"half")
    assert (folder / "checkpoint").is_dir()
    with pytest.raises(RunError, match="is finished; look at"):
        continue_run(folder, Console(quiet=True))
    assert not any(path.exists() for path in left) and not (folder / "checkpoint").exists()
