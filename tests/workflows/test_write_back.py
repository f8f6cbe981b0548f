"""Whether an edit can be written back is known before the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cases import files

from unlearnkit.config import resolve
from unlearnkit.plugins import Registry, registry
from unlearnkit.workflows.experiment import load
from unlearnkit.workflows.write_back import doubt

TABLES: dict[str, Any] = {
    "generator.name": "stylegan2", "method.name": "guide", "request.latent_seed": 1, "device": "cpu",
    "identity.name": "demo-identity", "judge.name": "demo-judge", "perceptual.name": "demo-trunk",
}


def of(found: Registry, **changes: str) -> str | None:
    return doubt(load(resolve(TABLES | {key.replace("__", "."): value for key, value in changes.items()}, found)))


def test_what_can_be_written_back(tmp_path: Path) -> None:
    assert of(registry()) is None
    assert of(registry(), generator__checkpoint=str(files.GOLDEN / files.STYLEGAN2)) is None


def test_modules_of_the_method_have_no_place_in_a_checkpoint() -> None:
    found = of(registry(), method__name="legato")
    assert found is not None and "adds modules" in found and "sample --edit" in found


@pytest.mark.parametrize(("name", "precision"), [("half.safetensors", "float16"), ("bf16.safetensors", "bfloat16")])
def test_half_precision_may_round_back(tmp_path: Path, name: str, precision: str) -> None:
    found = of(registry(), generator__checkpoint=str(files.write(tmp_path, name)))
    assert found is not None and precision in found and "--float32" in found


def test_a_generator_of_no_file(outside: Registry) -> None:
    found = of(outside, generator__name="outside-toy", method__name="outside-nudge")
    assert found is not None and "no file" in found
