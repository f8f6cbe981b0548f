"""Every component that ships, and every one of the plugin from outside, keeps the promises of its interface."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from mobilestylegan_ir import write_ir
from torch import nn

from unlearnkit.plugins import Registry, registry
from unlearnkit.plugins.registration import KINDS
from unlearnkit.testing import (
    Check,
    Subject,
    ToyGenerator,
    ToyIdentity,
    ToyPerceptual,
    ToyViewGenerator,
    checks_of,
    components_of,
    parametrize_with_checks,
)
from unlearnkit.testing.checks import CHECKS

FOLDER = tempfile.TemporaryDirectory(prefix="unlearnkit-conformance-")
SHIPPED = [plugin.name for plugin in registry().plugins if plugin.distribution == "unlearnkit"]


def random_weights(option: str, make: Callable[[], nn.Module], part: str = "") -> Callable[[], Mapping[str, Any]]:
    """Settings with a file of random weights, written when they are first asked for.

    A check needs no good network, only one that has the right architecture.
    """
    def settings() -> Mapping[str, Any]:
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(0)
            state = {name: value for name, value in make().state_dict().items() if name.startswith(part)}
        path = Path(FOLDER.name) / f"{make.__name__}.pt"
        torch.save(state, path)
        return {option: str(path)}

    return settings


def alexnet() -> nn.Module:
    from torchvision.models import alexnet

    return alexnet(weights=None)


def vgg16() -> nn.Module:
    from torchvision.models import vgg16

    return vgg16(weights=None)


def facenet() -> nn.Module:
    from facenet_pytorch import InceptionResnetV1

    return InceptionResnetV1()


def mobilefacenet() -> nn.Module:
    from unlearnkit_faces.mobilefacenet import MobileFaceNetwork

    return MobileFaceNetwork()


def shift_tolerant() -> nn.Module:
    from unlearnkit_faces.st_lpips import ShiftTolerantNetwork

    network = ShiftTolerantNetwork("alex")
    for name, tensor in network.state_dict().items():
        if "filt" in name or "heads" in name:
            tensor.fill_(1 / 9)
    return network


GOLDEN = Path(__file__).parent / "golden"
UNTRAINED = {"check_rendering_has_its_shapes": "random weights: colours go far beyond [-1, 1]"}
SETTINGS = {
    ("inverter", "demo-inverter"): {"refine_steps": 1},
    ("inverter", "demo-inverter-3d"): {"refine_steps": 1},
    ("perceptual", "lpips-alex"): random_weights("trunk", alexnet, "features."),
    ("perceptual", "lpips-vgg"): random_weights("trunk", vgg16, "features."),
    ("perceptual", "st-lpips"): random_weights("weights", shift_tolerant),
    ("identity", "facenet-vggface2"): random_weights("weights", facenet),
    ("identity", "mobilefacenet"): random_weights("weights", mobilefacenet),
    ("generator", "mobilestylegan"): lambda: {
        "checkpoint": str(write_ir(Path(FOLDER.name) / "mobilestylegan")), "output_size": 64, "feature_resolution": 16},
    ("target", "sugar"): {"epochs": 3},
    ("method", "closed-form"): {"samples": 50},
    ("metric", "second-judge"): {"encoder": "demo-judge"},
}
GENERATORS = {
    ("inverter", "demo-inverter"): ("generator", "stylegan2"), ("inverter", "demo-inverter-3d"): ("generator", "eg3d"),
    ("method", "closed-form"): ("generator", "stylegan2", {"checkpoint": str(GOLDEN / "sg2_ada_32.pkl")}),
}
NEEDS = {
    ("identity", "arcface-ir-se50"): "model_ir_se50.pth, 170 MB: with random weights its checks pass, in 5 s",
    ("identity", "curricularface-ir101"): "CurricularFace_Backbone.pth, 250 MB: so do its checks, in 10 s",
    ("identity", "sface"): "an ONNX file of 11 MB; its own tests write one of random weights",
    ("identity", "dlib"): "the one file that dlib is given, 22 MB, told by its hash; its own tests use it where it is",
    ("metric", "fid"): "pytorch-fid's Inception, 91 MB, told by its hash; tests/metrics/test_fid.py checks it",
    ("inverter", "mobilestylegan-encoder"): "sface and st-lpips; its own tests put toys in their place",
    ("inverter", "e4e"): "e4e_ffhq_encode.pt and a generator of 18 x 512; its own tests use random weights",
    ("launcher", "ray"): "a Ray cluster; tests/launchers/test_launchers.py starts one where Ray is installed",
    ("launcher", "slurm"): "Slurm; tests/launchers/test_launchers.py checks submitit's local executor",
}
"""Of these only registration and options are checked here."""
NO_CHECKS_YET: dict[str, str] = {}
"""Kind of component -> why unlearnkit.testing has no checks for it but the common ones."""


@parametrize_with_checks(components_of(*SHIPPED, settings=SETTINGS, generator=GENERATORS, needs=NEEDS))
def test_what_ships(component: Subject, check: Check) -> None:
    check(component)


OUTSIDE = [
    ("generator", "outside-toy"), ("target", "outside-shift"), ("loss", "outside-pixels"), ("method", "outside-nudge"),
]


@parametrize_with_checks([
    Subject("generator", generator, {"checkpoint": str(GOLDEN / name)}, skip=UNTRAINED)
    for generator, name in (("stylegan2", "sg2_ada_32.pkl"), ("stylegan2", "rosinality_32.pt"),
                            ("eg3d", "eg3d_tiny_p32_n16_sr64.pkl"))
])
def test_other_files_of_a_generator(component: Subject, check: Check) -> None:
    check(component)


@parametrize_with_checks(OUTSIDE)
def test_what_comes_from_outside(component: Subject, check: Check, outside: Registry) -> None:
    check(component)


@parametrize_with_checks([ToyGenerator, ToyViewGenerator, ToyIdentity, ToyPerceptual])
def test_the_toys_themselves(component: Subject, check: Check) -> None:
    check(component)


@pytest.mark.parametrize("noise", ["random", "none"])
def test_noise_keeps_the_promises(noise: str) -> None:
    subject = Subject("generator", "stylegan2", {"noise": noise})
    for check in checks_of("generator"):
        if check.name in ("check_rendering_is_repeatable", "check_image_and_features_come_from_one_pass"):
            check(subject)


def test_nothing_that_ships_is_left_out() -> None:
    tests = components_of(*SHIPPED, settings=SETTINGS, generator=GENERATORS, needs=NEEDS)
    checked = {(subject.kind, subject.name) for subject in tests}
    there = {(kind, name) for kind in KINDS for name in registry().names(kind)
             if registry().get(kind, name).distribution == "unlearnkit"}
    assert checked == there
    for subject in tests:
        assert subject.kind in {*CHECKS, *NO_CHECKS_YET}, f"write checks for the kind {subject.kind} (or say why not)"
        assert subject.needs is None or len(subject.needs) > 20, f"{subject}: a reason, please"


def test_nothing_from_outside_is_left_out(outside: Registry) -> None:
    plugin = next(plugin for plugin in outside.plugins if plugin.name == "outside")
    assert {(entry.kind, entry.name) for entry in plugin.registrations} == set(OUTSIDE)
