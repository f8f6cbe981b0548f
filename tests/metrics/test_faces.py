"""Whether what is drawn is a face: by whichever detector a plugin has for the generator's domain."""

from __future__ import annotations

import pytest
import torch

from unlearnkit.interfaces import Evidence, Request
from unlearnkit.metrics import faces
from unlearnkit.metrics.faces import FacesFound
from unlearnkit.plugins import registry
from unlearnkit.report.verdict import verdict

from .toys import evidence as toy
from .toys import person

SURE = {"strangers_level": 0.0, "same_person_level": 1.0, "erased_before": 0.9, "erased_after": 0.0,
        "n_random_before_faces_sought": 16.0, "random_before_faces": 16.0}


@pytest.fixture
def evidence() -> Evidence:
    return toy(Request((person("Ada", (1.0, 0.0, 0.0)),)))


def test_nothing_without_a_detector_for_this_domain(evidence: Evidence) -> None:
    assert FacesFound().measure(evidence) == {"n_erased_faces_sought": 0}


def test_counts_by_group(evidence: Evidence, monkeypatch: pytest.MonkeyPatch) -> None:
    """A detector that finds a face in bright pictures."""
    monkeypatch.setattr(faces, "find_faces", lambda images, generator: (images.mean((1, 2, 3)) > 0).float())
    numbers = FacesFound(random=5).measure(evidence)
    random = evidence.random_latents(evidence.samples, evidence.stream("sample"))[:5]
    bright = (evidence.edited.render_front(random).mean((1, 2, 3)) > 0).sum()
    assert numbers["random_faces"] == float(bright) and numbers["n_random_faces_sought"] == 5
    assert numbers["n_erased_faces_sought"] == len(evidence.request.erased)
    declared = {number.name for number in FacesFound().numbers(evidence.about)}
    assert {name for name in numbers if not name.startswith("n_")} <= declared


def test_photographs_have_a_detector_and_renders_none() -> None:
    noise = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert registry().find_faces(noise, "synthetic-renders") is None
    found = registry().find_faces(noise, "photographs")
    assert found is not None and found.shape == (1,) and float(found) < faces.SURE


def test_the_verdict_says_where_no_face_is_found() -> None:
    found = verdict({**SURE, "erased_faces": 1.0, "n_erased_faces_sought": 3.0})
    assert found.tone == "mixed" and found.answer == "Forgotten, but what is left may be no face"
    assert found.caution is not None and "No face is found in 2 of 3 erased pictures" in found.caution
    good = verdict({**SURE, "erased_faces": 3.0, "n_erased_faces_sought": 3.0})
    assert good.tone == "good" and good.caution is None
    blind = verdict({**SURE, "random_before_faces": 3.0, "erased_faces": 0.0, "n_erased_faces_sought": 3.0})
    assert blind.tone == "good", "a detector that misses random people says nothing"


def test_what_was_said_of_the_target_stays_in_the_verdict() -> None:
    found = verdict(SURE, {"target_look": {"warning": "the target shows no face"}})
    assert found.caution == "Before the first step: the target shows no face."
    assert verdict(SURE, {"target_look": {"warning": None}}).caution is None
