"""What a loss promises: it names pairs of latents, measures two renderings, and renders nothing itself."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from unlearnkit.engine import PairLoop
from unlearnkit.errors import UnlearnkitError
from unlearnkit.interfaces import Generator, Job, Loss, Pairs, Penalty, Rendering, Step
from unlearnkit.testing.expect import NotApplicable, expect, expect_tensor, same_bits, snapshot, twice, unchanged
from unlearnkit.testing.subject import Subject
from unlearnkit.testing.world import ToyGenerator, ToyTarget, make_job

PEOPLE = 2


def check_beginning_leaves_the_run_alone(subject: Subject) -> None:
    """``begin`` changes nothing and draws nothing from the run's rng, since a resumed run begins again."""
    def begun() -> list[Tensor]:
        job = make_job(subject.world(), subject.world(), {}, PEOPLE, selector=ToyTarget())

        def everything() -> dict[str, Tensor]:
            networks = (("edited", job.edited), ("frozen", job.frozen))
            tensors = {f"{who} {name}": value for who, g in networks for name, value in g.module.state_dict().items()}
            return {**tensors, "erased": job.erased, "targets": job.targets, "job.rng": job.rng.get_state()}

        with unchanged(everything, "the job"):
            subject.component.begin(job)
        pairs = _pairs(subject.component, job)
        return [pairs.edited, pairs.frozen]

    first, second = twice(begun)
    expect(same_bits(first, second), "the same pairs after beginning again", "different ones")


def check_pairs_have_their_shapes(subject: Subject) -> None:
    """``pairs`` names at least one pair of finite latents ``(N, num_ws, w_dim)``, and a view for each or none."""
    _skip_penalties(subject)
    for made in subject.worlds():
        for people in (1, PEOPLE):
            pairs = _pairs(subject.component, _job(subject, made, people))
            expect(isinstance(pairs, Pairs) and len(pairs) > 0, "at least one pair", f"{pairs!r:.80}")
            for side in ("edited", "frozen"):
                expect_tensor(f"pairs.{side}", getattr(pairs, side), (len(pairs), made.num_ws, made.w_dim))
            views = None if pairs.views is None else len(pairs.views)
            wanted = len(pairs) if made.has_views else None
            expect(views == wanted, f"views: {wanted} for a generator {'with' if wanted else 'without'} views "
                   "(step.pairs(...) takes care of that)", f"{views}")


def check_constant_pairs_are_constant(subject: Subject) -> None:
    """Where ``constant`` is set, the frozen side is the same at every step: its rendering is kept."""
    for made in subject.worlds():
        job = _job(subject, made)
        first, second = _pairs(subject.component, job, 0), _pairs(subject.component, job, 1)
        if not (first.constant or second.constant):
            continue
        expect(same_bits(first.frozen, second.frozen), "constant pairs to have the same frozen latents at each step",
               "different ones at the second step (leave constant=True out)")
        expect(same_bits(first.views, second.views), "constant pairs to have the same views at each step",
               "different ones at the second step (step.pairs(...) takes care of that)")


def check_pairs_are_repeatable(subject: Subject) -> None:
    """The same step and the same ``step.rng`` give the same pairs; draws come from that rng only."""
    job = _job(subject, subject.world())
    state = job.rng.get_state()

    def again() -> Pairs:
        job.rng.set_state(state)
        return _pairs(subject.component, job)

    first, second = twice(again)
    same = same_bits([first.edited, first.frozen], [second.edited, second.frozen])
    expect(same, "the same pairs from the same step.rng", "different ones")


def check_naming_pairs_changes_nothing(subject: Subject) -> None:
    """``pairs`` leaves the latents to erase, the targets and the generator as they are."""
    job = _job(subject, subject.world())
    with unchanged(lambda: {"erased": job.erased, "targets": job.targets, **job.edited.module.state_dict()},
                   "erased, targets and generator"):
        _pairs(subject.component, job)


def check_it_never_renders(subject: Subject) -> None:
    """Neither ``pairs`` nor ``terms`` renders: the engine does, once for all losses (``begin`` may)."""
    _skip_penalties(subject)
    made = ToyGenerator()
    job = _job(subject, made)
    before = made.rendered
    pairs = _pairs(subject.component, job)
    expect(made.rendered == before, "pairs() to render nothing", f"{made.rendered - before} renderings")
    edited, frozen = _renderings(job, pairs)
    before = made.rendered
    subject.component.terms(edited, frozen, job.measures)
    expect(made.rendered == before, "terms() to render nothing", f"{made.rendered - before} renderings")


