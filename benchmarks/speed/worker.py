"""One side of an iteration in a process of its own: ``python -m speed.worker stylegan2 ours full 2``.

Allocators and threads are a process's, and our runs set them where the authors' program does not. Each line on standard
input asks for one turn; the answer is a line of JSON with its seconds, its unweighted terms, and the process's peak.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from speed.authors import AuthorsIteration, OurIteration
from speed.networks import job
from speed.timing import Side, Turn
from unlearnkit.config.settings import RunSettings
from unlearnkit.engine.machine import applied
from unlearnkit.runs.manifest import peak_memory

__all__ = ["worker"]

FOLDER = Path(__file__).parents[1]


@contextlib.contextmanager
def worker(kind: str, side: str, size: str) -> Iterator[Side]:
    """Start a side (`ours`, `authors`) of GUIDE's iteration on ``kind``; each call of what comes is a turn of it.

    :raises RuntimeError: if the process ends; it has said why on standard error.
    """
    command = [sys.executable, "-m", "speed.worker", kind, side, size, str(torch.get_num_threads())]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=FOLDER) as process:
        asked, answers = process.stdin, process.stdout
        assert asked is not None and answers is not None

        def turn() -> Turn:
            with contextlib.suppress(BrokenPipeError):
                print("go", file=asked, flush=True)
            said = answers.readline()
            if not said:
                raise RuntimeError(f"the process ended: {' '.join(command)}")
            found = json.loads(said)
            values = {name: torch.tensor(value) for name, value in found["terms"].items()}
            return Turn({"iteration": found["seconds"]}, values, {}, found["peak_bytes"])

        try:
            yield turn
        finally:
            asked.close()  # the end of its input is the end of the process
            process.wait()


def main(kind: str, side: str, size: str, threads: int) -> None:
    answers, sys.stdout = sys.stdout, sys.stderr  # whatever a library prints is no answer
    torch.set_num_threads(threads)
    with applied(RunSettings(memory="keep" if side == "ours" else "system", threads=threads)):
        with tempfile.TemporaryDirectory() as folder:
            found = job(kind, size, Path(folder))
        # At 512 pixels the authors' graph does not fit into 24 GB.
        whole = not (kind == "eg3d" and size == "full")
        iteration = OurIteration(found) if side == "ours" else AuthorsIteration(found, whole)
        for _ in sys.stdin:
            started = time.perf_counter()
            terms = iteration()
            seconds = time.perf_counter() - started
            said = {"seconds": seconds, "terms": terms, "peak_bytes": peak_memory().get("peak_bytes")}
            print(json.dumps(said), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
