"""The lean renderer of tri-planes against the plain one: pictures, depth and gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from unlearnkit.ops import plain_volume
from unlearnkit.ops.volume import (
    composite,
    finished,
    importance,
    interval_weights,
    march,
    merged_planes,
    sample_merged,
)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("size", "points"), [(8, 50), (33, 7), (64, 1000), (8, 0)])
def test_two_planes_give_what_three_give(size: int, points: int) -> None:
    planes = torch.randn(2, 3, 5, size, size, generator=rng()).requires_grad_()
    places = torch.rand(2, points, 3, generator=rng(1)) * 1.4 - 0.7  # some outside the box
    probe = torch.randn(2, points, 5, generator=rng(2))
    lean, plain = sample_merged(merged_planes(planes), places, 1.2), plain_volume.sample_planes(planes, places, 1.2)
    assert_close(lean, plain, rtol=0, atol=1e-6)
    grads = [torch.autograd.grad((found * probe).sum(), planes)[0] for found in (lean, plain)]
    assert_close(grads[0], grads[1], rtol=0, atol=1e-5)


def test_the_order_of_the_planes() -> None:
    """A mark on the second plane answers to (x, z), one on the third to (z, x), none to (y, z)."""
    planes = torch.zeros(1, 3, 1, 8, 8)
    planes[0, 1, 0, 7, 0] = 3.0  # row: z high, column: x low
    low, high = -0.5 + 1 / 16, 0.5 - 1 / 16
    places = torch.tensor([[[low, 0.1, high], [high, 0.1, low], [0.0, low, high]]])
    assert_close(sample_merged(merged_planes(planes), places, 1.0)[0, :, 0], torch.tensor([1.0, 0.0, 0.0]))
    planes = torch.zeros(1, 3, 1, 8, 8)
    planes[0, 2, 0, 7, 0] = 3.0  # row: x high, column: z low
    assert_close(sample_merged(merged_planes(planes), places, 1.0)[0, :, 0], torch.tensor([0.0, 1.0, 0.0]))


@pytest.mark.parametrize("white_back", [False, True])
@pytest.mark.parametrize("fine", [0, 9])
def test_marching_lean_and_plain(white_back: bool, fine: int) -> None:
    planes = torch.randn(2, 3, 6, 16, 16, generator=rng()).requires_grad_()
    weight = torch.randn(6, 5, generator=rng(1)).requires_grad_()
    origins, directions = torch.rand(2, 30, 3, generator=rng(2)) - 0.5, torch.randn(2, 30, 3, generator=rng(3)) * 0.3
    depths = torch.linspace(0.1, 1, 12).expand(2, 30, 12)
    draws = torch.rand(2, 30, fine, generator=rng(4))

    def look_with(sample, table: Tensor):
        def look(at: Tensor) -> tuple[Tensor, Tensor]:
            points = origins[:, :, None] + at[..., None] * directions[:, :, None]
            found = (sample(table, points.flatten(1, 2), 1.0) @ weight).unflatten(1, at.shape[1:])
            return 3 * found[..., 0], found[..., 1:].sigmoid()

        return look

    lean = finished(*march(look_with(sample_merged, merged_planes(planes)), depths, draws), white_back)
    plain = plain_volume.march(look_with(plain_volume.sample_planes, planes), depths, draws, white_back)
    for found, wanted in zip(lean, plain, strict=True):
        assert_close(found, wanted, rtol=0, atol=1e-5)
    probe = torch.randn(2, 30, 4, generator=rng(5))
    for tensor in (planes, weight):
        a, b = (torch.autograd.grad((one.colours * probe).sum() + one.depth.sum(), tensor, retain_graph=True)[0]
                for one in (lean, plain))
        assert float((a - b).norm()) < 1e-5 * float(b.norm())


def test_a_wall_is_seen_where_it_stands() -> None:
    depths = torch.linspace(1, 2, 101).expand(1, 1, -1)
    density = torch.where(depths > 1.5, 1e4, -1e4)
    seen = composite(depths, density, torch.full((1, 1, 101, 1), 0.25))
    assert_close(seen.opacity, torch.ones(1, 1))
    assert_close(seen.depth, torch.full((1, 1), 1.51), rtol=0, atol=0.01)
    assert_close(seen.colours, torch.full((1, 1, 1), 0.25))


def test_importance_looks_where_something_is() -> None:
    depths = torch.linspace(0, 1, 21).expand(1, 1, -1)
    weights = interval_weights(depths, torch.where((depths > 0.58) & (depths < 0.72), 500.0, -500.0))
    more = importance(depths, weights, torch.rand(1, 1, 400, generator=rng()))
    near = (more > 0.5) & (more < 0.8)
    assert float(near.float().mean()) > 0.8
    seen, looked_at = march(lambda at: (at * 0, at[..., None]), depths, torch.zeros(1, 1, 0))
    assert seen.colours.shape == (1, 1, 1) and looked_at is depths
