"""Hostile files: always a CheckpointError that names the file, and nothing is executed or imported."""

from __future__ import annotations

import os
import sys
import time
import tracemalloc

import pytest
import torch

from unlearnkit.checkpoints import file_sha256, read_checkpoint, read_tensors, write_like
from unlearnkit.errors import CheckpointError

from . import builder
from .attacks import ATTACKS, EXECUTING, FILES, SENTINEL


@pytest.mark.parametrize("name", ATTACKS)
def test_attack_is_refused(tmp_path, name):
    path = ATTACKS[name](tmp_path)
    modules, start = set(sys.modules), time.process_time()
    tracemalloc.start()
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert str(caught.value).startswith(f"{path}: ") and len(str(caught.value)) < len(str(path)) + 400
    assert "\n" not in str(caught.value)
    assert set(sys.modules) == modules and not (tmp_path / SENTINEL).exists()
    assert time.process_time() - start < 20, 'with the memory tracer; a few seconds without'
    assert peak < 200e6


@pytest.mark.parametrize("name", EXECUTING)
def test_the_sentinel_works(tmp_path, name):
    """The attacks are real: what they ask for is named in the refusal."""
    with pytest.raises(CheckpointError, match=r"names '[\w.]+', which no weight file needs"):
        read_checkpoint(ATTACKS[name](tmp_path))


@pytest.mark.parametrize("name", FILES)
def test_other_readers_refuse_too(tmp_path, name):
    path = FILES[name](tmp_path)
    with pytest.raises(CheckpointError, match=r"hostile\.bin: "):
        read_tensors(path)
    with pytest.raises(CheckpointError, match=r"hostile\.bin: "):
        write_like(path, {}, tmp_path / "out")
    if not path.is_file():
        with pytest.raises(CheckpointError, match=r"hostile\.bin: "):
            file_sha256(path)
    assert not os.path.lexists(tmp_path / "out")


@pytest.mark.parametrize(("name", "said"), [
    ("tensorflow", "legacy.py"), ("web page", "download failed"), ("git-lfs pointer", "git lfs pull"),
    ("folder", "folder"), ("pipe", "pipe"), ("loop of links", "loop of symbolic links"), ("png", "PNG"),
    ("onnx", "ONNX"), ("missing", "does not exist"), ("empty", "empty"),
    ("zip: weights flipped", "check sum")])
def test_the_error_says_what_it_is(tmp_path, name, said):
    with pytest.raises(CheckpointError, match=said):
        read_checkpoint(FILES[name](tmp_path))


def test_embedded_source_is_never_run_and_unneeded_parts_are_not_opened(tmp_path):
    """D may hold damaged weights, because its storages are not even opened."""
    broken = builder.network({"weight": torch.full((50,), 3.5)})
    root = {"G_ema": builder.network(builder.tiny_tensors()), "D": broken, "extra": builder.OSGDecoder()}
    raw, magic = builder.nvidia_bytes(root), (0x1950A86A20F9469CFC6C).to_bytes(10, "little")
    at = raw.rindex(magic, 0, raw.index(torch.full((50,), 3.5).numpy().tobytes()))
    path = tmp_path / "net.pkl"
    path.write_bytes(raw[:at] + bytes(10) + raw[at + 10 :])
    modules = set(sys.modules)
    assert len(read_checkpoint(path).state) == 5
    assert set(sys.modules) == modules and not any(name.startswith("torch_utils") for name in sys.modules)


@pytest.mark.parametrize("kind", ["nvidia", "zip", "legacy"])
def test_every_truncation_is_refused(tmp_path, kind):
    path = tmp_path / "cut.bin"
    if kind == "nvidia":
        builder.nvidia_file(path)
    else:
        builder.torch_file(path, builder.rosinality_root(), kind == "legacy")
    whole = path.read_bytes()
    for length in {*range(0, len(whole), 97), *range(len(whole) - 60, len(whole))}:
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match=r"cut\.bin: "):
            read_checkpoint(path)
