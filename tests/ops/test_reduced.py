"""bfloat16 maps: on only where asked and large, near float32 in values and gradients, and float32 outside."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from unlearnkit_stylegan2.network import SynthesisNetwork

from unlearnkit.ops.reduced import bfloat16_maps, cast_weight, plain_map, reduced_map

LARGE = (2, 4, 32, 32)


def test_only_large_float32_maps_are_reduced_and_only_inside() -> None:
    large, small, double = torch.randn(LARGE), torch.randn(2, 4, 16, 16), torch.randn(LARGE, dtype=torch.float64)
    assert reduced_map(large) is large
    with bfloat16_maps():
        made = reduced_map(large)
        assert made.dtype == torch.bfloat16 and made.is_contiguous(memory_format=torch.channels_last)
        assert reduced_map(small) is small and reduced_map(double) is double and reduced_map(made) is made
        with bfloat16_maps(False):
            assert reduced_map(large) is large
    assert reduced_map(large) is large


def test_a_map_comes_back_in_float32_and_so_does_its_gradient() -> None:
    x = torch.randn(LARGE, requires_grad=True)
    with bfloat16_maps():
        back = plain_map(reduced_map(x))
    assert back.dtype == torch.float32 and back.is_contiguous()
    assert torch.equal(back, x.detach().bfloat16().float())
    back.square().sum().backward()
    assert x.grad is not None and x.grad.dtype == torch.float32 and x.grad.is_contiguous()
    assert torch.equal(x.grad, (2 * back.detach()).bfloat16().float())


def test_gradients_of_a_cast_weight_are_float32() -> None:
    weight = nn.Parameter(torch.randn(4, 4, 3, 3))
    with bfloat16_maps():
        x = reduced_map(torch.randn(LARGE))
        F.conv2d(x, cast_weight(weight, x), padding=1).float().sum().backward()
    assert weight.dtype == torch.float32 and weight.grad is not None and weight.grad.dtype == torch.float32
    assert cast_weight(weight, torch.randn(LARGE)) is weight


def _drawn(network: SynthesisNetwork, ws: Tensor, on: bool) -> tuple[Tensor, Tensor, Tensor]:
    network.zero_grad()
    with bfloat16_maps(on):
        image, features = network(ws, feature=32)
        ((image - 1).square().mean() + features.square().mean()).backward()
    return image.detach(), features.detach(), torch.cat([p.grad.flatten() for p in network.parameters()
                                                        if p.grad is not None])


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("architecture", ["skip", "resnet"])
def test_stylegan2_is_near_float32(samples: int, architecture: str) -> None:
    torch.manual_seed(0)
    network = SynthesisNetwork(16, 64, channel_base=1024, channel_max=32, conv_clamp=256.0, architecture=architecture)
    ws = torch.randn(samples, network.num_ws, 16)
    exact, rounded = _drawn(network, ws, False), _drawn(network, ws, True)
    for a, b in zip(exact, rounded, strict=True):
        assert b.dtype == torch.float32
        assert F.cosine_similarity(a.flatten(), b.flatten(), dim=0) > 0.999
    assert not torch.equal(exact[0], rounded[0])
    assert torch.equal(_drawn(network, ws, False)[2], exact[2])  # nothing of it stays
    assert all(torch.equal(a, b) for a, b in zip(_drawn(network, ws, True), rounded, strict=True))


def test_adapters_see_float32() -> None:
    torch.manual_seed(0)
    network = SynthesisNetwork(16, 64, channel_base=1024, channel_max=32)
    seen: list[torch.dtype] = []

    class Adapter(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x.dtype)
            return x

    network.adapt(lambda channels: Adapter())
    with bfloat16_maps(), torch.no_grad():
        network(torch.randn(1, network.num_ws, 16))
    assert set(seen) == {torch.float32} and len(seen) == 4
