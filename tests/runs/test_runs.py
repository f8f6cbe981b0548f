from __future__ import annotations

import errno
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from unlearnkit.errors import RunError
from unlearnkit.files import atomic
from unlearnkit.files.atomic import sha256_file
from unlearnkit.files.keyed import picture_hash
from unlearnkit.runs import Run
from unlearnkit.runs import manifest as manifest_file

SETTINGS = {"method": "guide", "seed": 3, "steps": None, "target": {"d": 30.0, "none": None}, "image": Path("a.png")}


class Killed(BaseException):
    """Stands in for a process that ends at once."""


@pytest.fixture
def run(tmp_path):
    with Run.create(tmp_path / "run", SETTINGS, "guide") as made:
        yield made


def fail_at(monkeypatch, call: int, error: BaseException) -> list[str]:
    """Let the ``call``-th operation that reaches the disk raise; returns the list of operations so far."""
    calls: list[str] = []

    def wrap(name):
        original = getattr(os, name)

        def wrapped(*args, **kwargs):
            calls.append(name)
            if len(calls) - 1 == call:
                raise error
            return original(*args, **kwargs)

        monkeypatch.setattr(os, name, wrapped)

    for name in ("open", "write", "fsync", "replace", "unlink"):
        wrap(name)
    return calls


# ---------------------------------------------------------------- make and open

def test_new_run_says_what_it_happens_on(run):
    assert run.config == {"method": "guide", "seed": 3, "target": {"d": 30.0}, "image": "a.png"}
    manifest = run.manifest
    assert manifest["status"] == "running" and manifest["seed"] == 3 and manifest["threads"] >= 1
    assert set(manifest["versions"]) == {"unlearnkit", "python", "torch", "torchvision", "numpy"}


