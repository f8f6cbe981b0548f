"""Issue a certificate of a run."""

from __future__ import annotations

import datetime
from pathlib import Path

from unlearnkit.certificates.collect import check_files, collect
from unlearnkit.certificates.envelope import public_pem, read_private, seal
from unlearnkit.certificates.schema import CHECKPOINT, EDIT, Statement, Subject
from unlearnkit.edits.file import apply_edit, check_has_file
from unlearnkit.errors import EditError, RunError
from unlearnkit.files.atomic import plain_errors, sha256_file, write_new
from unlearnkit.files.scratch import scratch_folder
from unlearnkit.runs import Run

__all__ = ["issue"]


def issue(run_folder: Path, key_file: Path, out: Path, checkpoint: Path | None = None, days: int = 180) -> Statement:
    """Write a signed certificate of a finished run to ``out``; never over another file.

    It is about the run's edit and, with ``checkpoint``, about that file, which must be what ``apply`` makes of it: that
    is made again and compared. ``days``: how long the certificate is valid.

    :raises UnlearnkitError: if the run is not finished or not as it was written, the checkpoint is another, or the key
        is none.
    """
    key = read_private(key_file)
    run = Run.open(run_folder)
    metadata = check_files(run)
    edit = run.path / EDIT
    subjects = [Subject(EDIT, {"sha256": sha256_file(edit)})]
    if checkpoint is not None:
        check_has_file(edit, metadata)
        _check_checkpoint(run, edit, checkpoint, out.parent)
        subjects.append(Subject(CHECKPOINT, {"sha256": sha256_file(checkpoint)}))
    predicate = collect(run, metadata, public_pem(key), datetime.datetime.now(datetime.UTC), days)
    statement = Statement(tuple(subjects), predicate)
    data = seal(statement, key)
    with plain_errors("write", out):
        write_new(out, data)
    return statement


def _check_checkpoint(run: Run, edit: Path, checkpoint: Path, beside: Path) -> None:
    """Refuse a checkpoint that is not the run's base with its edit on it, byte for byte.

    :raises EditError: if it is not; RunError: if the base is no longer there.
    """
    base = Path(run.manifest["base"]["path"])
    if not base.is_file():
        raise RunError(f"{base} is needed to make the edited checkpoint again and compare it; put it back, or leave "
                       "--checkpoint out: then the certificate is about the edit")
    with plain_errors("write beside", beside), scratch_folder(beside) as folder:
        made = folder / "edited"
        apply_edit(edit, base, made)
        same = sha256_file(made) == sha256_file(checkpoint)
    if not same:
        raise EditError(f"{checkpoint} is not what 'unlearnkit apply' makes of this run's edit; give the file that it "
                        "wrote")
