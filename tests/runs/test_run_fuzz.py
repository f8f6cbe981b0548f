"""Every file that a run leaves, mutated: whoever reads it works on, or ends in an error of one line, and soon."""

from __future__ import annotations

import json
import random
import shutil
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from handmade_results import result, run_folder
from rich.console import Console

from unlearnkit.checkpoints import write_tensors
from unlearnkit.cli import show
from unlearnkit.edits.chain import erased_earlier, open_chain
from unlearnkit.edits.file import base_options, load_edit
from unlearnkit.errors import UnlearnkitError
from unlearnkit.files.plain import toml_bytes
from unlearnkit.interfaces import Person, Request
from unlearnkit.people.latents import load_people, save_people
from unlearnkit.report import load_images
from unlearnkit.report.of_run import run_verdict
from unlearnkit.results import read_results, write_result
from unlearnkit.runs import Run

ODD: tuple[Any, ...] = (None, True, -1, 1.5, 1e308, 10**400, "", "x", "\0", "\ud800", "../../x", [], {}, [[]],
                        {"a": None}, json.loads("[" * 500 + "]" * 500))
AUDIT = {
    "format": "unlearnkit-audit-1", "run": "x", "seed": 0, "quick": True, "judge": "demo-judge",
    "levels": {"strangers": 0.0, "same_person": 1.0, "border": 0.5}, "n_people": 1,
    "results": [{"attack": "relearning", "tone": "good", "answer": "3 steps", "person": "Ada",
                 "unit": "steps", "budget": 20, "best": 0.7, "random": 0.1,
                 "effort_to_recognise": 3,
                 "control": {"kind": "random", "effort_to_recognise": None, "curve": [[0, 0.1]]},
                 "curve": [[0, 0.1], [20, 0.7]]}],
}


def made(folder: Path) -> Path:
    """A finished run with everything that is read again, and a result of the bench beside it."""
    run_folder(folder / "run", request={"name": "Ada", "images": ["/p/ada.png"]}, inputs={"/p/ada.png": "ab" * 32})
    with Run.open(folder / "run") as run:
        write_tensors(run.path / "edit.safetensors", {"x": torch.ones(2)}, {
            "format": "unlearnkit-edit-1", "generator": "stylegan2", "base_sha256": "ab" * 32, "base_format": "made",
            "chain": "[]", "base_edit_sha256": "", "base_options": "{}",
        })
        ones = torch.ones(1, 2, 3)
        people = (Person("Ada", ones, torch.zeros(1, 3, 4, 4)),)
        save_people(run.path / "latents.safetensors", Request(people, (Person("Bo", ones),)), ones)
        run.write_json("audit.json", AUDIT)
        run.log(0, {"total": 1.0})
        run.save_checkpoint({"a": torch.ones(1)}, {"step": 1})
    write_result(folder / "results", result())
    return folder


def _show(folder: Path) -> None:
    document = show._run(folder / "run")
    with Console(file=open("/dev/null", "w")) as _:
        show._show_run(document)


def _run(folder: Path) -> None:
    run = Run.open(folder / "run")
    _ = run.settings, run.request, run.chosen, run.key


def _verdict(folder: Path) -> None:
    run_verdict(Run(folder / "run"))


