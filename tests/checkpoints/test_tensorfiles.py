"""safetensors files: round trips, atomic writing, and headers that lie."""

from __future__ import annotations

import json
import os
import struct

import pytest
import torch
from safetensors.torch import load_file

from unlearnkit.checkpoints import read_tensors, write_tensors
from unlearnkit.errors import CheckpointError


def test_round_trip_and_agreement_with_the_library(tmp_path):
    base = torch.arange(6.0)
    tensors = {"a": base.reshape(2, 3).t(), "shared": base, "half": torch.ones(2).half(),
               "flag": torch.tensor([True]), "scalar": torch.tensor(3), "empty": torch.empty(0, 4)}
    write_tensors(tmp_path / "x", tensors, {"who": "me"})
    found, metadata = read_tensors(tmp_path / "x")
    assert metadata == {"who": "me"}
    for name, tensor in load_file(tmp_path / "x").items():
        assert torch.equal(found[name], tensor) and torch.equal(tensor, tensors[name])
        assert found[name].dtype is tensors[name].dtype


def test_replacing_is_atomic_and_leaves_nothing_behind(tmp_path):
    path = tmp_path / "x.safetensors"
    write_tensors(path, {"a": torch.ones(1)}, {})
    write_tensors(path, {"a": torch.zeros(1)}, {})
    with pytest.raises(CheckpointError, match=r"x\.safetensors: .*complex64"):
        write_tensors(path, {"a": torch.ones(1, dtype=torch.complex64)}, {})
    assert read_tensors(path)[0]["a"].item() == 0 and os.listdir(tmp_path) == ["x.safetensors"]
    with pytest.raises(CheckpointError, match="folder does not exist"):
        write_tensors(tmp_path / "no" / "x", {}, {})


GOOD = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
HEADERS = {
    "type": {"a": {**GOOD, "dtype": "F99"}},
    "not a list": {"a": {**GOOD, "shape": 2}},
    "negative": {"a": {**GOOD, "shape": [-2]}},
    "float": {"a": {**GOOD, "shape": [2.0]}},
    "giant": {"a": {**GOOD, "shape": [2**47, 2**47]}},
    "too many": {"a": {**GOOD, "shape": [1] * 40}},
    "hole": {"a": {**GOOD, "data_offsets": [4, 12]}},
    "overlap": {"a": GOOD, "b": GOOD},
    "beyond": {"a": {**GOOD, "shape": [3], "data_offsets": [0, 12]}},
    "unused": {"a": {**GOOD, "shape": [1], "data_offsets": [0, 4]}},
    "no offsets": {"a": {"dtype": "F32", "shape": [2]}},
    "no dict": {"a": 3},
    "metadata": {"a": GOOD, "__metadata__": {"x": 1}},
}
RAW = {
    "duplicate": b'{"a":' + json.dumps(GOOD).encode() + b',"a":' + json.dumps(GOOD).encode() + b"}",
    "deep": b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "long number": b'{"a":' + b"9" * 10_000 + b"}",
    "no json": b"{{{{{{{{{{{{",
    "no utf-8": b'{"\xff":1}',
}


@pytest.mark.parametrize("case", [*HEADERS, *RAW])
def test_headers_that_lie(tmp_path, case):
    header = RAW[case] if case in RAW else json.dumps(HEADERS[case]).encode()
    path = tmp_path / "bad.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))
    with pytest.raises(CheckpointError, match=r"bad\.safetensors: "):
        read_tensors(path)


@pytest.mark.parametrize("size", [0, 3, 10**6, 2**62, 2**64 - 1])
def test_header_sizes_that_lie(tmp_path, size):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(struct.pack("<Q", size) + b'{"a":1}' + bytes(8))
    with pytest.raises(CheckpointError, match=r"bad\.safetensors: "):
        read_tensors(path)
