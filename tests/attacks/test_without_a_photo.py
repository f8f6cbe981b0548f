"""Attackers without a photo find whom an edit was made for, and are scored as identification."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import pytest
import torch
from torch import Tensor, nn
from unlearnkit_lethe.whitening import whitening

from unlearnkit.attacks.difference import DifferenceSearch, ReadDifference, read_directions, shuffled
from unlearnkit.attacks.identification import Identified, identify
from unlearnkit.attacks.membership import Membership
from unlearnkit.attacks.running import run_attacks
from unlearnkit.attacks.summary import summary
from unlearnkit.interfaces import Case, Evidence, Rendering, StyleLayer
from unlearnkit.report.verdict import Levels
from unlearnkit.testing import ToyGenerator, ToyIdentity, make_evidence, random_latents

SIZE = 12


@attrs.define(eq=False)
class StyledToy(ToyGenerator):
    """A toy whose latents have 12 numbers and whose pictures are linear in two styles."""

    network: nn.Module = attrs.field(init=False, factory=lambda: StyledToy.build())

    z_dim = SIZE
    w_dim = SIZE

    @staticmethod
    def build() -> nn.Module:
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(0)
            return nn.ModuleDict({"mapping": nn.Linear(SIZE, SIZE), "a": nn.Linear(SIZE, 24), "b": nn.Linear(SIZE, 24)})

    @property
    def w_avg(self) -> Tensor:
        return torch.full((2, SIZE), 0.1)

    def render(self, latents: Tensor, views: Tensor | None = None, rng: torch.Generator | None = None) -> Rendering:
        styles = [self.network[name](latents[:, row]) for row, name in enumerate("ab")]  # type: ignore[index]
        image = torch.cat(styles, 1).reshape(-1, 3, 4, 4).tanh()
        return Rendering(image, image[:, :2])

    def style_layers(self) -> list[StyleLayer]:
        layers = [self.network[name] for name in "ab"]  # type: ignore[index]
        return [StyleLayer(name, row, layer.weight, layer.bias, 1.0)
                for row, (name, layer) in enumerate(zip("ab", layers, strict=True))]

    def editable_parameters(self) -> dict[str, nn.Parameter]:
        return {f"{name}.{key}": value for name in "ab"
                for key, value in self.network[name].named_parameters()}  # type: ignore[index]


def erase(kind: str) -> Evidence:
    """Evidence on an edit of style layers: one outer product with w_u, the same of a step in whitened latents, or the
    closed form of a target across w_avg."""
    frozen, edited = StyledToy(), StyledToy()
    evidence = make_evidence(frozen, edited)
    person = attrs.evolve(evidence.request.people[0], latents=random_latents(frozen, 1, 20), pictures=None)
    evidence = attrs.evolve(evidence, request=attrs.evolve(evidence.request, people=(person,)))
    erased = evidence.request.people[0].latents[0, 0]
    target = 2 * frozen.w_avg[0] - erased
    kept = nn.functional.pad(random_latents(frozen, 4000, 5)[:, 0].double(), (0, 1), value=1.0)
    gram = kept.T @ kept / len(kept)
    with torch.no_grad():
        for layer in edited.style_layers():
            if kind == "gradient":
                layer.weight.sub_(3 * torch.outer(layer.weight @ (erased - target), erased - frozen.w_avg[0]))
            elif kind == "whitened":
                scales = whitening(frozen, 0.3)
                layer.weight.sub_(3 * torch.outer(layer.weight @ (erased - target), erased - frozen.w_avg[0]) @ scales
                                  @ scales)
            else:
                c = nn.functional.pad(erased.double(), (0, 1), value=1.0)
                factor = torch.linalg.solve(gram + torch.outer(c, c), c)
                change = torch.outer(layer.weight.double() @ (target - erased).double(), factor)
                layer.weight.add_(change[:, :-1])
                layer.bias.add_(change[:, -1])
    return evidence


def case_of(evidence: Evidence, border: float | None = 0.9) -> Case:
    return Case(evidence, evidence.request.people[0], None, ToyIdentity(), border)


def alike(evidence: Evidence) -> Sequence[float]:
    directions = read_directions(evidence.frozen, evidence.edited)
    true = evidence.request.people[0].latents[0, 0] - evidence.frozen.w_avg[0]
    return nn.functional.cosine_similarity(directions, true[None], dim=1).abs().tolist()


def test_what_a_gradient_leaves_is_read_off_the_rows() -> None:
    rows, _, _ = alike(erase("gradient"))
    assert rows == pytest.approx(1, abs=1e-4)


def test_a_closed_form_is_read_off_the_columns() -> None:
    rows, columns, _ = alike(erase("closed"))
    assert columns == pytest.approx(1, abs=1e-3) and rows < 0.95


def test_a_step_in_whitened_latents_is_read_there() -> None:
    rows, _, whitened = alike(erase("whitened"))
    assert whitened == pytest.approx(1, abs=0.01) and rows < 0.95


def test_nothing_is_read_where_nothing_was_written() -> None:
    evidence = make_evidence(StyledToy(), StyledToy())
    assert not any(alike(evidence))
    assert not read_directions(ToyGenerator(), ToyGenerator()).any()


def test_a_generator_without_style_layers_gives_nothing_to_read_and_the_remark_says_so() -> None:
    plain = ReadDifference().attack(case_of(make_evidence(ToyGenerator(), ToyGenerator())))
    assert "has no style layers" in plain.remark and "says nothing about the edit" in plain.remark
    assert ReadDifference().attack(case_of(erase("gradient"))).remark == ""


def test_an_edit_names_the_person_without_a_photo() -> None:
    evidence = erase("gradient")
    results = run_attacks(evidence, {"read": ReadDifference()}, identity=ToyIdentity(), scale=Levels(0.0, 0.98))
    (result,) = results
    assert result.identified == Identified(1, 20) and result.finding.tone == "bad"
    assert "place 1 of 20 candidates, 5 % by chance" in result.finding.sentence
    assert result.control_identified is not None and result.control_identified.rank > 1
    assert result.plain()["identified"] == {"rank": 1, "candidates": 20, "chance": 0.05}
    assert result.plain()["holds"] == {"base": True, "photo": False, "encoder": False, "compute": "arithmetic"}


def test_the_search_climbs_to_where_the_edit_changed_most() -> None:
    evidence = erase("gradient")
    found = DifferenceSearch(steps=3, starts=3, random=40).attack(case_of(evidence))
    assert found.edited.guesses is not None and found.edited.guesses.shape == (3, 3, 4, 4) and found.remark == ""
    alone = DifferenceSearch(steps=2, starts=1, random=4).attack(attrs.evolve(case_of(evidence), identity=None))
    assert "compares perceptually" in alone.remark


def test_a_shuffled_edit_is_as_large_and_about_nobody() -> None:
    evidence = erase("gradient")
    made = shuffled(case_of(evidence))
    for layer, real, old in zip(made.style_layers(), evidence.edited.style_layers(), evidence.frozen.style_layers(),
                                strict=True):
        change, truth = layer.weight - old.weight, real.weight - old.weight
        assert change.norm().allclose(truth.norm(), rtol=1e-4) and not torch.allclose(change, truth)
        assert torch.equal(layer.bias, old.bias)


def test_whom_faces_show_is_a_rank_among_candidates() -> None:
    evidence = erase("gradient")
    case = case_of(evidence, border=None)
    with torch.no_grad():
        own = evidence.frozen.render_front(case.person.latents[:1])
        other = evidence.frozen.render_front(evidence.request.bystanders[0].latents)
    assert identify(case, own) == Identified(1, 20) and identify(case, other).rank > 1
    assert identify(case, torch.full_like(own, float("nan"))).rank == 20  # whoever is as like comes first


def test_too_few_candidates_decide_nothing() -> None:
    evidence = make_evidence(ToyGenerator(), ToyGenerator())
    case = case_of(evidence, border=-1.0)  # the judge takes everybody for the person
    found = identify(case, evidence.frozen.render_front(case.person.latents[:1]).detach())
    assert found.candidates == 3 and not found.named
    (result,) = run_attacks(evidence, {"read": ReadDifference()}, scale=Levels(-1.0, -0.9))
    assert result.finding.tone == "unknown" and "too few to say, 10 are needed" in result.finding.sentence


def test_who_has_photos_of_many_learns_who_was_erased() -> None:
    evidence = erase("closed")
    (result,) = run_attacks(evidence, {"membership": Membership(people=30)}, identity=ToyIdentity(),
                            scale=Levels(0.0, 0.98))
    assert result.effort_to_recognise == 30 and result.finding.tone == "bad"
    assert "AUC 1.00; rank 1 of 30" in result.remark and "Of several people with a photo" in result.finding.sentence
    untouched = make_evidence(StyledToy(), StyledToy())
    assert "rank 1 of 30" not in Membership(people=30).attack(case_of(untouched)).remark


def test_the_weakest_point_comes_first() -> None:
    evidence = erase("gradient")
    attacks = {"membership": Membership(people=20), "read": ReadDifference()}
    ways = summary(run_attacks(evidence, attacks, identity=ToyIdentity(), scale=Levels(0.0, 0.98)))
    assert [way.attack for way in ways] == ["read", "membership"]
    assert ways[0].attacker == "the edited generator, its base"
    assert ways[0].after.endswith("(place 1 of 20)") and ways[0].plain()["tone"] == "bad"


