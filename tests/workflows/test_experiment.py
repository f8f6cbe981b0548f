"""An experiment in memory: prepare, unlearn, measure; and that the settings reach what computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest
import torch

from unlearnkit.config import resolve
from unlearnkit.errors import ConfigError
from unlearnkit.plugins import Registry
from unlearnkit.workflows import experiment as module
from unlearnkit.workflows.experiment import Experiment, load, prepare

TABLES: dict[str, Any] = {
    "method.name": "outside-nudge", "generator.name": "outside-toy", "request.latent_seed": 1,
    "request.random_bystanders": 2, "identity.name": "demo-identity", "judge.name": "demo-judge",
    "perceptual.name": "demo-trunk", "metrics.names": ["identity", "preservation"], "metrics.samples": 4,
    "device": "cpu",
}


def prepared(outside: Registry, **more: Any) -> Experiment:
    return prepare(resolve(TABLES | {key.replace("__", "."): value for key, value in more.items()}, outside))


def test_prepare_unlearn_measure(outside: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    experiment = prepared(outside)
    before = experiment.edited.render(experiment.request.erased).image
    assert torch.equal(before, experiment.frozen.render(experiment.request.erased).image)
    experiment.unlearn()
    assert torch.equal(before, experiment.frozen.render(experiment.request.erased).image), "the frozen one stays"
    assert not torch.equal(before, experiment.edited.render(experiment.request.erased).image)
    outcome = experiment.measure()
    assert outcome.numbers["erased_before"] == pytest.approx(1) and outcome.numbers["n_preserved"] == 4
    assert outcome.declared["erased_after"].better == "lower"
    assert experiment.seconds.keys() == {"load", "invert", "target", "unlearn", "measure"}
    assert list(tmp_path.iterdir()) == [], "an experiment has no folder"


def test_the_same_settings_give_the_same_numbers(outside: Registry) -> None:
    def numbers() -> dict[str, float]:
        experiment = prepared(outside)
        experiment.unlearn()
        return experiment.measure().numbers

    torch.manual_seed(1)
    first = numbers()
    torch.manual_seed(2)
    assert numbers() == first


def test_known_people_are_taken_as_they_are(outside: Registry) -> None:
    first = prepared(outside)
    known = attrs.evolve(first.request, bystanders=()), first.targets + 1
    second = prepare(first.settings, known=known)
    assert second.request is known[0] and second.targets is known[1] and second.album is None


def test_settings_reach_what_computes(outside: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unlearnkit.engine.precision.bfloat16_instructions", lambda: "amx_bf16")
    experiment = prepared(outside, threads=torch.get_num_threads() + 1, precision="bf16", cuda_graph=True, seed=7)
    seen: dict[str, Any] = {}

    def unlearn(self: Any, job: Any) -> None:
        seen.update(threads=torch.get_num_threads(), measures=type(job.measures).__name__, graph=job.cuda_graph,
                    seed=job.seed, draw=job.rng.get_state())

    before = torch.get_num_threads()
    monkeypatch.setattr(type(experiment.parts.method), "unlearn", unlearn)
    experiment.unlearn()
    assert (seen["threads"], seen["graph"], seen["seed"]) == (before + 1, True, 7)
    assert seen["measures"] == "FastMeasures" and torch.get_num_threads() == before
    assert torch.equal(seen["draw"], module.stream(7, "loop").get_state())
    assert experiment.machine["threads"] == before + 1 and experiment.machine["precision"] == "bf16 (amx_bf16)"


def test_a_saved_edit_stands_in_for_unlearning(outside: Registry, tmp_path: Path) -> None:
    first = prepared(outside)
    first.unlearn()
    assert first.save_edit(tmp_path / "edit.safetensors") > 0
    again = load(first.settings, pictures=False, unlearns=False, measures=False)
    again.put_on(tmp_path / "edit.safetensors")
    again.find_people((first.request, first.targets))
    assert again.parts.method is None and not again.parts.metrics
    erased = first.request.erased
    assert torch.equal(again.edited.render(erased).image, first.edited.render(erased).image)
    assert torch.equal(again.evidence.frozen.render(erased).image, first.frozen.render(erased).image)
    with pytest.raises(ConfigError, match="no method"):
        again.unlearn()


def test_a_target_that_is_no_latent_is_refused(outside: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = load(resolve(TABLES, outside))
    monkeypatch.setattr(type(experiment.parts.target), "select", lambda self, erased, generator, rng: erased[:, :1])
    with pytest.raises(ConfigError, match=r"target 'outside-shift' returned .*expected finite"):
        experiment.find_people()
