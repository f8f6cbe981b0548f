"""LEGATO: what an adapter computes, that nothing but adapters moves, and that its edits travel."""

from __future__ import annotations

import copy
from itertools import pairwise
from pathlib import Path

import attrs
import pytest
import torch
from unlearnkit_baselines.legato import Legato, OdeAdapter
from unlearnkit_guide.losses import Global, Local

from unlearnkit.edits import file as edits
from unlearnkit.engine import loop as engine
from unlearnkit.errors import ConfigError, EditError
from unlearnkit.interfaces import Generator
from unlearnkit.plugins import registry
from unlearnkit.testing.checks.method import Memory
from unlearnkit.testing.world import ToyGenerator, toy_job

GOLDEN = Path(__file__).parents[2] / "golden"


def adapter(step: float = 0.5, steps: int = 3, moved: bool = True) -> OdeAdapter:
    rng = torch.Generator().manual_seed(1)
    made = OdeAdapter(2, 5, step, steps, rng)
    if moved:
        with torch.no_grad():
            made.last.weight.copy_(torch.randn(made.last.weight.shape, generator=rng))
            made.last.bias.fill_(0.2)
    return made


def stylegan2() -> Generator:
    generator = registry().component_class("generator", "stylegan2")(checkpoint=GOLDEN / "sg2_ada_32.pkl")
    generator.prepare(torch.device("cpu"))
    return generator


def job(**options):
    return toy_job({"near": Local(), "far": Global()}, people=2, **options)


def test_euler_steps_by_hand():
    ode, x = adapter(), torch.randn(4, 2, 3, 3, generator=torch.Generator().manual_seed(2))
    w1, b1, w2, b2 = (value.detach().squeeze() for value in
                      (ode.first.weight, ode.first.bias, ode.last.weight, ode.last.bias))
    states = [x]
    for _ in range(3):
        hidden = torch.einsum("oc,nchw->nohw", w1, states[-1]) + b1[:, None, None]
        hidden = torch.where(hidden > 0, hidden, 0.2 * hidden)
        states.append(states[-1] + 0.5 * (torch.einsum("oc,nchw->nohw", w2, hidden) + b2[:, None, None]))
    ode.watches = True
    torch.testing.assert_close(ode(x), states[-1])
    squares = [(b - a).square().mean((1, 2, 3)) for a, b in pairwise(states)]
    torch.testing.assert_close(ode.take(), torch.stack(squares).mean(0))


