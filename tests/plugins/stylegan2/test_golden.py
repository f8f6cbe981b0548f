"""Our network against numbers recorded from the authors' programs (random weights, float32, CPU).

Weights are read from the recorded NVIDIA and rosinality files themselves, so reading, layouts, settings and
numerics are all covered. Of large gradients every 31st value was kept, to keep the files small.
"""

import pytest
import torch
from torch.testing import assert_close
from unlearnkit_stylegan2.layouts import layout_of
from unlearnkit_stylegan2.loading import network_from_checkpoint

FULL = ("sg2_ada_32", "sg2_ada_32_cond_fp16_clamp", "sg2_ada_32_resnet")
NVIDIA = (*FULL, "sg2_ada_64")  # of the larger one, only images with noise were kept
IMAGE = {"rtol": 0.0, "atol": 1e-4}
GRADIENT = 1e-3


@pytest.fixture(params=NVIDIA)
def case(request, golden):
    return golden(request.param)


def test_mapping(case):
    mapping = network_from_checkpoint(case.checkpoint).mapping
    z, c = case.tensors["in/z"], case.tensors.get("in/c")
    truncation = {name: case.meta[name] for name in ("truncation_psi", "truncation_cutoff")}
    assert_close(mapping(z, c), case.tensors["out/ws"], rtol=0, atol=1e-5)
    assert_close(mapping(z, c, **truncation), case.tensors["out/ws_trunc"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("training", [False, True])
def test_images(case, training):
    network, ws = network_from_checkpoint(case.checkpoint).train(training), case.tensors["in/ws"]
    assert_close(network.synthesis(ws), case.tensors["out/image_const_unfused"], **IMAGE)


@pytest.mark.parametrize("name", FULL)
def test_images_without_noise(name, golden):
    case = golden(name)
    image = network_from_checkpoint(case.checkpoint).synthesis(case.tensors["in/ws"], noise_mode="none")
    assert_close(image, case.tensors["out/image_none_unfused"], **IMAGE)


@pytest.mark.parametrize("name", FULL)
def test_gradients(name, golden):
    case = golden(name)
    network = network_from_checkpoint(case.checkpoint)
    (network.synthesis(case.tensors["in/ws"]) * case.tensors["in/probe"]).sum().backward()
    parameters = {f"synthesis.{key}": value for key, value in network.synthesis.named_parameters()}
    assert case.gradients().keys() == parameters.keys()
    _check_gradients(case, {key: value.grad for key, value in parameters.items()})


def test_the_clamp_is_active_in_the_clamped_case(golden):
    case = golden("sg2_ada_32_cond_fp16_clamp")
    network = network_from_checkpoint(case.checkpoint)
    assert network.synthesis.b32.conv1.conv_clamp == 1.5
    _, features = network.synthesis(case.tensors["in/ws"], feature=32)
    assert features.abs().max() == 1.5


def test_rosinality_images(golden):
    case = golden("rosinality_32")
    network, t = network_from_checkpoint(case.checkpoint), case.tensors
    assert_close(network.mapping(t["in/z"])[:, 0], t["out/w"], rtol=0, atol=1e-5)
    ws = network.mapping(t["in/z"], truncation_psi=case.meta["truncation"])
    assert_close(ws, t["out/latent"], rtol=0, atol=1e-5)
    assert_close(network.synthesis(ws), t["out/image"], **IMAGE)
    assert_close(network.synthesis(t["in/wplus"]), t["out/image_wplus"], **IMAGE)


def test_rosinality_gradients(golden):
    case = golden("rosinality_32")
    network, layout = network_from_checkpoint(case.checkpoint), layout_of(case.checkpoint.state)
    (network.synthesis(case.tensors["in/wplus"]) * case.tensors["in/probe"]).sum().backward()
    gradients = {f"synthesis.{key}": value.grad for key, value in network.synthesis.named_parameters()}
    in_file = layout.to_file(gradients)
    assert case.gradients().keys() == in_file.keys()
    _check_gradients(case, in_file)


def _check_gradients(case, gradients):
    for key, recorded in case.gradients().items():
        ours = case.picked(gradients[key])
        error = torch.linalg.vector_norm(ours - recorded) / torch.linalg.vector_norm(recorded)
        assert error < GRADIENT, f"{key}: relative error {error:.1e}"