READERS: dict[str, tuple[Callable[[Path], object], ...]] = {
    "config.toml": (_run, _show, _verdict, lambda f: read_results([f / "run"]), lambda f: open_chain(f / "run")),
    "manifest.json": (_run, _show, _verdict, lambda f: read_results([f / "run"]),
                      lambda f: open_chain(f / "run"), lambda f: erased_earlier(f / "run"),
                      lambda f: load_edit(f / "run" / "edit.safetensors")),
    "metrics.json": (_show, _verdict, lambda f: read_results([f / "run"])),
    "audit.json": (_verdict, lambda f: read_results([f / "run"]),),
    "images/index.json": (lambda f: load_images(Run(f / "run")), lambda f: read_results([f / "run"])),
    "log.jsonl": (lambda f: Run(f / "run").read_log(),),
    "checkpoint/state.json": (lambda f: Run(f / "run").load_checkpoint(),),
    "checkpoint/tensors-a.safetensors": (lambda f: Run(f / "run").load_checkpoint(),),
    "edit.safetensors": (lambda f: base_options(load_edit(f / "run" / "edit.safetensors")[1]),
                         lambda f: open_chain(f / "run")),
    "latents.safetensors": (lambda f: load_people(f / "run" / "latents.safetensors", torch.device("cpu")),),
    "../results/cases/RESULT": (lambda f: read_results([f / "results"]),),
}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands in nested tables and lists."""
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*path, key)
        yield from places(item, (*path, key))


def changed(value: Any, rng: random.Random) -> Any:
    """A copy with one thing in it replaced, removed or renamed; seldom another value altogether."""
    value, spots = json.loads(json.dumps(value)), list(places(value))
    if not spots or rng.random() < 0.03:
        return rng.choice(ODD)
    *path, last = rng.choice(spots)
    inner = value
    for key in path:
        inner = inner[key]
    what = rng.random()
    if what < 0.15:
        del inner[last]
    elif what < 0.25 and isinstance(inner, dict):
        inner[rng.choice(["", "x", "a/b", "latents"])] = inner.pop(last)
    else:
        inner[last] = rng.choice(ODD)
    return value


def bits(data: bytes, rng: random.Random) -> bytes:
    """Cut, lengthened, or with some bytes changed."""
    if rng.random() < 0.3:
        return data[: rng.randrange(len(data) + 1)] + bytes(rng.randrange(3))
    found = bytearray(data)
    for _ in range(rng.randrange(1, 4)):
        found[rng.randrange(len(found))] = rng.randrange(256)
    return bytes(found)


def mutated(name: str, data: bytes, rng: random.Random) -> bytes:
    """Another file of the same kind: still well-formed four times in five."""
    if rng.random() < 0.2:
        return bits(data, rng)
    if name.endswith((".json", "RESULT")):
        return json.dumps(changed(json.loads(data), rng)).encode()
    if name.endswith(".jsonl"):
        return b"".join(json.dumps(changed(json.loads(line), rng)).encode() + b"\n" for line in data.splitlines())
    if name.endswith(".toml"):
        value = changed(tomllib.loads(data.decode()), rng)
        try:
            return toml_bytes(value if isinstance(value, dict) else {"x": value})
        except (UnlearnkitError, RecursionError):
            return data
    size = int.from_bytes(data[:8], "little")  # safetensors: its header
    header = json.dumps(changed(json.loads(data[8 : 8 + size]), rng)).encode()
    return len(header).to_bytes(8, "little") + header + data[8 + size :]


def attack(folder: Path, name: str, seeds: range) -> None:
    whole = made(folder / "whole")
    if name.endswith("RESULT"):
        (case,) = (whole / "results" / "cases").iterdir()
        path = case
    else:
        path = whole / "run" / name
    data = path.read_bytes()
    for reader in READERS[name]:
        reader(whole)  # as it is, it can be read
    for seed in seeds:
        path.write_bytes(mutated(name, data, random.Random(seed)))
        for reader in READERS[name]:
            try:
                reader(whole)
            except UnlearnkitError as error:
                assert str(error) and "\n" not in str(error), (seed, error)
            except Exception as error:
                raise AssertionError(f"{name}, mutation {seed}: {error!r}") from error
    shutil.rmtree(whole)


@pytest.mark.parametrize("name", READERS)
def test_some_mutations_of_each_file(tmp_path: Path, name: str) -> None:
    attack(tmp_path, name, range(25))


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_a_thousand_mutations_of_each_file(tmp_path: Path, name: str) -> None:
    attack(tmp_path, name, range(1000, 2000))