def test_it_is_the_identity_at_the_start_to_the_bit():
    x = torch.randn(2, 2, 3, 3)
    assert torch.equal(adapter(moved=False)(x), x)
    plain, adapted = stylegan2(), stylegan2()
    Legato().attach(adapted)
    latents = plain.map(torch.randn(2, plain.z_dim, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(plain.render(latents).image, adapted.render(latents).image)


def test_first_weights_use_no_global_random_numbers():
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(9)
        before = torch.get_rng_state()
        one = adapter(moved=False)
        assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(one.first.weight, adapter(moved=False).first.weight) and one.first.weight.std() > 0.1


def test_only_adapters_move_and_frozen_weights_get_no_gradient():
    now = job()
    before = copy.deepcopy(now.frozen.module.state_dict())
    Legato(steps=2, learning_rate=0.01).unlearn(now)
    after = now.edited.module.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    new = after.keys() - before.keys()
    assert new == {f"adapter.{layer}.{kind}" for layer in ("first", "last") for kind in ("weight", "bias")}
    assert after["adapter.last.weight"].any()
    assert all(value.grad is None and not value.requires_grad
               for name, value in now.edited.module.named_parameters() if name in before)


def test_no_graph_outlives_the_run_and_a_copy_is_independent():
    now = job()
    Legato(steps=1).unlearn(now)
    ode = now.edited.module["adapter"]
    assert ode.travelled is None and not ode.watches
    copied = copy.deepcopy(now.edited)
    assert torch.equal(copied.render(now.erased).image, now.edited.render(now.erased).image)
    with torch.no_grad():
        copied.module["adapter"].last.bias.add_(1.0)
    assert not torch.equal(copied.render(now.erased).image, now.edited.render(now.erased).image)


@pytest.mark.parametrize("size", [1, 3, 100])
def test_consistency_is_a_sum_over_pairs_whatever_the_micro_batch(monkeypatch, size):
    def gradients(size: int) -> list[torch.Tensor]:
        now, said = job(progress=Memory()), []
        monkeypatch.setattr(engine, "micro_batch_size", lambda device, resolution, pairs: size)
        Legato(steps=2, learning_rate=0.05, consistency=30.0).unlearn(now)
        said = now.progress.reported[-1][2]
        assert said["consistency"] > 0 and said["total"] > said["consistency"]
        return list(now.edited.module["adapter"].state_dict().values())

    for a, b in zip(gradients(4), gradients(size), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_consistency_keeps_trajectories_short():
    def length(weight: float) -> float:
        now = job()
        Legato(steps=60, learning_rate=0.005, consistency=weight).unlearn(now)
        ode, x = now.edited.module["adapter"], torch.ones(1, 3, 4, 4)
        with torch.no_grad():
            return float((ode(x) - x).norm())

    assert length(1000.0) < 0.3 * length(0.0)


def test_a_later_run_goes_on_training_the_same_adapters():
    now = job()
    Legato(steps=2, learning_rate=0.01).unlearn(now)
    ode, before = now.edited.module["adapter"], now.edited.module["adapter"].last.weight.clone()
    Legato(steps=2, learning_rate=0.01, hidden=7).unlearn(attrs.evolve(now, frozen=copy.deepcopy(now.edited)))
    assert now.edited.module["adapter"] is ode and not torch.equal(ode.last.weight, before)


def test_another_methods_adapter_is_refused():
    now = job()
    now.edited.adapt(torch.nn.Identity)
    with pytest.raises(ConfigError, match=r"Identity of another method"):
        Legato(steps=1).unlearn(now)


@pytest.mark.parametrize("options", [
    {"step": 0.5}, {"duration": 0.1}, {"duration": 1e9}, {"hidden": 5000}, {"step": 0.0},
])
def test_what_cannot_be_computed_is_refused(options):
    with pytest.raises(ConfigError):
        Legato(**options)
    assert Legato(step=0.1, duration=0.3).step == 0.1


def edit(path: Path, before: Generator, hidden: int = 8) -> Generator:
    """An edit by hand: adapters of which the last weights are not zero."""
    after = copy.deepcopy(before)
    Legato(hidden=hidden).attach(after)
    rng = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, value in after.module.named_parameters():
            if name.endswith("adapter.last.weight"):
                value.copy_(0.05 * torch.randn(value.shape, generator=rng))
    edits.save_edit(path, before, after, "stylegan2", "legato", {"hidden": hidden})
    return after


def test_an_edit_comes_back_on_a_fresh_generator(tmp_path):
    after, fresh = edit(tmp_path / "edit.safetensors", stylegan2()), stylegan2()
    latents = fresh.map(torch.randn(2, fresh.z_dim))
    before = fresh.render(latents).image
    edits.put_on(fresh, tmp_path / "edit.safetensors")
    assert torch.equal(fresh.render(latents).image, after.render(latents).image)
    assert not torch.allclose(fresh.render(latents).image, before)
    with pytest.raises(EditError, match="no checkpoint format can"):
        edits.apply_edit(tmp_path / "edit.safetensors", GOLDEN / "sg2_ada_32.pkl", tmp_path / "out.pkl")


def test_a_toy_edit_comes_back_too(tmp_path):
    now = job()
    Legato(steps=2, learning_rate=0.01, hidden=5).unlearn(now)
    edits.save_edit(tmp_path / "e.safetensors", now.frozen, now.edited, "toy", "legato", {"hidden": 5})
    fresh = ToyGenerator()
    edits.put_on(fresh, tmp_path / "e.safetensors")
    assert torch.equal(fresh.render(now.erased).image, now.edited.render(now.erased).image)


def test_sample_reads_such_an_edit_and_apply_refuses_it_in_one_line(tmp_path, cli):
    base, path = GOLDEN / "sg2_ada_32.pkl", tmp_path / "edit.safetensors"
    edit(path, stylegan2())

    for name, extra in (("after.png", ["--edit", str(path)]), ("before.png", [])):
        done = cli("sample", "--generator", "stylegan2", "--checkpoint", str(base), *extra, "--count", "2",
                          "--out", str(tmp_path / name))
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "after.png").read_bytes() != (tmp_path / "before.png").read_bytes()
    done = cli("apply", str(path), "--base", str(base), "--out", str(tmp_path / "x.pkl"))
    assert done.returncode != 0 and "adds modules" in done.stderr and "Traceback" not in done.stderr
