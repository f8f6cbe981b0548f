"""Results and runs with numbers that are easy to check, for tests of the schema, the statistics and compare."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from PIL import Image

from unlearnkit.files.plain import toml_bytes
from unlearnkit.results import AttackResult, Budget, Hardware, Result, write_result

BUDGET = Budget(steps=20, tuning_trials=4, samples=40)
LEVELS = {"strangers_level": 0.0, "same_person_level": 1.0}


def result(method: str = "guide", identity: str = "ind_0", **changes: Any) -> Result:
    """A complete result; ``metrics`` join the levels of a judge: strangers at 0, the same person at 1."""
    metrics = LEVELS | changes.pop("metrics", {"erased_after": 0.25, "bystanders_change": 0.9})
    given: dict[str, Any] = {
        "profile": "quick", "method": method, "generator": "stylegan2", "scenario": "ind", "identity": identity,
        "seed": 0, "budget": BUDGET, "settings": {"method": {"name": method, "steps": 20}, "seed": 0},
        "versions": {"unlearnkit": "0.1.0"}, "hardware": Hardware("a processor", 1, "Linux", "cpu"),
        "metrics": metrics, "samples": {"erased": 1}, "embedding": (0.6, 0.8),
        "audit": {"relearning": AttackResult("optimiser steps", 20, {"best": 0.7, "effort_to_recognise": None},
                                          ((0.0, 0.1), (20.0, 0.7)))},
        "seconds": {"unlearn": 2.5}, "peak_bytes": 900 * 2**20, "peak_source": "made up",
    }
    return Result(**given | changes)


def png(colour: str = "red") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(buffer, "PNG")
    return buffer.getvalue()


def two_methods(folder: Path, **changes: Any) -> Path:
    """`good` and `bad` on three people: `good` erases far better, by nearly the same on everybody; pictures of all."""
    for place, identity in enumerate(("ind_0", "ind_1", "ind_2")):
        for method, erased in (("good", 0.1), ("bad", 0.7)):
            metrics = {"erased_after": erased + place / 50 + (0.01 if method == "bad" and place else 0),
                       "others_after": erased, "bystanders_change": 0.9, "preserved_identity": 0.8 + place / 50}
            write_result(folder, result(method, identity, metrics=metrics, **changes),
                         {role: png() for role in ("picture", "before", "after")})
    return folder


def run_folder(
    folder: Path, *, method: str = "guide", steps: int | None = 100, erased: float = 0.3, seed: int = 0,
    status: str = "finished", request: dict[str, Any] | None = None, inputs: dict[str, str] | None = None,
) -> Path:
    """A run directory as far as ``compare`` reads it, of a drawn person unless ``request`` says otherwise."""
    (folder / "images").mkdir(parents=True)
    options = {} if steps is None else {"steps": steps}
    settings = {
        "seed": seed, "method": {"name": method, **options}, "generator": {"name": "stylegan2"},
        "judge": {"name": "demo-judge"}, "metrics": {"samples": 40},
        "request": {"name": "Ada B.", "latent_seed": 3} if request is None else request,
    }
    manifest = {
        "format": 1, "name": method, "status": status, "seconds": 9.0, "steps": steps, "device": "cpu", "threads": 1,
        "cpu": "a processor", "platform": "Linux", "versions": {"unlearnkit": "0.1.0"}, "plugins": {},
        "inputs": inputs or {}, "timings": {"unlearn": 2.5}, "memory": {"peak_bytes": 900 * 2**20},
        "base": {"path": "x.safetensors", "format": "safetensors", "sha256": "ab" * 32},
    }
    metrics = LEVELS | {"erased_after": erased, "bystanders_change": 0.9, "n_erased": 1, "kid_x": None}
    (folder / "config.toml").write_bytes(toml_bytes(settings))
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "metrics.json").write_text(json.dumps(metrics))
    index = [{"group": "erased", "person": "Ada B.", "index": 0, "role": role, "file": f"images/{role}.png"}
             for role in ("before", "after")]
    (folder / "images" / "index.json").write_text(json.dumps(index))
    for entry in index:
        (folder / str(entry["file"])).write_bytes(png())
    return folder
