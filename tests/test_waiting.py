"""How idle threads wait: chosen once, before torch, and only where the user has not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from unlearnkit import waiting
from unlearnkit.waiting import SPIN, busy_cores, choose_waiting

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="GNU's OpenMP is Linux's")


@pytest.fixture
def fresh(monkeypatch) -> None:
    """As in a process that has not loaded torch, on a machine of four cores."""
    monkeypatch.setattr(waiting, "_chosen", None)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3})


@pytest.mark.parametrize(("others", "name", "value"), [
    (0.0, "GOMP_SPINCOUNT", str(SPIN)), (0.4, "GOMP_SPINCOUNT", str(SPIN)), (None, "GOMP_SPINCOUNT", str(SPIN)),
    (0.6, "OMP_WAIT_POLICY", "PASSIVE"), (3.9, "OMP_WAIT_POLICY", "PASSIVE"),
])
def test_the_load_decides(fresh, others: float | None, name: str, value: str) -> None:
    environment: dict[str, str] = {}
    words = choose_waiting(environment, lambda: others)
    assert environment == {name: value}
    assert f"{name}={value}" in words


def test_cores_left_to_others_are_not_contended(fresh) -> None:
    environment = {"OMP_NUM_THREADS": "2"}
    choose_waiting(environment, lambda: 2.2)
    assert environment == {"OMP_NUM_THREADS": "2", "GOMP_SPINCOUNT": str(SPIN)}


@pytest.mark.parametrize("given", [
    {"OMP_WAIT_POLICY": "ACTIVE"}, {"GOMP_SPINCOUNT": "7"}, {"OMP_NUM_THREADS": "1"},
])
def test_what_the_user_chose_stays(fresh, given: dict[str, str]) -> None:
    environment = dict(given)
    choose_waiting(environment, lambda: 4.0)
    assert environment == given


def test_nothing_is_chosen_twice_nor_too_late(fresh, monkeypatch) -> None:
    first = choose_waiting({}, lambda: 0.0)
    assert choose_waiting(later := {}, lambda: 4.0) == first and later == {}
    monkeypatch.setattr(waiting, "_chosen", None)
    monkeypatch.setitem(sys.modules, "torch", object())
    assert "torch was loaded before" in choose_waiting(later, lambda: 4.0) and later == {}


def test_busy_cores_from_proc_stat(tmp_path: Path, monkeypatch) -> None:
    stat = tmp_path / "stat"
    stat.write_text("cpu 100 0 100 800 0 0 0 0 0 0\n")
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr(waiting.time, "sleep", lambda seconds: stat.write_text("cpu 130 0 120 850 0 0 0 0 0 0\n"))
    assert busy_cores(stat=stat) == pytest.approx(4 * 50 / 100)
    assert busy_cores(stat=tmp_path / "none") is None
    stat.write_text("nonsense\n")
    assert busy_cores(stat=stat) is None


@pytest.mark.parametrize("code", ["import unlearnkit; unlearnkit.unlearn", "import unlearnkit.workflows.run"])
def test_whoever_computes_has_chosen_before_torch(code: str) -> None:
    free = {name: value for name, value in os.environ.items() if name not in
            ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "OMP_NUM_THREADS")}
    script = f"{code}\nimport sys, unlearnkit.waiting as w\nassert 'torch' in sys.modules\nprint(w.waiting())"
    done = subprocess.run([sys.executable, "-c", script], env=free, capture_output=True, text=True, check=True)
    assert "GOMP_SPINCOUNT=" in done.stdout or "OMP_WAIT_POLICY=PASSIVE" in done.stdout or "one thread" in done.stdout


def test_importing_unlearnkit_chooses_nothing() -> None:
    script = "import os; before = dict(os.environ); import unlearnkit; assert before == dict(os.environ)"
    subprocess.run([sys.executable, "-c", script], check=True)
