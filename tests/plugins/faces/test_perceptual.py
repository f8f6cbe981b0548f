"""LPIPS equals the lpips package on the same weights, and is split without changing a number."""

from __future__ import annotations

import lpips
import pytest
import torch
from unlearnkit_faces.perceptual import LpipsAlex, LpipsVgg

from unlearnkit.errors import CheckpointError, ConfigError, ShapeError

CPU = torch.device("cpu")
KINDS = {"vgg": LpipsVgg, "alex": LpipsAlex}


@pytest.fixture(scope="module", params=["vgg", "alex"])
def pair(request, tmp_path_factory):
    """The package's distance on a random trunk, and ours on a file of the same weights."""
    torch.manual_seed(0)
    theirs = lpips.LPIPS(net=request.param, pnet_rand=True, verbose=False)
    state = {
        f"features.{name.split('.', 1)[1]}": value for name, value in theirs.net.state_dict().items()
    }
    path = tmp_path_factory.mktemp("trunk") / "trunk.pth"
    torch.save(state | {"classifier.6.bias": torch.zeros(1000)}, path)
    ours = KINDS[request.param](trunk=path)
    ours.prepare(CPU)
    return theirs, ours


def pictures(seed, size=64):
    return torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_it_equals_the_package(pair):
    theirs, ours = pair
    a, b = pictures(1), pictures(2)
    with torch.no_grad():
        expected = theirs(a, b).flatten()
        found = ours.distance(ours.features(a), ours.features(b))
    assert expected.min() > 0
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-7)


def test_its_gradient_equals_the_packages(pair):
    theirs, ours = pair
    a, b = pictures(1).requires_grad_(), pictures(2)
    (expected,) = torch.autograd.grad(theirs(a, b).sum(), a)
    (found,) = torch.autograd.grad(ours.distance(ours.features(a), ours.features(b)).sum(), a)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


def test_pooled_features_are_those_of_places_of_unit_length(pair):
    ours, a = pair[1], pictures(1)
    with torch.no_grad():
        last, pooled = ours.features(a)[-1], ours.pooled(a)
    lengths = last.square().sum(1, keepdim=True).sqrt()
    torch.testing.assert_close(pooled, (last / (lengths + 1e-10)).mean((2, 3)))
    assert 0 < float(pooled.square().sum(1).max()) <= 1 + 1e-5


def test_equal_pictures_have_no_distance_and_a_finite_gradient(pair):
    ours = pair[1]
    a = torch.zeros(1, 3, 64, 64, requires_grad=True)
    distance = ours.distance(ours.features(a), ours.features(a.detach()))
    (gradient,) = torch.autograd.grad(distance.sum(), a)
    assert distance.tolist() == [0.0] and torch.isfinite(gradient).all()


def test_pooled_features_are_one_vector_a_picture(pair):
    assert pair[1].pooled(pictures(1)).shape[0] == 2


@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 1, 64, 64), (1, 3, 8, 8)])
def test_other_shapes_are_refused(pair, shape):
    with pytest.raises(ShapeError, match="expected"):
        pair[1].features(torch.zeros(shape))


def test_features_of_different_sizes_are_refused(pair):
    ours = pair[1]
    with pytest.raises(ShapeError, match="equal shapes"):
        ours.distance(ours.features(pictures(1)), ours.features(pictures(1, 80)))


def test_without_a_trunk_it_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(ConfigError) as info:
        LpipsVgg().prepare(CPU)
    settings = "--set perceptual.trunk=FILE", "--perceptual demo-trunk"
    for part in ("vgg16-397923af.pth", str(tmp_path), *settings):
        assert part in str(info.value)


def test_another_trunk_is_refused(tmp_path):
    path = tmp_path / "trunk.pth"
    torch.save({"features.0.weight": torch.zeros(64, 3, 11, 11)}, path)
    with pytest.raises(CheckpointError, match="another network"):
        LpipsVgg(trunk=path).prepare(CPU)


def test_it_must_be_prepared():
    with pytest.raises(RuntimeError, match="prepare"):
        LpipsVgg().features(pictures(1))