def test_default_folder_never_taken_twice(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runs = [Run.create(None, {}, "my method") for _ in range(3)]
    names = [run.path.name for run in runs]
    assert len(set(names)) == 3 and all(name.startswith("my-method-2") for name in names)
    assert names[1].endswith("-2") or names[1][:-2] != names[0]


def test_a_run_never_overwrites_another(run, tmp_path):
    before = sorted(run.path.iterdir())
    with pytest.raises(RunError, match="not empty, and a run never overwrites another"):
        Run.create(run.path, {}, "guide")
    assert sorted(run.path.iterdir()) == before
    (tmp_path / "empty").mkdir()
    Run.create(tmp_path / "empty", {}, "guide").close()


def test_settings_and_manifest_are_made_before_the_first_is_written(tmp_path, monkeypatch):
    """What a manifest says needs torch, seconds in which a kill would leave settings without a manifest."""
    def new(name, settings):
        assert not (tmp_path / "run" / "config.toml").exists()
        return whole(name, settings)

    whole = manifest_file.new
    monkeypatch.setattr(manifest_file, "new", new)
    Run.create(tmp_path / "run", SETTINGS, "guide").close()


def test_failure_leaves_no_folder(tmp_path):
    with pytest.raises(RunError, match=r"the setting 'a\.b\[1\]' cannot be saved: a NoneType"):
        Run.create(tmp_path / "new", {"a": {"b": [1, None]}}, "guide")
    assert list(tmp_path.iterdir()) == []


def test_places_where_no_run_can_be(tmp_path):
    (tmp_path / "file").write_text("x")
    for out, reason in ((tmp_path / "file", "a part of the path is a file|a file of that name"),
                        (tmp_path / "file" / "run", "a part of the path is a file"),
                        (tmp_path / ("n" * 300), "the name is too long"),
                        (Path("/proc/run"), "cannot make the folder /proc/run")):
        with pytest.raises(RunError, match=reason) as caught:
            Run.create(out, {}, "guide")
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_open_checks_what_it_finds(run, tmp_path):
    assert Run.open(run.path).config == run.config
    with pytest.raises(RunError, match="no such file or folder"):
        Run.open(tmp_path / "none")
    with pytest.raises(RunError, match="is no run directory"):
        Run.open(tmp_path)


@pytest.mark.parametrize(("file", "content"), [
    ("manifest.json", "{"), ("manifest.json", "[]"), ("manifest.json", '{"format": 2}'),
    ("manifest.json", '{"format": 1, "status": "?"}'), ("manifest.json", "[" * 100_000),
    ("config.toml", "a = "), ("config.toml", b"\xff"),
])
def test_damaged_run_names_the_file(run, file, content):
    (run.path / file).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(RunError, match=file.replace(".", r"\.")):
        Run.open(run.path)


def test_two_processes_never_write_one_run(run):
    program = (
        "import sys; from pathlib import Path; from unlearnkit.runs import Run; from unlearnkit.errors import RunError\n"  # noqa: E501
        "run = Run.open(Path(sys.argv[1])); print(run.manifest['name'])\n"
        "try: run.log(0, {})\nexcept RunError as error: print(error)\n"
        "try: Run.open(run.path, resume=True)\nexcept RunError as error: print('again')"
    )
    command = [sys.executable, "-c", program, str(run.path)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert told.startswith(f"guide\n{run.path} is being written by another process (pid {os.getpid()})")
    assert told.endswith("again\n") and not (run.path / "log.jsonl").exists()
    run.close()
    assert "written by" not in subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_importing_runs_imports_no_torch():
    program = "import sys, unlearnkit.runs, unlearnkit.metrics; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


# ---------------------------------------------------------------- files, manifest

@pytest.mark.parametrize("relative", ["", "../x", "/etc/x", "a/../../x", "a\0b"])
def test_nothing_outside_is_written(run, relative):
    with pytest.raises(RunError, match="no path inside"):
        run.write_text(relative, "x")


def test_json_is_strict(run):
    run.write_json("a/b.json", {"x": float("nan"), "y": [1.5, float("inf")], "p": Path("q")})
    assert run.read_json("a/b.json") == {"x": None, "y": [1.5, None], "p": "q"}
    assert run.read_json("none.json") is None
    with pytest.raises(RunError, match="cannot be written as JSON"):
        run.write_json("c.json", {"x": object()})


def test_manifest_merges_tables_and_refuses_nonsense(run, tmp_path):
    (tmp_path / "in.bin").write_bytes(b"abc")
    run.record_inputs([tmp_path / "in.bin"])
    run.update_manifest(timings={"steps": 1.0})
    run.update_manifest(timings={"metrics": 2.0}, device="cpu")
    assert run.manifest["timings"] == {"steps": 1.0, "metrics": 2.0} and run.manifest["device"] == "cpu"
    noted = run.manifest["inputs"][str(tmp_path / "in.bin")]
    assert noted == picture_hash(tmp_path / "in.bin", run.key) != sha256_file(tmp_path / "in.bin")
    assert run.key is not None and run.key.hex() not in (run.path / "manifest.json").read_text()
    with pytest.raises(RunError, match="status 'done', which is none of"):
        run.update_manifest(status="done")
    with pytest.raises(RunError, match="there is no such file"):
        run.record_inputs([tmp_path / "gone"])


def test_finish_adds_up_over_resumes(run, monkeypatch):
    run.finish("interrupted")
    run.update_manifest(seconds=100.0, memory={"peak_bytes": 10**15})
    run.finish("finished")
    manifest = run.manifest
    assert manifest["status"] == "finished" and 100 <= manifest["seconds"] < 130
    assert manifest["memory"]["peak_bytes"] == 10**15 and manifest["finished"] >= manifest["started"]
    assert 10**6 < manifest_file.peak_memory()["peak_bytes"] < 10**13


@pytest.mark.parametrize(("number", "advice"), [
    (errno.ENOSPC, "no space is left"), (errno.EROFS, "read-only"), (errno.EACCES, "permission denied"),
    (errno.EIO, "the disk reports an error"), (errno.ESTALE, "tale file handle"),
])
def test_errors_of_the_disk_are_plain_and_leave_nothing(run, monkeypatch, number, advice):
    run.write_text("metrics.json", "old")
    before = sorted(path.name for path in run.path.iterdir())
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda *_: (_ for _ in ()).throw(OSError(number, os.strerror(number))))
        with pytest.raises(RunError, match=advice):
            run.write_text("metrics.json", "new")
        with pytest.raises(RunError, match=advice):
            run.write_text("other.json", "new")
    assert sorted(path.name for path in run.path.iterdir()) == before
    assert (run.path / "metrics.json").read_text() == "old"


def test_every_moment_a_file_is_whole(run, monkeypatch):
    run.write_text("metrics.json", "old")
    seen = set()
    for call in range(20):
        with monkeypatch.context() as patch:
            calls = fail_at(patch, call, Killed())
            try:
                run.write_text("metrics.json", "new")
            except Killed:
                seen.add((run.path / "metrics.json").read_text())
            else:
                break
        run.write_text("metrics.json", "old")
    assert seen == {"old", "new"} and len(calls) == call and not list(run.path.glob(".*.tmp"))


def test_short_writes_are_continued(tmp_path, monkeypatch):
    original = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: original(descriptor, data[:7]))
    atomic.write_bytes(tmp_path / "a", b"0123456789" * 10)
    assert (tmp_path / "a").read_bytes() == b"0123456789" * 10


