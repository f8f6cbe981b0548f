"""The most memory of one GUIDE step on EG3D, in a process of its own: ``python -m speed.peak full``.

Prints one line of JSON: ``peak_bytes`` of the whole process during the step, networks and libraries too; what that
counts; seconds of the step.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

from speed.networks import CPU, job
from unlearnkit.bench.memory import PeakMemory


def main() -> None:
    from unlearnkit_guide.method import Guide

    with tempfile.TemporaryDirectory() as folder:
        found = job("eg3d", sys.argv[1], Path(folder))
    started = time.perf_counter()
    with PeakMemory(CPU) as peak:
        Guide(steps=1).unlearn(found)
    seconds = time.perf_counter() - started
    print(json.dumps({"peak_bytes": peak.bytes, "source": peak.source, "seconds": seconds}))


if __name__ == "__main__":
    main()
