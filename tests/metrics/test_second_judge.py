"""A second judge sees the same pictures with other eyes."""

from __future__ import annotations

from typing import cast

import attrs
import pytest
import torch
from torch import Tensor

from unlearnkit.errors import ConfigError
from unlearnkit.interfaces import Evidence, IdentityEncoder, Request
from unlearnkit.metrics.identity import Identity
from unlearnkit.metrics.preservation import Preservation
from unlearnkit.metrics.second_judge import SecondJudge
from unlearnkit.plugins import registry

from .toys import ToyGenerator, evidence, person

X, Y, Z = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)


class Same(IdentityEncoder):
    """The toy judge's arithmetic, under another name."""

    def embed(self, images: Tensor) -> Tensor:
        return torch.nn.functional.normalize(images.mean((2, 3)), dim=1)


class RedOnly(Same):
    """Sees whether there is red, and nothing else."""

    def embed(self, images: Tensor) -> Tensor:
        red = images.mean((2, 3))[:, 0] > 0.5
        return torch.stack([red, ~red], 1).float()

    def levels(self) -> dict[str, float]:
        return {"strangers": 0.1, "same_person": 0.9, "border": 0.4}


def judged_by(encoder: type[IdentityEncoder], monkeypatch: pytest.MonkeyPatch) -> SecondJudge:
    monkeypatch.setattr(type(registry()), "component_class", lambda self, kind, name: encoder)
    metric = SecondJudge(encoder="other")
    metric.prepare(torch.device("cpu"))
    return metric


def request() -> Evidence:
    return evidence(Request((person("Ada", X, Y),), (person("Bo", Z), person("Cy", Y))), shift=(-0.6, 0.3, 0.0))


def test_the_same_eyes_see_the_same_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = request()
    first = Identity().measure(shown) | Preservation().measure(shown)
    second = judged_by(Same, monkeypatch).measure(shown)
    for name in ("erased_before", "erased_after", "others_after", "bystanders_change"):
        assert second[f"second_{name}"] == pytest.approx(first[name], abs=1e-6), name
    assert second["second_random_change"] == pytest.approx(first["preserved_identity"], abs=1e-6)
    assert second["n_second_erased_after"] == 1 and second["n_second_bystanders_change"] == 2


def test_other_eyes_may_disagree_and_bring_their_levels(monkeypatch: pytest.MonkeyPatch) -> None:
    metric = judged_by(RedOnly, monkeypatch)
    numbers = metric.measure(request())
    assert numbers["second_erased_after"] == 0 and numbers["second_bystanders_change"] == 1
    assert numbers["second_border_level"] == 0.4
    declared = {number.name: number for number in metric.numbers(request().about)}
    assert {name for name in numbers if not name.startswith("n_")} <= declared.keys()
    assert {name for name in numbers if name.startswith("n_")} <= {number.count for number in declared.values()}
    assert all("by other" in number.title for number in declared.values())


def test_pictures_are_not_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = attrs.evolve(request(), samples=16)  # those that are kept
    Identity().measure(shown), Preservation().measure(shown)
    drawn = [cast(ToyGenerator, generator).rendered for generator in (shown.frozen, shown.edited)]
    judged_by(RedOnly, monkeypatch).measure(shown)
    assert [cast(ToyGenerator, generator).rendered for generator in (shown.frozen, shown.edited)] == drawn


def test_it_is_another_encoder_than_the_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"metric\.second-judge\.encoder=NAME"):
        SecondJudge().check()
    shown = attrs.evolve(request(), judge=Same())
    with pytest.raises(ConfigError, match="is the judge already"):
        judged_by(Same, monkeypatch).measure(shown)