def check_terms_have_weights(subject: Subject) -> None:
    """``terms`` (and ``penalty``) and ``weights`` have the same names, and each weight is a finite number."""
    weights = subject.component.weights()
    terms = {**_penalty(subject), **({} if isinstance(subject.component, Penalty) else _terms(subject)[0])}
    expect(bool(terms), "at least one term", "none")
    expect(terms.keys() == weights.keys(), "a weight for each term and a term for each weight",
           f"terms {sorted(terms)}, weights {sorted(weights)}")
    wrong = {name: value for name, value in weights.items()
             if not isinstance(value, int | float) or not math.isfinite(value)}
    expect(not wrong, "weights that are finite numbers", f"{wrong}")


def check_terms_are_one_number_per_pair(subject: Subject) -> None:
    """Each term is finite and ``(N,)``: not summed or averaged over the pairs, which the engine does."""
    _skip_penalties(subject)
    terms, count = _terms(subject)
    for name, value in terms.items():
        expect_tensor(f"term '{name}'", value, (count,))


def check_terms_do_not_depend_on_the_batch(subject: Subject) -> None:
    """A pair's terms are the same whatever other pairs are measured with it: the engine cuts pairs up at will."""
    _skip_penalties(subject)
    job = _job(subject, subject.world())
    pairs = _pairs(subject.component, job)
    edited, frozen = _renderings(job, pairs)
    with torch.no_grad():
        whole = subject.component.terms(edited, frozen, job.measures)
        rows = [subject.component.terms(_row(edited, i), _row(frozen, i), job.measures) for i in range(len(pairs))]
    for name, value in whole.items():
        alone = torch.cat([row[name] for row in rows])
        same = alone.shape == value.shape and bool(torch.allclose(alone, value, rtol=1e-3, atol=1e-5))
        expect(same, f"term '{name}' of a pair to be the same alone and among others",
               f"{alone.tolist()} alone, {value.tolist()} among others")


def check_gradient_reaches_the_edited_rendering(subject: Subject) -> None:
    """The weighted sum has a finite gradient by the edited rendering that is not zero."""
    _skip_penalties(subject)
    job = _job(subject, subject.world())
    edited, frozen = _renderings(job, _pairs(subject.component, job))
    leaves = [value.detach().requires_grad_(True) for value in (edited.image, edited.features)]
    terms = subject.component.terms(Rendering(leaves[0], leaves[1]), frozen, job.measures)
    weights = subject.component.weights()
    total = torch.stack([weights[name] * value.sum() for name, value in terms.items()]).sum()
    expect(total.requires_grad, "a loss that depends on the edited rendering", "a constant (detach or no_grad?)")
    gradients = [gradient for gradient in torch.autograd.grad(total, leaves, allow_unused=True) if gradient is not None]
    expect(all(bool(gradient.isfinite().all()) for gradient in gradients), "a finite gradient", "NaN or infinity")
    expect(any(bool(gradient.any()) for gradient in gradients),
           "a gradient that is not zero (give settings where all weights default to 0)", "zeros only")


def check_measuring_changes_nothing(subject: Subject) -> None:
    """``terms`` leaves both renderings as they are (no in-place operation): other losses measure them too."""
    _skip_penalties(subject)
    job = _job(subject, subject.world())
    edited, frozen = _renderings(job, _pairs(subject.component, job))
    tensors = {"edited image": edited.image, "edited features": edited.features,
               "frozen image": frozen.image, "frozen features": frozen.features}
    before = snapshot(tensors)
    with torch.no_grad():
        subject.component.terms(edited, frozen, job.measures)
    changed = [name for name in tensors if not same_bits(before[name], tensors[name])]
    expect(not changed, "both renderings to stay as they are", f"changes in {', '.join(changed)}")