# ---------------------------------------------------------------- log

def test_log_is_read_as_written(run):
    run.log(0, {"total": 1.5, "local": torch.tensor(0.25)})
    run.log(1, {"total": float("nan")})
    first, second = run.read_log()
    assert first == {"step": 0, "total": 1.5, "local": 0.25} and math.isnan(second["total"])
    with pytest.raises(RunError, match="may not be called 'step'"):
        run.log(2, {"step": 1.0})


def test_truncated_log_repairs_a_torn_line(run):
    for step in range(5):
        run.log(step, {"total": float(step)})
    path = run.path / "log.jsonl"
    whole = path.read_bytes()
    for cut in range(len(whole) - 20, len(whole)):
        path.write_bytes(whole[:cut])
        assert len(run.read_log()) == 4
        run.truncate_log(3)
        assert path.read_bytes() == b"".join(whole.splitlines(keepends=True)[:3])
        run.log(3, {"total": 3.0})
        assert [entry["step"] for entry in run.read_log()] == [0, 1, 2, 3]
    with pytest.raises(RunError, match="holds 4 of the 9 steps"):
        run.truncate_log(9)
    run.truncate_log(0)
    assert run.read_log() == []


@pytest.mark.parametrize("line", ["x", "{}", '{"step": "0"}', '{"step": 0}', '{"step": 7, "a": "b"}', "\udc80"])
def test_damaged_log_names_the_line(run, line):
    run.log(0, {"total": 1.0})
    with (run.path / "log.jsonl").open("ab") as file:
        file.write(line.encode(errors="surrogateescape") + b"\n")
    with pytest.raises(RunError, match=r"log\.jsonl is damaged in line 2"):
        run.read_log()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_log_on_a_full_disk(run):
    (run.path / "log.jsonl").symlink_to("/dev/full")
    with pytest.raises(RunError, match="no space is left"):
        run.log(0, {"total": 1.0})


# ---------------------------------------------------------------- checkpoint

def tensors(step: int) -> dict[str, torch.Tensor]:
    shared = torch.full((4, 5), float(step))
    return {"a": shared, "a again": shared, "turned": shared.T, "rng": torch.arange(step + 1, dtype=torch.uint8)}


def stored_step(run: Run) -> int | None:
    """The step of the checkpoint, once both halves of it are seen to belong together."""
    found = run.load_checkpoint()
    if found is None:
        return None
    step = found[1]["step"]
    assert all(torch.equal(found[0][name], value) for name, value in tensors(step).items())
    return step


