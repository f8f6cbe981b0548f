"""Thousands of seeded mutations: each reads or ends in a CheckpointError, in bounded time and memory."""

from __future__ import annotations

import random
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from unlearnkit.checkpoints import read_checkpoint, write_tensors
from unlearnkit.errors import CheckpointError

from . import builder

INTERESTING = [b"\0", b"\xff", b"\x7f", b"\xff" * 4, b"\xff" * 8, *(bytes([code]) for code in b".(Rb20tQ")]
CASES = {"nvidia2": 700, "nvidia3": 700, "nvidia4": 1200, "zip": 500, "legacy": 500, "safetensors": 500,
         "tuple": 300, "module": 400, "old module": 400, "wrapped": 400}


def seed_file(path: Path, kind: str) -> bytes:
    """A valid small file of a kind."""
    if kind.startswith("nvidia"):
        builder.nvidia_file(path, int(kind[-1]))
    elif kind == "safetensors":
        write_tensors(path, {name: t.contiguous() for name, t in builder.tiny_tensors().items()}, {"a": "b"})
    elif kind == "tuple":
        net = builder.network(builder.tiny_tensors())
        path.write_bytes(builder.nvidia_bytes((net, builder.Persistent("Discriminator", {}), net)))
    elif kind in ("module", "old module"):
        with builder.fake_modules():
            builder.torch_file(path, {"model": [builder.network(builder.tiny_tensors())]}, kind == "old module")
    elif kind == "wrapped":
        state = {f"module.generator.{name}": tensor for name, tensor in builder.tiny_tensors().items()}
        builder.torch_file(path, {"epoch": 3, "state_dict": state | {"discriminator.x": torch.ones(3)}})
    else:
        builder.torch_file(path, builder.rosinality_root(trained=True), kind == "legacy")
    return path.read_bytes()


def mutate(raw: bytes, random_: random.Random) -> bytes:
    """One to four changes: a flipped bit, another byte, a piece cut out, doubled, or moved."""
    data = bytearray(raw)
    for _ in range(random_.randint(1, 4)):
        at, other = random_.randrange(len(data)), random_.randrange(len(data))
        length = random_.choice([1, 2, 4, 8, 64, 1024])
        how = random_.randrange(6)
        if how == 0:
            data[at] ^= 1 << random_.randrange(8)
        elif how == 1:
            data[at] = random_.randrange(256)
        elif how == 2:
            piece = random_.choice(INTERESTING)
            data[at : at + len(piece)] = piece
        elif how == 3:
            del data[at : at + length]
        elif how == 4:
            data[at:at] = data[other : other + length]
        else:
            data[at : at + length] = data[other : other + length]
        if not data:
            return raw[:1]
    return bytes(data)


def fuzz(kind: str, folder: Path, count: int) -> tuple[int, int, float]:
    """Files read, files refused, and the longest time one took."""
    path = folder / "fuzzed.bin"
    raw, random_, read, longest = seed_file(path, kind), random.Random(kind), 0, 0.0
    for _ in range(count):
        path.write_bytes(mutate(raw, random_))
        start = time.process_time()
        try:
            state = read_checkpoint(path).state
            assert all(isinstance(name, str) for name in state)
            assert sum(t.nbytes for t in state.values()) <= 4 * path.stat().st_size
            read += 1
        except CheckpointError as error:
            assert str(error).startswith(f"{path}: ")
        longest = max(longest, time.process_time() - start)
    return read, count - read, longest


@pytest.mark.parametrize("kind", CASES)
def test_mutations_read_or_are_refused(tmp_path, kind):
    """In a process of its own that may take little memory and may not start another process."""
    program = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r})\n"
        "from pathlib import Path\nfrom checkpoints import test_fuzz\ntest_fuzz.limit()\n"
        f"read, refused, longest = test_fuzz.fuzz({kind!r}, Path({str(tmp_path)!r}), {CASES[kind]})\n"
        "assert read > 0 and refused > 0, (read, refused)\nassert longest < 2, longest\n"
        "print(read, refused, longest)\n"
    )
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stderr[-2000:]
    print(done.stdout)


def limit() -> None:
    """300 MB more than this process has now; larger requests fail inside it."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    top = pages * resource.getpagesize() + 300_000_000
    resource.setrlimit(resource.RLIMIT_AS, (top, top))