def check_a_penalty_has_a_gradient(subject: Subject) -> None:
    """A penalty is one finite number per term; once parameters have moved, its gradient is finite and not zero."""
    made = subject.world()
    job = _job(subject, made)
    parameters = {name: value.detach().clone() for name, value in job.edited.editable_parameters().items()}
    moved = {name: (value + 0.02).requires_grad_(True) for name, value in parameters.items()}
    terms = subject.component.penalty(moved)
    if not terms:
        return  # it is about pairs only
    for name, value in terms.items():
        expect_tensor(f"penalty '{name}'", value, ())
    total = torch.stack(list(terms.values())).sum()
    gradients = [s for s in torch.autograd.grad(total, list(moved.values()), allow_unused=True) if s is not None]
    expect(all(bool(gradient.isfinite().all()) for gradient in gradients), "a finite gradient", "NaN or infinity")
    expect(any(bool(gradient.any()) for gradient in gradients), "a gradient that is not zero", "zeros only")


def check_it_can_be_minimised(subject: Subject) -> None:
    """The pair loop runs with this loss alone, for two steps, on generators with and without views."""
    for made in subject.worlds():
        job = _job(subject, made, losses={"checked": subject.component})
        try:
            PairLoop(losses=("checked",), steps=2).unlearn(job)
        except UnlearnkitError as error:
            expect(False, "two steps of the pair loop to run", f"{type(error).__name__}: {error}")
        editable = made.editable_parameters()
        finite = all(bool(value.isfinite().all()) for value in editable.values())
        expect(finite, "finite parameters after two steps", "NaN or infinity")


def check_it_goes_on_from_its_memory(subject: Subject) -> None:
    """What a loss learns in a step is in its ``memory``: one that begins anew and recalls it names the same pairs."""
    _skip_penalties(subject)
    made = ToyGenerator()
    job = _job(subject, made)
    for index in range(3):
        pairs = _pairs(subject.component, job, index)
        subject.component.terms(made.render(pairs.edited), job.frozen.render(pairs.frozen), job.measures)
    memory = snapshot(subject.component.memory())
    state = job.rng.get_state()
    went_on = _pairs(subject.component, job, 3)
    fresh = subject.fresh()
    fresh.begin(job)
    if memory:
        fresh.recall(memory)
    job.rng.set_state(state)
    resumed = _pairs(fresh, job, 3)
    same = same_bits([went_on.edited, went_on.frozen], [resumed.edited, resumed.frozen])
    expect(same, "the same pairs after beginning anew and recalling (Loss.memory, Loss.recall)", "different ones")


# ---------------------------------------------------------------- a step for a loss

def _skip_penalties(subject: Subject) -> None:
    if isinstance(subject.component, Penalty):
        raise NotApplicable("a penalty on parameters names no pairs")


def _penalty(subject: Subject) -> dict[str, Tensor]:
    """Its penalty where parameters have moved a little."""
    job = _job(subject, subject.world())
    moved = {name: value.detach() + 0.02 for name, value in job.edited.editable_parameters().items()}
    terms: dict[str, Tensor] = subject.component.penalty(moved)
    return terms


def _job(subject: Subject, made: Generator, people: int = PEOPLE, losses: dict[str, Loss] | None = None) -> Job:
    frozen = type(made)() if isinstance(made, ToyGenerator) else subject.world()
    job = make_job(made, frozen, losses or {}, people, selector=ToyTarget())
    subject.component.begin(job)
    return job


def _pairs(loss: Loss, job: Job, index: int = 0) -> Pairs:
    view = job.edited.sample_views(1, job.rng)
    return loss.pairs(Step(index, job.edited, job.erased, job.targets, view, job.rng, job.selector))


def _renderings(job: Job, pairs: Pairs) -> tuple[Rendering, Rendering]:
    """Both sides, from generators that differ: as in the middle of a run."""
    with torch.no_grad():
        for value in job.edited.editable_parameters().values():
            value.add_(0.02)
        sides = [job.edited.render(pairs.edited, pairs.views), job.frozen.render(pairs.frozen, pairs.views)]
    return sides[0], sides[1]


def _terms(subject: Subject) -> tuple[dict[str, Tensor], int]:
    job = _job(subject, subject.world())
    pairs = _pairs(subject.component, job)
    with torch.no_grad():
        terms: dict[str, Any] = subject.component.terms(*_renderings(job, pairs), job.measures)
    return terms, len(pairs)


def _row(whole: Rendering, index: int) -> Rendering:
    return Rendering(whole.image[index : index + 1], whole.features[index : index + 1])
