"""A run with precision=bf16: it resumes to the bit, its weights and edits are float32, and what measures is too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from unlearnkit.checkpoints import read_tensors
from unlearnkit.config import resolve
from unlearnkit.errors import Interrupted
from unlearnkit.interfaces import Progress
from unlearnkit.plugins import registry
from unlearnkit.workflows.experiment import Experiment, prepare

TABLES: dict[str, Any] = {
    "method.name": "guide", "method.steps": 2, "generator.name": "stylegan2", "request.latent_seed": 1,
    "request.random_bystanders": 1, "metrics.names": ["identity"], "device": "cpu", "precision": "bf16", "threads": 1,
}
Kept = tuple[dict[str, Tensor], dict[str, Any]]


class Memory(Progress):
    """Keeps the last checkpoint; stops after step ``stop_after``."""

    def __init__(self, stop_after: int = 99, kept: Kept | None = None) -> None:
        self.stop_after, self.kept = stop_after, kept

    def due(self) -> bool:
        return True

    def load(self) -> Kept | None:
        return self.kept

    def save(self, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
        self.kept = {name: tensor.clone() for name, tensor in tensors.items()}, dict(values)
        if values["step"] >= self.stop_after:
            raise Interrupted("asked to")


@pytest.fixture
def bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every processor computes bfloat16, if slowly."""
    monkeypatch.setattr("unlearnkit.engine.precision.bfloat16_instructions", lambda: "amx_bf16")


def made(**more: Any) -> Experiment:
    return prepare(resolve(TABLES | more, registry()))


def state(experiment: Experiment) -> Tensor:
    return torch.cat([value.detach().flatten() for value in experiment.edited.editable_parameters().values()])


@torch.no_grad()
def drawn(experiment: Experiment) -> Tensor:
    return experiment.frozen.render(experiment.request.erased).image


def test_it_resumes_to_the_bit_and_only_training_is_reduced(bfloat16: None, tmp_path: Path) -> None:
    whole = made()
    before = drawn(whole)
    whole.unlearn(Memory())
    assert whole.machine["precision"] == "bf16 (amx_bf16)"
    first = Memory(stop_after=1)
    with pytest.raises(Interrupted):
        made().unlearn(first)
    second = made()
    second.unlearn(Memory(kept=first.kept))
    assert torch.equal(state(whole), state(second)), "to the bit"
    assert first.kept is not None and {t.dtype for t in first.kept[0].values()} == {torch.float32}

    exact = made(precision="float32")
    exact.unlearn()
    assert not torch.equal(state(exact), state(whole)), "it was used"
    start = torch.cat([value.flatten() for value in exact.frozen.editable_parameters().values()])
    moved = [state(experiment) - start for experiment in (exact, whole)]
    assert torch.nn.functional.cosine_similarity(*moved, dim=0) > 0.7, "Adam's first steps are signs of gradients"

    assert torch.equal(before, drawn(whole)), "measured in float32"
    for experiment in (exact, whole):
        for parameter, other in zip(experiment.edited.editable_parameters().values(),
                                    whole.edited.editable_parameters().values(), strict=True):
            parameter.data.copy_(other.data)
    assert exact.measure().numbers == whole.measure().numbers, "the same weights measure the same"
    whole.save_edit(tmp_path / "edit.safetensors")
    tensors, _ = read_tensors(tmp_path / "edit.safetensors")
    assert torch.bfloat16 not in {tensor.dtype for tensor in tensors.values()}
