"""Work: one process, started again where a signal ended it."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from unlearnkit.work import Ended, Work


def python(folder: Path, line: str, retries: int = 2) -> Work:
    return Work("w", ("-c", line), folder / "w.log", {"WHO": "ada"}, retries)


def test_it_has_its_environment_and_a_private_log(tmp_path: Path) -> None:
    end = python(tmp_path, "import os; print(os.environ['WHO'], os.environ['GPU'])").run(environment={"GPU": "3"})
    assert end.done and (end.code, end.reason, end.starts) == (0, "", 1) and end.seconds > 0
    assert (tmp_path / "w.log").read_text() == "ada 3\n" and (tmp_path / "w.log").stat().st_mode & 0o777 == 0o600


def test_a_failure_is_told_by_its_last_line_and_not_tried_again(tmp_path: Path) -> None:
    end = python(tmp_path, "print('1'); print('error: no such face'); print(); raise SystemExit(2)").run()
    assert (end.code, end.reason, end.starts) == (2, "no such face", 1) and not end.done
    silent = python(tmp_path, "raise SystemExit(3)").run()
    assert silent.reason == "exit code 3", "not what another start said"
    assert (tmp_path / "w.log").read_text().startswith("1\nerror: no such face"), "the log is kept"


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    end = python(tmp_path / "elsewhere", "pass").run()
    assert end.code is None
    assert end.reason == f"cannot be started: No such file or directory: {tmp_path}/elsewhere/w.log"


def test_what_was_killed_is_started_again(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    line = f"import os, pathlib; m = pathlib.Path({str(mark)!r}); m.exists() or (m.touch(), os.kill(os.getpid(), 9))"
    assert (lambda end: (end.done, end.starts))(python(tmp_path, line).run()) == (True, 2)


def test_what_was_interrupted_is_started_again_as_often_as_it_may(tmp_path: Path) -> None:
    end = python(tmp_path, "raise SystemExit(130)", retries=1).run()
    assert (end.code, end.starts, end.reason) == (130, 2, "exit code 130, started 2 times")
    killed = python(tmp_path, "import os; os.kill(os.getpid(), 9)", retries=0).run()
    assert killed.code == -9 and killed.reason.startswith("ended by SIGKILL; the system does that where memory")


def test_stop_asks_it_to_save_and_nothing_follows(tmp_path: Path) -> None:
    line = ("import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: (print('saved'), sys.exit(130)))\n"
            "print('begun', flush=True)\ntime.sleep(60)")
    stop, ends = threading.Event(), list[Ended]()
    thread = threading.Thread(target=lambda: ends.append(python(tmp_path, line).run(stop)))
    thread.start()
    while "begun" not in (log.read_text() if (log := tmp_path / "w.log").exists() else ""):
        time.sleep(0.02)
    stop.set()
    thread.join(30)
    assert ends[0].code == 130 and ends[0].starts == 1 and log.read_text() == "begun\nsaved\n"


def test_no_module_comes_from_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('taken from the working folder')")
    monkeypatch.chdir(tmp_path)
    assert python(tmp_path, "import json").run().done
