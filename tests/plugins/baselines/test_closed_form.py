"""The closed-form edit: a least-squares problem solved right, on a generator whose style layers are known."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from unlearnkit_baselines.closed_form import ClosedForm, solve
from unlearnkit_guide.targets import Ufo

from unlearnkit.errors import ConfigError
from unlearnkit.interfaces import Generator, Job, StyleLayer
from unlearnkit.plugins import registry
from unlearnkit.testing.checks.method import Memory
from unlearnkit.testing.world import make_job, toy_job

GOLDEN = Path(__file__).parents[2] / "golden"
RNG = torch.Generator().manual_seed(5)


def generator() -> Generator:
    made = registry().component_class("generator", "stylegan2")(checkpoint=GOLDEN / "sg2_ada_32.pkl")
    made.prepare(torch.device("cpu"))
    return made


def run(people: int = 1, **options) -> Job:
    job = make_job(generator(), generator(), {}, people, progress=Memory())
    job.targets = Ufo(distance=3.0).select(job.erased, job.frozen, None)
    ClosedForm(**options).unlearn(job)
    return job


def style(layer: StyleLayer, latents: torch.Tensor) -> torch.Tensor:
    return layer.gain * latents[:, layer.row] @ layer.weight.detach().T + layer.bias.detach()


def homogeneous(rows: torch.Tensor) -> torch.Tensor:
    return torch.cat([rows, torch.ones(len(rows), 1)], 1).double()


def test_the_solution_satisfies_the_normal_equations():
    old = torch.randn(4, 7, generator=RNG)
    a, b, r = (torch.randn(n, 6, generator=RNG) for n in (3, 3, 20))
    erase, keep, ridge = 2.0, 0.7, 0.3
    new = solve(old, a, b, r, erase=erase, keep=keep, ridge=ridge)
    old, a, b, r = old.double(), homogeneous(a), homogeneous(b), homogeneous(r)
    # UCE's W (ridge I + sum c c^T + sum_keep c c^T) = ridge W0 + sum v* c^T + sum_keep W0 c c^T, with means for sums
    left = new @ (ridge * torch.eye(7).double() + erase / 3 * a.T @ a + keep / 20 * r.T @ r)
    right = ridge * old + erase / 3 * (b @ old.T).T @ a + keep / 20 * (r @ old.T).T @ r
    torch.testing.assert_close(left, right)


def test_no_other_map_costs_less():
    old = torch.randn(4, 7, generator=RNG).double()
    a, b, r = (torch.randn(n, 6, generator=RNG) for n in (3, 3, 20))

    def cost(w: torch.Tensor) -> float:
        erased = (homogeneous(a) @ w.T - homogeneous(b) @ old.T).square().sum(1).mean()
        kept = (homogeneous(r) @ (w - old).T).square().sum(1).mean()
        return float(2.0 * erased + 0.7 * kept + 0.3 * (w - old).square().sum())

    new = solve(old, a, b, r, erase=2.0, keep=0.7, ridge=0.3)
    least = cost(new)
    assert least < cost(old)
    assert all(cost(new + 0.01 * torch.randn(4, 7, generator=RNG).double()) > least for _ in range(20))


def test_nothing_to_erase_changes_nothing():
    old, same = torch.randn(4, 7, generator=RNG), torch.randn(3, 6, generator=RNG)
    new = solve(old, same, same, torch.randn(9, 6, generator=RNG), erase=1.0, keep=1.0, ridge=1e-3)
    assert torch.equal(new, old.double())


def test_the_persons_style_becomes_the_targets_and_others_keep_theirs():
    job = run(erase=10.0, samples=500, radii=(0.5, 1.0))
    others = job.frozen.map(torch.randn(200, job.frozen.z_dim, generator=torch.Generator().manual_seed(77)))
    for old, new in zip(job.frozen.style_layers(), job.edited.style_layers(), strict=True):
        wanted = style(old, job.targets)
        way = (style(old, job.erased) - wanted).norm()
        assert (style(new, job.erased) - wanted).norm() < 0.15 * way, old.name
        moved = (style(new, others) - style(old, others)).norm(dim=1).square().mean().sqrt()
        assert moved < 0.35 * way, old.name


def test_neighbours_move_along():
    job = run(erase=10.0, samples=500, radii=(0.5, 1.0))
    away = job.frozen.map(torch.randn(1, job.frozen.z_dim, generator=torch.Generator().manual_seed(8))) - job.erased
    delta = 0.5 * away / away.norm()
    for old, new in zip(job.frozen.style_layers(), job.edited.style_layers(), strict=True):
        wanted = style(old, job.targets + delta)
        way = (style(old, job.erased + delta) - wanted).norm()
        assert (style(new, job.erased + delta) - wanted).norm() < 0.3 * way, old.name


def test_a_heavier_erase_gets_nearer_and_costs_more():
    light, heavy = (run(erase=weight).progress.reported[0][2] for weight in (0.01, 10.0))
    assert heavy["erase/style_error"] < light["erase/style_error"] < 1.0
    assert heavy["keep/style_error"] > light["keep/style_error"] > 0.0


def test_only_style_layers_change():
    job = run(people=2)
    layers = job.edited.style_layers()
    style_names = {f"{layer.name}.{kind}" for layer in layers for kind in ("weight", "bias")}
    before, after = job.frozen.module.state_dict(), job.edited.module.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == style_names
    assert job.progress.reported[0][:2] == (0, 1) and job.progress.saves == 0


def test_without_directions_only_the_person_itself_is_erased():
    job = run(directions=0)
    assert 0.0 <= job.progress.reported[0][2]["erase/style_error"] < 0.5


def test_a_generator_without_style_layers_is_refused():
    job = toy_job({})
    before = copy.deepcopy(job.edited.module.state_dict())
    with pytest.raises(ConfigError, match="no style layers"):
        ClosedForm().unlearn(job)
    assert all(torch.equal(before[name], value) for name, value in job.edited.module.state_dict().items())
