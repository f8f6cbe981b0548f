"""Each attack on a world of linear pictures: it finds who is there, does not find who is not, and keeps its budget."""

from __future__ import annotations

import copy
import math

import attrs
import pytest
import torch
from torch import Tensor

from unlearnkit.attacks.reinversion import ReinversionW, ReinversionWPlus
from unlearnkit.attacks.relearning import Relearning, stranger
from unlearnkit.attacks.running import effort_to_recognise, run_attacks
from unlearnkit.attacks.sampling import Neighbours, RandomSearch
from unlearnkit.attacks.trace import Trace, references
from unlearnkit.errors import UnlearnkitError
from unlearnkit.interfaces import Attack, Attempt, Case, Evidence, Generator, Person, Rendering
from unlearnkit.report.verdict import Levels
from unlearnkit.testing import ToyGenerator, ToyIdentity, ToyViewGenerator, make_evidence

ATTACKS: list[Attack] = [
    ReinversionW(steps=12), ReinversionWPlus(steps=12), Neighbours(latents=20), RandomSearch(latents=20),
    Relearning(steps=12, learning_rate=0.01),
]
SCALE = Levels(0.0, 0.99)


@attrs.define(eq=False)
class BlankGenerator(ToyGenerator):
    """Makes one grey picture of everybody: nobody is left in it, and no latent can help."""

    def render(self, latents: Tensor, views: Tensor | None = None, rng: torch.Generator | None = None) -> Rendering:
        real = ToyGenerator.render(self, latents)
        sign = torch.ones(3, 4, 4)
        sign[:, ::2] = -1  # as unlike anybody as can be
        return Rendering(sign + 0 * real.image, real.features)


def evidence(after: Generator | None = None, people: int = 1) -> Evidence:
    return make_evidence(ToyGenerator(), after or ToyGenerator(), people)


def case(given: Evidence, border: float | None = 0.9, **more: object) -> Case:
    return Case(given, given.request.people[0], border=border, **more)  # type: ignore[arg-type]


def edited() -> ToyGenerator:
    """A generator whose pictures are all turned into their opposite."""
    made = ToyGenerator()
    with torch.no_grad():
        for value in made.editable_parameters().values():
            value.neg_()
    return made


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: type(attack).__name__)
def test_curves_rise_within_the_budget(attack: Attack) -> None:
    found = attack.attack(case(evidence(edited())))
    for attempt in (found.edited, found.control):
        efforts, best = zip(*attempt.points, strict=True)
        assert efforts[0] >= 0 and efforts[-1] == attack.budget
        assert list(efforts) == sorted(set(efforts)) and list(best) == sorted(best)
        assert attempt.image.shape == (3, 4, 4)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: type(attack).__name__)
def test_generators_and_chance_stay_as_they_are(attack: Attack) -> None:
    given = evidence(edited())
    before = [copy.deepcopy(g.module.state_dict()) for g in (given.frozen, given.edited)]
    state = torch.get_rng_state()  # of all chance there is beside the evidence's streams, which cannot be used up
    flags = [p.requires_grad for p in given.edited.module.parameters()]
    attack.attack(case(given))
    for old, generator in zip(before, (given.frozen, given.edited), strict=True):
        assert all(torch.equal(old[name], value) for name, value in generator.module.state_dict().items())
        assert all(parameter.grad is None for parameter in generator.module.parameters())
    assert torch.equal(state, torch.get_rng_state())
    assert flags == [p.requires_grad for p in given.edited.module.parameters()]


LED = [attack for attack in ATTACKS if not isinstance(attack, RandomSearch)]


@pytest.mark.parametrize("attack", LED, ids=lambda attack: type(attack).__name__)
def test_an_unedited_generator_gives_the_person_at_once(attack: Attack) -> None:
    (result,) = run_attacks(evidence(), {"it": attack}, scale=SCALE)
    assert result.effort_to_recognise in (0, 1), result.edited.points
    assert result.finding.tone == "bad"


