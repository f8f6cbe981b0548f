from __future__ import annotations

import attrs
import pytest
import torch
from torch import Tensor

from unlearnkit.interfaces import Request
from unlearnkit.metrics.geometry import Geometry

from .toys import ToyGenerator, evidence, person


@attrs.define(eq=False)
class Deep(ToyGenerator):
    """Its depth is the red of what it paints."""

    def depth(self, latents: Tensor, views: Tensor) -> Tensor:
        assert views.shape == (len(latents), 1)
        return (latents[:, 0, :1] + self.shift[0])[:, :, None, None].expand(-1, -1, 2, 2)


def deep(request: Request, shift: float):
    return evidence(request, frozen=Deep(views=True), edited=Deep(torch.tensor([shift, 0.0, 0.0]), views=True))


def test_change_of_depth_beside_the_difference_of_two_heads() -> None:
    request = Request((person("Ada", (5.0, 0, 0)),), (person("Bo", (1.0, 0, 0)), person("Cy", (3.0, 0, 0))))
    numbers = Geometry().measure(deep(request, 0.5))
    assert numbers == {
        "depth_change_erased": 0.5, "depth_change_bystanders": 0.5, "depth_between_bystanders": 2.0, "n_geometry": 2.0,
    }
    assert Geometry().measure(deep(request, 0.0))["depth_change_bystanders"] == 0


def test_without_bystanders_random_people_stand_by() -> None:
    numbers = Geometry().measure(deep(Request((person("Ada", (5.0, 0, 0)),)), 0.25))
    assert numbers["n_geometry"] == 8 and numbers["depth_between_bystanders"] > 0.1
    assert numbers["depth_change_bystanders"] == pytest.approx(0.25)


@pytest.mark.parametrize("views", [False, True])
def test_a_generator_without_depth(views: bool) -> None:
    assert Geometry().measure(evidence(Request((person("Ada", (1.0, 0, 0)),)), views=views)) == {"n_geometry": 0.0}
