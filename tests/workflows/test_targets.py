"""A look at the targets before the first step."""

from __future__ import annotations

import pytest

from unlearnkit.config import resolve
from unlearnkit.plugins import registry
from unlearnkit.workflows import targets
from unlearnkit.workflows.experiment import Experiment, prepare
from unlearnkit.workflows.targets import TargetLook, look_at_targets


def prepared(**more: object) -> Experiment:
    return prepare(resolve({
        "generator.name": "stylegan2", "method.name": "guide", "request.latent_seed": 1, "device": "cpu",
        "request.random_bystanders": 0, "request.bystanders": [], **more}, registry()))


def test_the_usual_target_is_natural_and_one_far_out_is_not() -> None:
    usual, far = (look_at_targets(prepared(**{"target.distance": d})) for d in (30.0, 300.0))
    assert usual is not None and usual.warning is None and usual.n_targets == 1 and usual.faces is None
    assert far is not None and far.warning is not None
    assert "--set target.distance=10" in far.warning and "--set target.rows=mean" in far.warning


def test_nothing_to_look_at_without_a_target() -> None:
    experiment = prepared()
    experiment.parts.target = None
    assert look_at_targets(experiment) is None


def test_a_detector_speaks_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "find_faces", lambda images, generator: images.mean((1, 2, 3)).cpu() * 0)
    look = look_at_targets(prepared())
    assert look is not None and look.faces == 0 and look.warning is not None and "shows no face" in look.warning


@pytest.mark.parametrize(("look", "warns"), [
    (TargetLook(1.9, 1.1, 1), False), (TargetLook(2.1, 1.1, 1), True), (TargetLook(2.1, 2.5, 1), False),
    (TargetLook(1.0, 1.1, 2, faces=2), False), (TargetLook(1.0, 1.1, 2, faces=1), True),
])
def test_when_it_warns(look: TargetLook, warns: bool) -> None:
    assert (look.warning is not None) == warns