def test_somebody_who_is_gone_is_found_by_no_sampling() -> None:
    given = evidence(BlankGenerator())
    for attack in (Neighbours(latents=64), RandomSearch(latents=64), ReinversionWPlus(steps=10)):
        (result,) = run_attacks(given, {"it": attack}, scale=SCALE)
        assert result.effort_to_recognise is None, result.edited.points
        assert result.finding.tone in ("good", "unknown")


def test_reinversion_finds_a_face_that_only_moved() -> None:
    """The edit exchanges two people: at the erased latent stands another, the person at another latent."""
    given = evidence()
    moved = ToyGenerator()
    weight = moved.network["synthesis"].weight  # type: ignore[index]
    with torch.no_grad():
        weight[:, [0, 1, 3, 4]] = weight[:, [1, 0, 4, 3]]
    given = attrs.evolve(given, edited=moved)
    attack = ReinversionWPlus(steps=80, learning_rate=0.2)
    found = attack.attack(case(given))
    first, best, ceiling = found.edited.points[0][1], found.edited.points[-1][1], found.control.points[-1][1]
    assert first < ceiling - 0.1 and best > ceiling - 0.02, found.edited.points


def test_budgets_are_kept_to_the_picture() -> None:
    counts = {
        # Searches have two starts, a picture a step and one at the end. The 3 are the evidence's own pictures.
        ReinversionW(steps=5): (2 * 6, 2 * 6 + 3),
        Neighbours(latents=9): (9, 9 + 3),
        RandomSearch(latents=11): (11, 11 + 3),
    }
    for attack, (after, before) in counts.items():
        given = evidence()
        attack.attack(case(given))
        assert (given.edited.rendered, given.frozen.rendered) == (after, before), type(attack)


def test_relearning_works_on_copies_only() -> None:
    given = evidence()
    Relearning(steps=5).attack(case(given))
    assert given.edited.rendered == 0 and given.frozen.rendered == 3 + 16  # the evidence's pictures, strangers


def test_relearning_is_judged_on_pictures_that_it_did_not_see() -> None:
    given = evidence(edited())
    assert Relearning(steps=1, pictures=2).attack(case(given)).judged_on.startswith("1 pictures that it was not")
    assert Relearning(steps=1, pictures=3).attack(case(given)).judged_on == "the fine-tuned pictures"


def test_relearning_what_only_a_bias_hides_is_faster_than_the_floor() -> None:
    """The edit is undone by few steps, a new face takes more: the speedup says that it only hides."""
    before, after = ToyGenerator(), ToyGenerator()
    given = make_evidence(before, after)
    person = Person("Ada", torch.tensor([[[2.0, 0.0, 0.0], [0.0, 0.0, 0.0]]]))
    far = torch.tensor([[[-2.0, 0.0, 0.0], [0.0, 0.0, 0.0]]])
    with torch.no_grad():
        after.network["synthesis"].weight[:4].mul_(-1)  # type: ignore[index]
    given = attrs.evolve(given, request=attrs.evolve(given.request, people=(person,)))
    (result,) = run_attacks(given, {"relearning": Relearning(steps=80, learning_rate=0.02)}, targets=far,
                            scale=Levels(0.9, 0.999))
    assert result.effort_to_recognise is not None
    assert result.speedup is not None and result.speedup > 1.5 and result.finding.tone in ("bad", "mixed")


def test_the_stranger_is_the_target_unless_that_is_the_person() -> None:
    given = evidence()
    away = -3 * given.request.people[0].latents[:1]
    assert torch.equal(stranger(case(given, target=away)), away)
    erased = given.request.people[0].latents[:1]
    assert not torch.equal(stranger(case(given, target=erased)), erased)
    assert not torch.equal(stranger(case(given, border=-1.0, target=away)), away)  # the judge takes it for the person