def test_checkpoint_comes_back_as_it_was(run):
    assert run.load_checkpoint() is None
    for step in (1, 2, 3):
        run.save_checkpoint(tensors(step), {"step": step, "nested": {"x": [1.5]}})
        assert stored_step(run) == step
        assert len(list((run.path / "checkpoint").iterdir())) == 2
    run.clear_checkpoint()
    assert run.load_checkpoint() is None and not (run.path / "checkpoint").exists()
    run.clear_checkpoint()


@pytest.mark.parametrize("error", [Killed(), OSError(errno.ENOSPC, "full")], ids=["killed", "full"])
@pytest.mark.parametrize("earlier", [None, 1, 2])
def test_checkpoint_survives_failure_at_any_call(run, monkeypatch, earlier, error):
    seen, call = set(), 0
    while True:
        run.clear_checkpoint()
        for step in range(1, (earlier or 0) + 1):
            run.save_checkpoint(tensors(step), {"step": step})
        with monkeypatch.context() as patch:
            calls = fail_at(patch, call, error)
            try:  # noqa: SIM105
                run.save_checkpoint(tensors(9), {"step": 9})
            except (Killed, RunError):
                pass
        seen.add(stored_step(run))
        if len(calls) <= call:
            break
        run.save_checkpoint(tensors(10), {"step": 10})
        assert stored_step(run) == 10
        call += 1
    assert seen == {earlier, 9} and call >= 8


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_checkpoint_survives_a_real_end_at_any_call(run, monkeypatch):
    """No handler of ours runs: the process is gone, as after SIGKILL."""
    seen, data = set(), tensors(2)
    for call in range(100):
        run.clear_checkpoint()
        run.save_checkpoint(tensors(1), {"step": 1})
        run.close()  # the lock belongs to the process that took it: the child takes its own
        child = os.fork()
        if child == 0:
            own = Run.open(run.path, resume=True)
            count = 0

            def dying(original):
                def wrapped(*args, **kwargs):
                    nonlocal count
                    count += 1
                    return os._exit(7) if count - 1 == call else original(*args, **kwargs)  # noqa: B023
                return wrapped

            for name in ("open", "write", "fsync", "replace", "unlink"):
                setattr(os, name, dying(getattr(os, name)))
            own.save_checkpoint(data, {"step": 2})
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        seen.add(stored_step(run))
        if code == 0:
            break
        assert code == 7
    assert seen == {1, 2} and call >= 8


def test_halves_of_two_checkpoints_never_mix(run):
    run.save_checkpoint(tensors(1), {"step": 1})
    folder = run.path / "checkpoint"
    slot = next(folder.glob("*.safetensors"))
    old, state = slot.read_bytes(), (folder / "state.json").read_text()
    slot.write_bytes(old[:-1] + bytes([old[-1] ^ 1]))
    with pytest.raises(RunError, match=rf"{slot.name} is damaged"):
        run.load_checkpoint()
    slot.unlink()
    with pytest.raises(RunError, match=rf"{slot.name}: there is no such file"):
        run.load_checkpoint()
    slot.write_bytes(old)
    for content in (state.replace('"step": 1', '"step": 2'), state[:-9], "{}", state.replace("tensors-", "../x-")):
        (folder / "state.json").write_text(content)
        with pytest.raises(RunError, match=r"state\.json is damaged"):
            run.load_checkpoint()
    run.save_checkpoint(tensors(5), {"step": 5})
    assert stored_step(run) == 5


def test_refused_state_leaves_the_old_checkpoint(run):
    run.save_checkpoint(tensors(1), {"step": 1})
    with pytest.raises(RunError, match="cannot be written as JSON"):
        run.save_checkpoint(tensors(2), {"step": object()})
    assert stored_step(run) == 1
