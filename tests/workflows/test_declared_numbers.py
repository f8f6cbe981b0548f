"""Two owners of one number are found before a run makes its folder."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest
from rich.console import Console

from unlearnkit.config import resolve
from unlearnkit.config.settings import Choice
from unlearnkit.errors import ConfigError
from unlearnkit.interfaces import About, Metric, Number
from unlearnkit.plugins import registry
from unlearnkit.workflows.preflight import check
from unlearnkit.workflows.run import start_run


@attrs.define
class Thief(Metric):
    """Claims a number of one of several people, which no list of fixed names holds."""

    def numbers(self, about: About) -> tuple[Number, ...]:
        return (Number("erased_after_bo_b", "Stolen"),)

    def measure(self, evidence: object) -> dict[str, float]:
        return {"erased_after_bo_b": 0.0}


def test_a_run_with_two_owners_of_a_number_leaves_no_folder(tmp_path: Path) -> None:
    people = [{"name": "Ada", "latent_seed": 1}, {"name": "Bo B.", "latent_seed": 2}]
    settings = resolve({
        "method.name": "guide", "generator.name": "stylegan2", "request.people": people, "metrics.names": ["identity"],
        "device": "cpu",
    }, registry())
    check(settings)
    settings = attrs.evolve(settings, metrics={**settings.metrics, "thief": Choice("thief", Thief())})
    with pytest.raises(ConfigError, match="'thief' and metric 'identity' both measure 'erased_after_bo_b'"):
        start_run(settings, tmp_path / "run", Console(quiet=True))
    assert not (tmp_path / "run").exists()
