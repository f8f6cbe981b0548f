"""Devices without float64 (MPS) never meet one: a run, its numbers and its audit on an emulated device."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from no_float64 import NoFloat64

from unlearnkit.attacks.running import run_attacks
from unlearnkit.config import resolve
from unlearnkit.plugins import registry
from unlearnkit.workflows.experiment import prepare

TABLES: dict[str, Any] = {
    "generator.name": "stylegan2", "request.latent_seed": 1, "request.random_bystanders": 1, "request.bystanders": [],
    "metrics.samples": 8, "device": "cpu",
}


def test_the_emulation_bites() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    with NoFloat64():
        assert (weight * 2).cpu().double().dtype == torch.float64
        assert torch.tensor([1.0], dtype=torch.float64).sum().dtype == torch.float64
        with pytest.raises(TypeError, match="MPS"):
            (weight * 2).double()
        with pytest.raises(TypeError, match="MPS"):
            torch.ones(2).to(weight).double()
        with pytest.raises(TypeError, match="MPS"):
            torch.zeros(2, dtype=torch.float64, device=torch.device("cpu"))


@pytest.mark.parametrize("method", ["guide", "closed-form"])
def test_a_run_on_a_device_without_float64(method: str) -> None:
    steps = {} if method == "closed-form" else {"method.steps": 1}
    settings = resolve({**TABLES, "method.name": method, **steps}, registry())
    with NoFloat64():
        experiment = prepare(settings)
        experiment.unlearn()
        numbers = experiment.measure().numbers
    assert {"erased_after", "bystanders_distance", "erased_strangeness"} <= numbers.keys()


def test_an_audit_on_a_device_without_float64() -> None:
    found = registry()
    names = [name for name in found.names("attack") if not name.startswith("noisy")]
    with NoFloat64():
        experiment = prepare(resolve({**TABLES, "method.name": "guide", "method.steps": 1}, found))
        experiment.unlearn()
        attacks = {}
        for name in names:
            kind = found.component_class("attack", name)
            small = {"steps": 1, "samples": 2, "directions": 1, "count": 2}
            fields = {field.name for field in kind.__attrs_attrs__}
            attacks[name] = kind(**{key: value for key, value in small.items() if key in fields})
        results = run_attacks(experiment.evidence, attacks, targets=experiment.targets,
                              identity=experiment.parts.identity)
    assert {result.attack for result in results} == set(names)
