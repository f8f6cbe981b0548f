"""Rules on gradients: surgery on vectors that can be worked out by hand, and the mask of saliency."""

from __future__ import annotations

import pytest
import torch
from unlearnkit_baselines.gradients import RULES, GradientSurgery, Saliency, combine_gradients, saliency_mask
from unlearnkit_baselines.losses import RandomFace
from unlearnkit_guide.losses import Global, Local

from unlearnkit.interfaces import Job
from unlearnkit.testing.world import toy_job

AGAINST = ([1.0, 0.0], [-1.0, 1.0])
ALONG = ([1.0, 1.0], [1.0, 0.0])


@pytest.mark.parametrize(("rule", "sides", "wanted"), [
    ("doco", AGAINST, [-0.5, 1.5]),  # forget becomes (0.5, 0.5), retain stays
    ("doco", ALONG, [2.0, 1.0]),
    ("pcgrad", AGAINST, [0.5, 1.5]),  # forget (0.5, 0.5), retain (0, 1)
    ("pcgrad", ALONG, [2.0, 1.0]),
    ("project", AGAINST, [-0.5, 1.5]),
    ("project", ALONG, [1.0, 1.0]),  # forget (0, 1)
    ("filter", AGAINST, [-1.0, 1.0]),  # forget (0, 0)
    ("filter", ([1.0, -2.0], [1.0, 1.0]), [2.0, 1.0]),  # forget (1, 0)
])
def test_rules_by_hand(rule: str, sides: tuple[list[float], list[float]], wanted: list[float]) -> None:
    combined = combine_gradients(torch.tensor(sides[0]), torch.tensor(sides[1]), rule)
    torch.testing.assert_close(combined, torch.tensor(wanted))


@pytest.mark.parametrize("rule", RULES)
def test_with_nothing_to_retain_forgetting_is_whole(rule: str) -> None:
    forget = torch.tensor([1.0, -2.0])
    assert torch.equal(combine_gradients(forget, torch.zeros(2), rule), forget)
    assert torch.equal(combine_gradients(torch.zeros(2), forget, rule), forget)


def test_what_is_left_of_forgetting_does_not_work_against_retaining():
    rng = torch.Generator().manual_seed(0)
    for _ in range(50):
        forget, retain = torch.randn(2, 9, generator=rng)
        for rule in ("doco", "project", "filter"):
            assert float((combine_gradients(forget, retain, rule) - retain) @ retain) > -1e-5


def test_a_layer_alone_or_all_together():
    forget = {"a": torch.tensor([1.0]), "b": torch.tensor([[3.0]])}
    retain = {"a": torch.tensor([-1.0]), "b": torch.tensor([[1.0]])}  # against in a, along in b; along in the whole
    layer = GradientSurgery(scope="layer").combine(forget, retain)
    assert {name: value.tolist() for name, value in layer.items()} == {"a": [-1.0], "b": [[4.0]]}
    whole = GradientSurgery(scope="all").combine(forget, retain)
    assert {name: value.tolist() for name, value in whole.items()} == {"a": [0.0], "b": [[4.0]]}


def distance(job: Job) -> float:
    with torch.no_grad():
        made, wanted = job.edited.render(job.erased), job.frozen.render(job.targets)
    return float((made.image - wanted.image).square().mean())


@pytest.mark.parametrize("scope", ["layer", "all"])
@pytest.mark.parametrize("rule", RULES)
def test_every_rule_forgets(rule: str, scope: str) -> None:
    job = toy_job({"guide-local": Local(), "guide-global": Global()})
    before = distance(job)
    GradientSurgery(rule=rule, scope=scope, steps=60, learning_rate=0.01).unlearn(job)
    assert distance(job) < 0.8 * before


# ---------------------------------------------------------------- the mask

def test_the_mask_keeps_exactly_the_largest_half():
    slopes = {"a": torch.tensor([[5.0, -4.0], [0.1, 0.0]]), "b": torch.tensor([0.2, -3.0])}
    mask = saliency_mask(slopes, 0.5)
    assert mask["a"].tolist() == [[True, True], [False, False]] and mask["b"].tolist() == [False, True]
    ties = saliency_mask({"a": torch.ones(7), "b": torch.ones(3)}, 0.5)
    assert sum(int(part.sum()) for part in ties.values()) == 5


def losses() -> dict:
    return {"random-face": RandomFace(), "guide-global": Global()}


def started(method: Saliency, seed: int) -> dict[str, torch.Tensor]:
    job = toy_job(losses(), seed=seed)
    state = job.rng.get_state()
    method.start(job, job.edited.editable_parameters())
    assert torch.equal(job.rng.get_state(), state), "the run's own chance is left alone"
    assert all(p.grad is None for p in job.edited.editable_parameters().values())
    return method._mask


def test_the_mask_is_the_same_for_every_seed_of_a_run():
    one, other = started(Saliency(), 1), started(Saliency(), 2)
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert sum(int(mask.sum()) for mask in one.values()) == (48 * 6 + 48) // 2


def test_the_mask_follows_forgetting_only():
    job = toy_job({"guide-global": Global(samples=50)} | losses())
    alone = toy_job({"random-face": RandomFace()})
    masks = []
    for each in (job, alone):
        method = Saliency()
        method.start(each, each.edited.editable_parameters())
        masks.append(method._mask)
    assert all(torch.equal(masks[0][name], masks[1][name]) for name in masks[0])


def test_only_what_the_mask_lets_through_moves():
    job, method = toy_job(losses()), Saliency(steps=5, learning_rate=0.01, share=0.25)
    method.unlearn(job)
    before = job.frozen.editable_parameters()
    for name, value in job.edited.editable_parameters().items():
        moved = value != before[name]
        assert not moved[~method._mask[name]].any()
        assert moved[method._mask[name]].float().mean() > 0.9
