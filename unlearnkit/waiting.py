"""How idle OpenMP threads wait for work: chosen before torch is loaded, whose runtime reads it once. Imports no torch.

On Linux torch computes with GNU's OpenMP, whose threads spin between two pieces of work. On a core that another process
wants, whoever spins is in the way of the thread that it waits for: a run that takes half a minute alone takes five
beside one busy process (docs/performance.md has the numbers). Two remedies, both variables of that runtime:

* a **bounded spin** costs nothing on an idle machine and little on a busy one: the default here
* **passive** waiting (threads sleep at once) is slower alone and faster still where cores are wanted by others

Where the user has set one of the variables, nothing is changed.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, MutableMapping
from pathlib import Path

__all__ = ["SPIN", "busy_cores", "choose_waiting", "waiting"]

SPIN = 5000
"""Rounds of a bounded spin, some tens of microseconds; GNU's default is 300,000 (libgomp manual, GOMP_SPINCOUNT)."""
_OF_THE_USER = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
_SAMPLE = 0.1
"""Seconds that the load is looked at. The load average will not do: it remembers our own last minute."""
_SPARE = 0.5
"""Passive from the moment that others leave less than our threads, by this share of a core."""

_chosen: str | None = None


def waiting() -> str:
    """What was chosen in this process, in words, for ``doctor`` and manifests."""
    return _chosen or "the system's default: torch was loaded before unlearnkit could choose"


def choose_waiting(
    environment: MutableMapping[str, str] = os.environ, busy: Callable[[], float | None] | None = None
) -> str:
    """Set the variable in ``environment`` that decides how threads wait, unless it is too late; returns what it is.

    Does nothing when called again, when torch is loaded already, on systems other than Linux, with one thread, and
    where the user has chosen. ``busy`` tells how many cores others keep busy, by default :func:`busy_cores`.
    """
    global _chosen
    if _chosen is None and "torch" not in sys.modules:
        _chosen = _choose(environment, busy or busy_cores)
    return waiting()


def _choose(environment: MutableMapping[str, str], busy: Callable[[], float | None]) -> str:
    for name in _OF_THE_USER:
        if environment.get(name):
            return f"as {name}={environment[name]} says"
    if not sys.platform.startswith("linux"):
        return "the system's default"
    cores = len(os.sched_getaffinity(0))
    threads = _threads(environment, cores)
    if threads == 1:
        return "one thread, which waits for no other"
    others = busy()
    if others is not None and others > cores - threads + _SPARE:
        environment["OMP_WAIT_POLICY"] = "PASSIVE"
        return f"passive (OMP_WAIT_POLICY=PASSIVE): others kept {others:.1f} of {cores} cores busy at the start"
    environment["GOMP_SPINCOUNT"] = str(SPIN)
    return f"bounded spin (GOMP_SPINCOUNT={SPIN})"


def _threads(environment: MutableMapping[str, str], cores: int) -> int:
    try:
        return max(1, int(environment.get("OMP_NUM_THREADS", "").split(",")[0]))
    except ValueError:
        return cores


def busy_cores(seconds: float = _SAMPLE, stat: Path = Path("/proc/stat")) -> float | None:
    """Cores that are busy while this process sleeps for ``seconds``; None where the system does not tell."""
    before = _cpu_times(stat)
    time.sleep(seconds)
    after = _cpu_times(stat)
    if before is None or after is None or after[1] <= before[1]:
        return None
    share = (after[0] - before[0]) / (after[1] - before[1])
    return share * (os.cpu_count() or 1)


def _cpu_times(stat: Path) -> tuple[int, int] | None:
    """Busy and total time of all cores together, in ticks (proc(5): user nice system idle iowait irq softirq steal)."""
    try:
        with stat.open(encoding="ascii") as file:
            name, *fields = file.readline().split()
        ticks = [int(field) for field in fields[:8]]
    except (OSError, ValueError):
        return None
    if name != "cpu" or len(ticks) < 5:
        return None
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)
