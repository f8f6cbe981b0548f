"""OpenVINO's files are strangers': whatever they say, the end is constants or one clear error."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path

import pytest
import torch
from mobilestylegan_ir import random_state, write_ir, write_pair
from unlearnkit_mobilestylegan.loading import network_of, tensors_of_files
from unlearnkit_mobilestylegan.openvino import read_constants

from unlearnkit.errors import CheckpointError


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    write_pair(tmp_path / "net", [("one", torch.arange(6.0).reshape(2, 3)), ("", torch.tensor([7.0]))])
    return tmp_path / "net"


def read(stem: Path) -> list[tuple[str, list]]:
    found = read_constants(stem.with_suffix(".xml"), stem.with_suffix(".bin"))
    return [(constant.name, constant.value.tolist()) for constant in found]


def test_names_shapes_and_numbers(pair: Path) -> None:
    assert read(pair) == [("one", [[0, 1, 2], [3, 4, 5]]), ("", [7])]


@pytest.mark.parametrize(("old", "new", "words"), [
    ('<?xml version="1.0"?>', '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]>', "declares entities"),
    ("<net ", "<nut ", "is no XML, or damaged"),
    ('version="10"', 'version="11"', "is no network of OpenVINO"),
    ('offset="0"', 'offset="-4"', "does not lie inside"),
    ('offset="0"', 'offset="8"', "does not lie inside"),
    ('offset="0"', 'offset="x"', "has a place that is no number"),
    ('size="24"', 'size="20"', "does not lie inside"),
    ('shape="2, 3"', 'shape="2, 4"', "does not lie inside"),
    ('shape="2, 3"', 'shape="-2, -3"', "does not lie inside"),
    ('shape="2, 3"', 'shape="1000000000, 1000000000"', "does not lie inside"),
    ('shape="2, 3"', 'shape="1,1,1,1,1,1,1,2,3"', "does not lie inside"),
    ("</net>", "", "is no XML, or damaged"),
])
def test_hostile_graphs(pair: Path, old: str, new: str, words: str) -> None:
    text = pair.with_suffix(".xml").read_text()
    assert old in text
    pair.with_suffix(".xml").write_text(text.replace(old, new, 1))
    with pytest.raises(CheckpointError, match=words):
        read(pair)


def test_the_same_numbers_without_end(tmp_path: Path) -> None:
    """A small file that asks for gigabytes: ten thousand constants that share one megabyte."""
    write_pair(tmp_path / "net", [("a", torch.zeros(2**18))])
    path = tmp_path / "net.xml"
    head, layer, tail = path.read_text().split("\n", 3)[:2], path.read_text().split("\n")[2], "</layers></net>"
    path.write_text("\n".join([*head, *[layer] * 10_000, tail]))
    with pytest.raises(CheckpointError, match="over and over"):
        read(tmp_path / "net")


def test_numbers_that_are_not_finite(tmp_path: Path) -> None:
    write_pair(tmp_path / "net", [("a", torch.tensor([1.0, float("nan")]))])
    with pytest.raises(CheckpointError, match="not finite"):
        read(tmp_path / "net")


def test_files_that_are_none(tmp_path: Path, pair: Path) -> None:
    for missing in (pair.with_suffix(".xml"), pair.with_suffix(".bin")):
        kept = missing.read_bytes()
        missing.unlink()
        with pytest.raises(CheckpointError, match="cannot be read"):
            read(pair)
        missing.write_bytes(kept)
    pair.with_suffix(".xml").write_bytes(random.Random(0).randbytes(500))
    with pytest.raises(CheckpointError, match="is no XML"):
        read(pair)


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    mapping, synthesis = (tuple(folder / f"{name}Network.{end}" for end in ("xml", "bin"))
                          for name in ("Mapping", "Synthesis"))
    return tensors_of_files(mapping, synthesis)


def test_every_tensor_is_found(tmp_path: Path) -> None:
    wanted, found = random_state(), tensors(write_ir(tmp_path / "ir"))
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    network = network_of(found, "here")
    assert network.mapping.w_avg.abs().sum() > 0


@pytest.mark.parametrize("name", ["synthesis.first.weight", "synthesis.blocks.1.conv2.noise", "synthesis.const",
                                  "synthesis.to_image.bias", "mapping.layers.1.bias"])
def test_another_network_is_refused_by_name(tmp_path: Path, name: str) -> None:
    state = random_state()
    state[name] = torch.cat([state[name], state[name]])
    with pytest.raises(CheckpointError, match=r"is no |has the shape|expected"):
        network_of(tensors(write_ir(tmp_path / "ir", state)), "here")


def test_thousands_of_mutations_of_both_files(tmp_path: Path) -> None:
    """Each ends in a network, or in a CheckpointError."""
    folder, rng = write_ir(tmp_path / "ir"), random.Random(1)
    graph, numbers = folder / "SynthesisNetwork.xml", folder / "SynthesisNetwork.bin"
    whole = {path: path.read_bytes() for path in (graph, numbers)}
    for _ in range(1500):
        path = graph if rng.random() < 0.8 else numbers
        data = bytearray(whole[path])
        for _ in range(rng.choice((1, 1, 3, 20))):
            place = rng.randrange(len(data))
            data[place : place + rng.choice((0, 1, 1, 8))] = rng.randbytes(rng.choice((0, 1, 1, 4)))
        path.write_bytes(data)
        with contextlib.suppress(CheckpointError):
            network_of(tensors(folder), "here")
        path.write_bytes(whole[path])
