import tempfile
from pathlib import Path

import pytest
import torch
from torch import Tensor
from unlearnkit.errors import CheckpointError
from unlearnkit.interfaces import Generator
from unlearnkit.options import build
from unlearnkit.plugins import registry
from unlearnkit.testing import Check, Subject, components_of, parametrize_with_checks

SHAPES = [(6, 16), (16, 8), (8, 8), (8, 3)]  # a DCGAN of 32 pixels


def tensors() -> dict[str, Tensor]:
    """Random numbers under the names of the published file."""
    rng = torch.Generator().manual_seed(0)
    state: dict[str, Tensor] = {}
    for index, (before, after) in enumerate(SHAPES):
        state[f"main.{3 * index}.weight"] = torch.randn(before, after, 4, 4, generator=rng) * 0.2
        if after != 3:
            norm = {"weight": 1.0, "bias": 0.1, "running_mean": 0.0, "running_var": 1.0}
            state |= {f"main.{3 * index + 1}.{name}": torch.full((after,), value) for name, value in norm.items()}
            state[f"main.{3 * index + 1}.num_batches_tracked"] = torch.tensor(7)
    return state


def saved(path: Path, state: dict[str, Tensor]) -> dict[str, str]:
    torch.save({"netG_state_dict": state}, path)
    return {"checkpoint": str(path)}


def tiny() -> dict[str, str]:
    return saved(Path(tempfile.mkdtemp()) / "tiny.tar", tensors())


@parametrize_with_checks(components_of("dcgan", settings={("generator", "dcgan"): tiny}))
def test_conformance(component: Subject, check: Check) -> None:
    check(component)


@pytest.mark.parametrize("change", [
    {"main.3.weight": torch.zeros(16, 8, 5, 5)}, {"main.9.weight": torch.zeros(8, 4, 4, 4)},
    {"main.1.bias": torch.zeros(3)}, {"main.99.weight": torch.zeros(2)}, {"main.1.bias": torch.full((16,), torch.nan)},
])
def test_other_files_are_refused_in_one_line(tmp_path: Path, change: dict[str, Tensor]) -> None:
    settings = saved(tmp_path / "other.tar", tensors() | change)
    made: Generator = build(registry().component_class("generator", "dcgan"), settings)
    with pytest.raises(CheckpointError, match=r"other\.tar: [^\n]+$"):
        made.prepare(torch.device("cpu"))
