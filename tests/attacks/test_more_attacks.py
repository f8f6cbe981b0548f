"""Mixtures, rounding, fine-tuning on a grid and on others alone, and re-inversion among likely latents."""

from __future__ import annotations

import attrs
import pytest
import torch
from torch.nn.functional import leaky_relu

from unlearnkit.attacks.bounded import Likelihood, ReinversionBounded
from unlearnkit.attacks.finetuning import BenignRelearning, RelearningGrid
from unlearnkit.attacks.mixing import Mixtures, Rounding
from unlearnkit.attacks.running import run_attacks
from unlearnkit.config import build
from unlearnkit.errors import ConfigError
from unlearnkit.interfaces import Case, Evidence
from unlearnkit.report.verdict import Levels
from unlearnkit.testing import ToyGenerator, make_evidence, random_latents

SCALE = Levels(0.0, 0.98)


def edited(factor: float = -1.0) -> Evidence:
    made = ToyGenerator()
    with torch.no_grad():
        for value in made.editable_parameters().values():
            value.mul_(factor)
    return make_evidence(ToyGenerator(), made)


def case_of(evidence: Evidence, border: float | None = 0.9) -> Case:
    return Case(evidence, evidence.request.people[0], border=border)


def test_only_mixtures_that_are_half_the_edit_count() -> None:
    evidence = edited()
    attack = Mixtures(lambdas=[1.0, 0.6, 0.0], swaps=2)
    found = attack.attack(case_of(evidence))
    assert attack.budget == 4 and found.edited.points[-1][0] == 4
    assert found.edited.points[-1][1] < 0.5, "lambda 0 is the base, where the person is, and does not count"
    assert "lambda 0 0.91" in found.remark and "lambda 1 -0.91" in found.remark
    assert all(words in found.remark for words in ("the base's part 1 of 2", "the edit's part 2 of 2 in the base"))


def test_a_mixture_that_brings_the_person_back_is_found() -> None:
    """The edit goes twice as far as needed: at half of it, the person is not hidden any more."""
    (result,) = run_attacks(edited(0.5), {"mixtures": Mixtures(lambdas=[0.5], swaps=2)}, scale=SCALE)
    assert result.effort_to_recognise == 1 and result.finding.tone == "bad"


def test_an_edit_too_small_for_the_precision_is_rounded_away() -> None:
    frozen, made = ToyGenerator(), ToyGenerator()
    weight = made.network["synthesis"].weight  # type: ignore[index]
    with torch.no_grad():
        for network in (frozen.network, made.network):
            network["synthesis"].weight[0, 0] = 100.0  # type: ignore[index]
        bias = made.network["synthesis"].bias  # type: ignore[index]
        bias.sub_(0.3 * torch.sign(made.render(random_latents(frozen, 3, 20)[:1]).image.flatten()))
    assert weight is not None
    whole = Rounding(pruned=[1.0]).attack(case_of(make_evidence(frozen, made)))
    assert "float16" in whole.remark and "100 % pruned" in whole.remark
    assert whole.edited.points[-1][0] == 5 == Rounding(pruned=[1.0]).budget and whole.edited.share is not None


def test_the_grid_reports_its_worst_setting() -> None:
    attack = RelearningGrid(steps=8, learning_rates=[1e-5, 0.05], optimisers=["adam"], pictures=[1], seeds=[0, 1])
    found = attack.attack(case_of(edited(), border=0.5))
    assert found.remark.startswith("Worst of 4 settings: adam, learning rate 0.05, 1 picture, all layers, seed")
    assert "comes back in 2 of them" in found.remark
    assert found.judged_on == "2 pictures that none was fine-tuned on"


def test_the_grid_has_at_least_twelve_settings() -> None:
    for attack in (RelearningGrid(), build(RelearningGrid, dict(RelearningGrid.quick))):
        sizes = [len(axis) for axis in (attack.learning_rates, attack.optimisers, attack.parts, attack.pictures)]
        assert sizes[0] * sizes[1] * sizes[2] * sizes[3] * len(attack.seeds) >= 12


@pytest.mark.parametrize(("cls", "option", "value"), [
    (RelearningGrid, "optimisers", ["adam", "lion"]), (RelearningGrid, "optimisers", []),
    (RelearningGrid, "parts", ["head"]), (ReinversionBounded, "radii", []), (ReinversionBounded, "radii", [0]),
    (Mixtures, "swaps", 1), (Rounding, "pruned", [1.5]),
])
def test_settings_that_make_no_sense_are_refused(cls: type, option: str, value: object) -> None:
    with pytest.raises(ConfigError, match=option):
        build(cls, {option: value})


def test_benign_relearning_never_sees_the_person() -> None:
    evidence = edited()
    seen = BenignRelearning(steps=4, people=5)._others(case_of(evidence))
    assert seen[0].shape == (5, 2, 3) and seen[1].shape == (5, 3, 4, 4)
    assert torch.equal(seen[0][0], evidence.request.bystanders[0].latents[0])
    erased = evidence.request.people[0].latents
    assert torch.cdist(seen[0].flatten(1), erased.flatten(1)).min() > 1e-3


def test_others_alone_bring_back_what_was_only_negated() -> None:
    attack = BenignRelearning(steps=300, people=12, batch=6, learning_rate=0.02)
    found = attack.attack(case_of(edited()))
    assert found.edited.points[0][1] < 0 and found.edited.points[-1][1] > 0.9


@pytest.mark.parametrize("slope", [1.0, 0.2])
def test_random_latents_are_normal_in_p_n(slope: float) -> None:
    """Whatever the last leaky ReLU of a mapping network is, also where there is none."""
    latents = leaky_relu(random_latents(ToyGenerator(), 4000, 1), slope)
    space = Likelihood(latents, slope)
    points = space.whiten(latents)
    assert space.colour(points).allclose(latents, atol=1e-4)
    assert torch.cov(points[:, 0].T).allclose(torch.eye(3), atol=1e-2)
    assert float(space.radius(points).square().mean()) == pytest.approx(1, abs=0.01)
    assert float(points[:, 0].pow(3).mean(0).abs().max()) < 0.1  # not skewed, as leaky ReLU's outputs are
    bent = Likelihood(latents, 0.2 if slope == 1 else 1.0)
    assert float(bent.whiten(latents)[:, 0].pow(3).mean(0).abs().max()) > 0.3


def test_bounded_latents_stay_inside_their_radius() -> None:
    evidence = edited()
    attack = ReinversionBounded(steps=6, radii=[100, 20], learning_rate=0.5)
    found = attack.attack(case_of(evidence))
    assert [radius for radius, _ in found.edited.points] == [20, 100] and attack.budget == 100
    assert "95 % of 2000 random people" in found.remark  # the toy's bystanders were drawn
    person = attrs.evolve(evidence.request.bystanders[0], latents=random_latents(evidence.frozen, 4, 9),
                          pictures=torch.zeros(4, 3, 4, 4))
    known = attrs.evolve(evidence, request=attrs.evolve(evidence.request, bystanders=(person,)))
    assert "95 % of 4 pictures of bystanders, inverted" in attack.attack(case_of(known)).remark


def test_a_larger_ball_is_never_worse() -> None:
    found = ReinversionBounded(steps=10, radii=[10, 50, 100, 300], starts=2).attack(case_of(edited()))
    best = [likeness for _, likeness in found.edited.points]
    assert best == sorted(best) and best[-1] > best[0]