def test_neighbours_lie_where_they_claim() -> None:
    given = evidence()
    attack = Neighbours(latents=41, fractions=[0.1, 0.5], blends=[0.25, -0.5])
    around = attack.around(case(given))
    source = given.request.people[0].latents[0]
    assert around.shape == (41, 2, 3) and torch.equal(around[0], source)
    distance = (around[1::2] - source).flatten(1).norm(dim=1)
    assert distance[1::2].div(distance[::2]).allclose(torch.tensor(5.0))
    bystander = given.request.bystanders[0].latents[0]
    assert torch.equal(around[2], source.lerp(bystander, 0.25)) and torch.equal(around[4], source.lerp(bystander, -0.5))


def test_a_search_from_the_mean_knows_no_latent() -> None:
    given = evidence()
    found = ReinversionWPlus(steps=30, start="mean").attack(case(given))
    assert found.edited.points == found.control.points and given.edited.rendered == 31
    trace = Trace(case(given), references(case(given)))
    with torch.no_grad():
        mean = float(trace.likeness(given.frozen.render(given.frozen.w_avg[None]).image))
    assert found.edited.points[0] == (0, pytest.approx(mean)) and found.edited.points[-1][1] > mean


def test_several_erased_pictures_are_all_attacked() -> None:
    given = evidence()
    person = attrs.evolve(given.request.people[0], n_erased=2)
    given = attrs.evolve(given, request=attrs.evolve(given.request, people=(person,)))
    around = Neighbours(latents=10).around(case(given))
    assert torch.equal(around[:2], person.latents[:2])
    ReinversionW(steps=3).attack(case(given))
    assert given.edited.rendered == 2 * 2 * 4


def test_the_attacker_may_use_the_encoder_of_the_losses() -> None:
    given, encoder = evidence(edited()), ToyIdentity()
    alone = ReinversionW(steps=4).attack(case(given))
    helped = ReinversionW(steps=4).attack(case(given, identity=encoder))
    assert encoder.embedded == 2 + 2 * 4 * 2  # pictures, then each step of both searches, in both generators
    assert helped.edited.points != alone.edited.points


def test_views_are_taken_from_the_front() -> None:
    given = make_evidence(ToyViewGenerator(), ToyViewGenerator())
    for attack in ATTACKS:
        assert attack.attack(case(given)).edited.points


def test_each_person_has_their_own_target() -> None:
    given = evidence(edited(), people=2)
    first = attrs.evolve(given.request.people[0], n_erased=2)
    given = attrs.evolve(given, request=attrs.evolve(given.request, people=(first, given.request.people[1])))
    seen: list[Tensor | None] = []

    @attrs.define(eq=False)
    class Watching(RandomSearch):
        def attack(self, case: Case):  # type: ignore[no-untyped-def]
            seen.append(case.target)
            return RandomSearch.attack(self, case)

    targets = torch.arange(18.0).reshape(3, 2, 3)
    told: list[tuple[str, str]] = []
    results = run_attacks(given, {"w": Watching(latents=2)}, targets=targets, tell=lambda *names: told.append(names))
    assert [result.person for result in results] == ["person 0", "person 1"]
    assert told == [("w", "person 0"), ("w", "person 1")]
    assert torch.equal(seen[0], targets[:1]) and torch.equal(seen[1], targets[2:])  # type: ignore[arg-type]


def test_the_best_of_a_trace_leaves_out_what_is_no_number() -> None:
    given = case(evidence())
    trace = Trace(given, references(given))
    with pytest.raises(UnlearnkitError, match="not finite"):
        trace.attempt(3)
    trace.see(torch.full((1, 3, 4, 4), math.nan), [1])
    trace.see(references(given), [2, 2, 2])
    attempt = trace.attempt(3, sampled=True)
    assert [effort for effort, _ in attempt.points] == [2, 3] and attempt.share == 0.75


def test_effort_to_recognise_is_the_first() -> None:
    attempt = Attempt(((0, 0.1), (4, 0.5), (7, 0.8), (9, 0.8)), torch.zeros(3, 4, 4))
    assert effort_to_recognise(attempt, 0.5) == 4 and effort_to_recognise(attempt, 0.6) == 7
    assert effort_to_recognise(attempt, 0.9) is None and effort_to_recognise(attempt, None) is None
