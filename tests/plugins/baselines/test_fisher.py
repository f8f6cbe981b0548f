"""The Fisher information of pictures and its penalty, against derivatives worked out in full."""

from __future__ import annotations

import pytest
import torch
from unlearnkit_baselines.fisher import Fisher, asking_for_gradients, mean_squared_gradient, picture_fisher
from unlearnkit_baselines.methods import Ewc
from unlearnkit_guide.losses import Global, Local

from unlearnkit.engine import freeze
from unlearnkit.errors import ConfigError
from unlearnkit.streams import stream
from unlearnkit.testing import ToyViewGenerator
from unlearnkit.testing.world import ToyGenerator, random_latents, toy_job


def exact(generator: ToyGenerator, count: int) -> dict[str, torch.Tensor]:
    """``E_w[mean over picture values of (dI / dp)^2]`` from the whole Jacobian."""
    layer = generator.module["synthesis"]
    total = {"weight": torch.zeros_like(layer.weight), "bias": torch.zeros_like(layer.bias)}
    for latent in random_latents(generator, count, seed=3):
        def draw(weight, bias, latent=latent):
            return torch.nn.functional.linear(latent.flatten(), weight, bias).tanh()

        jacobian = torch.autograd.functional.jacobian(draw, (layer.weight.detach(), layer.bias.detach()))
        for name, slopes in zip(total, jacobian, strict=True):
            total[name] += slopes.square().mean(0) / count
    return {f"synthesis.{name}": value for name, value in total.items()}


def test_mean_squared_gradient_by_hand():
    parameter = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    numbers = ((parameter * torch.tensor(row)).sum() for row in ([3.0, 0.0], [1.0, 2.0]))
    found = mean_squared_gradient({"p": parameter}, numbers)
    torch.testing.assert_close(found["p"], torch.tensor([(9 + 1) / 2, (0 + 4) / 2]))
    assert parameter.grad is None


def test_projections_estimate_what_the_jacobian_says():
    generator = ToyGenerator()
    found, wanted = picture_fisher(generator, 3000, stream(0, "fisher")), exact(generator, 300)
    for name, value in wanted.items():
        assert found[name].shape == value.shape and (found[name] >= 0).all()
        torch.testing.assert_close(found[name].mean(), value.mean(), rtol=0.1, atol=0)
    bias = found["synthesis.bias"], wanted["synthesis.bias"]
    torch.testing.assert_close(*bias, rtol=0.4, atol=0)  # one by one: each is a mean of 3000 squares of normals


def test_a_frozen_generator_is_left_frozen():
    generator = ToyViewGenerator()
    freeze(generator.module)
    picture_fisher(generator, 2, stream(0, "fisher"))
    assert not any(p.requires_grad or p.grad is not None for p in generator.module.parameters())
    with pytest.raises(RuntimeError), asking_for_gradients(generator.editable_parameters()):
        raise RuntimeError
    assert not any(p.requires_grad for p in generator.module.parameters())


def test_the_penalty_is_zero_at_the_start_and_counts_each_parameter_by_its_weight():
    job, loss = toy_job({}), Fisher(samples=4)
    loss.begin(job)
    before = {name: value.detach().clone() for name, value in job.edited.editable_parameters().items()}
    assert float(loss.penalty(before)["fisher"]) == 0
    moved = dict(before)
    moved["synthesis.bias"] = before["synthesis.bias"] + 0.1
    wanted = 0.01 * picture_fisher(job.frozen, 4, job.stream("fisher"))["synthesis.bias"].sum()
    assert float(loss.penalty(moved)["fisher"]) == pytest.approx(float(wanted), rel=1e-4)


def test_the_penalty_reads_as_the_mean_squared_change_of_pictures():
    job, loss = toy_job({}), Fisher(samples=4000)
    loss.begin(job)
    latents = random_latents(job.frozen, 500, seed=5)
    with torch.no_grad():
        before = job.frozen.render(latents).image
        job.edited.editable_parameters()["synthesis.bias"][7] += 0.01  # one alone, so nothing can cancel
        change = float((job.edited.render(latents).image - before).square().mean())
    found = float(loss.penalty(job.edited.editable_parameters())["fisher"].detach())
    assert found == pytest.approx(change, rel=0.15)


def test_a_resumed_run_finds_the_same():
    fresh, resumed = Fisher(), Fisher()
    job = toy_job({}, seed=1)
    fresh.begin(job)
    with torch.no_grad():
        for value in job.edited.editable_parameters().values():
            value.add_(0.3)  # where a resumed run stands
    torch.manual_seed(99)
    job.rng.manual_seed(5)
    resumed.begin(job)
    parameters = job.edited.editable_parameters()
    one, other = fresh.penalty(parameters)["fisher"].detach(), resumed.penalty(parameters)["fisher"].detach()
    assert torch.equal(one, other) and float(one) > 0


def test_parameters_without_a_before_are_refused():
    job, loss = toy_job({}), Fisher(samples=1)
    loss.begin(job)
    with pytest.raises(ConfigError, match=r"loss 'fisher'.*'adapter\.weight'"):
        loss.penalty({"adapter.weight": torch.zeros(1)})


def test_a_heavier_penalty_keeps_pictures_closer():
    def moved(weight: float) -> float:
        losses = {"guide-local": Local(), "guide-global": Global(), "fisher": Fisher(weight=weight)}
        job = toy_job(losses)
        Ewc(steps=30, learning_rate=0.01).unlearn(job)
        latents = random_latents(job.frozen, 50, seed=5)
        with torch.no_grad():
            return float((job.edited.render(latents).image - job.frozen.render(latents).image).square().mean())

    assert moved(1e4) < 0.2 * moved(0.0)
