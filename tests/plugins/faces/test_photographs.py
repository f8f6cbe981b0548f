"""The networks for photorealistic faces: shapes, gradients, hostile files, and the numbers of their packages."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F
from unlearnkit_faces import defaults, dlib_judge, onnx_tensors, sface, st_lpips
from unlearnkit_faces.checks import prepared
from unlearnkit_faces.dlib_judge import STRANGERS_MEAN, Dlib
from unlearnkit_faces.files import DLIB, SFACE
from unlearnkit_faces.mobilefacenet import MobileFaceNet, MobileFaceNetwork
from unlearnkit_faces.sface import SFace, SFaceNetwork
from unlearnkit_faces.st_lpips import ShiftTolerantLpips, ShiftTolerantNetwork
from unlearnkit_faces.template import TEMPLATE_WINDOW, window_crop

from unlearnkit.errors import CheckpointError, ConfigError, ShapeError
from unlearnkit.weights import present

CPU = torch.device("cpu")
RECORDED = Path(__file__).parents[2] / "golden" / "photoreal_faces.safetensors"
"""Outputs of onnxruntime, stlpips-pytorch and dlib; its metadata says on what."""


def noise(seed: int, count: int, size: int) -> Tensor:
    """Uniform in [0, 1]."""
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def random_state(make: Callable[[], nn.Module]) -> dict[str, Tensor]:
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        return make().state_dict()


# ---------------------------------------------------------------- SFace and its file

Stored = dict[str, Tensor]


def quantise(weight: Tensor, block: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """8-bit numbers, scales and zero points of blocks along the second of two dimensions; and what they stand for."""
    rows = weight.flatten(1)
    which = torch.arange(rows.shape[1]) // block
    scales = torch.stack([part.abs().amax(1).clamp(min=1e-9) / 100 for part in rows.split(block, 1)], 1)
    zeros = torch.arange(scales.numel()).reshape(scales.shape).remainder(20) - 10
    whole = ((rows / scales[:, which]).round() + zeros[:, which]).to(torch.int8)
    back = (whole.float() - zeros[:, which]) * scales[:, which]
    return whole, scales, zeros.to(torch.int8), back.reshape(weight.shape)


def published_name(name: str) -> str:
    """``layers.conv_2_dw.relu.weight`` -> ``conv_2_dw_relu_gamma``, as the file calls it."""
    layer, _, part = name.removeprefix("layers.").replace(".", "_").rpartition("_")
    if part in ("mean", "var"):
        return f"{layer.removesuffix('_running')}_moving_{part}"
    norm = layer.endswith(("batchnorm", "relu", "bn1")) or layer == "fc1"
    return f"{layer}_{ {'weight': 'gamma', 'bias': 'beta'}[part] if norm else part}"


@pytest.fixture(scope="module")
def parts() -> tuple[Stored, list[Any], Stored]:
    """Tensors and nodes of a file as OpenCV's model zoo writes it, with random weights, and the state that it means."""
    onnx = pytest.importorskip("onnx")
    state = {name: tensor for name, tensor in random_state(SFaceNetwork).items() if "num_batches" not in name}
    stored: Stored = {"scalar_op1": torch.tensor([127.5]), "scalar_op2": torch.tensor([1 / 128])}
    nodes = []
    for name, tensor in state.items():
        published = published_name(name)
        if tensor.ndim < 2:
            stored[published] = tensor.reshape(-1, 1, 1) if "relu" in name else tensor
            continue
        block = 9 if tensor.shape[1:] == (1, 3, 3) else 25  # 25 leaves a last block that is not full
        names = [f"{published}_{kind}" for kind in ("quantized", "scales", "zero_point")]
        *numbers, state[name] = quantise(tensor, block)
        stored |= dict(zip(names, numbers, strict=True))
        stored[f"{published}_shape"] = torch.tensor(tensor.shape)
        nodes.append(onnx.helper.make_node("DequantizeLinear", names, ["weight"], axis=1, block_size=block))
    return stored, nodes, state


def write_onnx(path: Path, stored: Stored, nodes: list[Any]) -> Path:
    import onnx

    initializers = [onnx.numpy_helper.from_array(tensor.numpy(), name) for name, tensor in stored.items()]
    path.write_bytes(onnx.helper.make_model(
        onnx.helper.make_graph(nodes, "sface", [], [], initializers)).SerializeToString())
    return path


@pytest.fixture(scope="module")
def sface_file(
    parts: tuple[Stored, list[Any], Stored], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Stored]:
    return write_onnx(tmp_path_factory.mktemp("sface") / "sface.onnx", *parts[:2]), parts[2]


def test_blocks_of_whole_numbers_become_the_weights(sface_file: tuple[Path, Stored]) -> None:
    path, expected = sface_file
    found = sface.to_state(onnx_tensors.read_onnx(path))
    assert found.keys() == expected.keys()
    for name, tensor in found.items():
        torch.testing.assert_close(tensor, expected[name], rtol=0, atol=0)


def test_sface_embeds_the_window(sface_file: tuple[Path, Stored]) -> None:
    path, state = sface_file
    encoder = SFace(weights=path)
    encoder.prepare(CPU)
    images = (noise(5, 2, 160) * 2 - 1).requires_grad_()
    embeddings = encoder.embed(images)
    network = SFaceNetwork().eval()
    network.load_state_dict(state, strict=False)  # it has no counters of batches
    with torch.no_grad():
        expected = F.normalize(network((window_crop(images, 112) + 1) * 127.5), dim=1)
    torch.testing.assert_close(embeddings, expected)
    (gradient,) = torch.autograd.grad((embeddings[0] * embeddings[1]).sum(), images)
    top, bottom, left, right = (round(edge * 160) for edge in TEMPLATE_WINDOW)
    inside = gradient[:, :, top:bottom, left:right]
    assert inside.abs().sum() > 0 and torch.equal(inside.abs().sum(), gradient.abs().sum())


@pytest.mark.parametrize(("change", "words"), [
    (lambda tensors: tensors.pop("bn1_gamma"), "lacks bn1.weight"),
    (lambda tensors: tensors.update(extra=torch.zeros(2)), "nothing is known about"),
    (lambda tensors: tensors.update(scalar_op1=torch.tensor([0.0])), "nothing is known about scalar"),
    (lambda tensors: tensors.update(bn1_beta=torch.full((1024,), torch.nan)), "not finite"),
    (lambda tensors: tensors.update(bn1_beta=torch.zeros(7)), "expected"),
    (lambda tensors: tensors.update(conv_1_conv2d_weight_scales=torch.zeros(1, 1)), "do not fit"),
    (lambda tensors: tensors.update(conv_1_conv2d_weight_shape=torch.tensor([1 << 40, 27])), "damaged"),
    (lambda tensors: tensors.pop("conv_1_conv2d_weight_shape"), "damaged"),
])
def test_a_changed_file_is_refused(
    parts: tuple[Stored, list[Any], Stored], tmp_path: Path, change: Callable[[Stored], object], words: str
) -> None:
    stored = dict(parts[0])
    change(stored)
    write_onnx(tmp_path / "sface.onnx", stored, parts[1])
    with pytest.raises(CheckpointError, match=words):
        SFace(weights=tmp_path / "sface.onnx").prepare(CPU)


def test_numbers_in_another_file_are_not_read(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    (tmp_path / "secret").write_bytes(bytes(8))
    tensor = onnx.numpy_helper.from_array(torch.zeros(2).numpy(), "bn1_gamma")
    onnx.external_data_helper.set_external_data(tensor, location="secret")
    tensor.ClearField("raw_data")
    graph = onnx.helper.make_graph([], "sface", [], [], [tensor])
    (tmp_path / "sface.onnx").write_bytes(onnx.helper.make_model(graph).SerializeToString())
    with pytest.raises(CheckpointError, match="lies in another file"):
        onnx_tensors.read_onnx(tmp_path / "sface.onnx")


@pytest.mark.parametrize("content", [b"", b"\x80\x04", b"not onnx" * 99, bytes(1000)])
def test_what_is_no_onnx_is_refused(tmp_path: Path, content: bytes) -> None:
    pytest.importorskip("onnx")
    (tmp_path / "sface.onnx").write_bytes(content)
    with pytest.raises(CheckpointError):
        SFace(weights=tmp_path / "sface.onnx").prepare(CPU)


def test_without_the_packages_it_says_what_to_install(
    sface_file: tuple[Path, Stored], monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("onnx", "dlib"):
        monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setattr(onnx_tensors.importlib.util, "find_spec", lambda name: None)
    for ask in (SFace(weights=sface_file[0]).check, lambda: SFace(weights=sface_file[0]).prepare(CPU)):
        with pytest.raises(ConfigError, match="pip install onnx"):
            ask()
    monkeypatch.setattr(dlib_judge, "check_file", lambda path, file: None)
    for ask in (Dlib(weights=sface_file[0]).check, lambda: Dlib(weights=sface_file[0]).prepare(CPU)):
        with pytest.raises(ConfigError, match="pip install dlib-bin"):
            ask()


def test_a_cut_or_huge_file_is_refused(
    sface_file: tuple[Path, Stored], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = sface_file[0].read_bytes()
    (tmp_path / "cut.onnx").write_bytes(content[:len(content) // 2])
    with pytest.raises(CheckpointError, match="damaged"):
        onnx_tensors.read_onnx(tmp_path / "cut.onnx")
    monkeypatch.setattr(onnx_tensors, "LARGEST", 1000)
    with pytest.raises(CheckpointError, match="expected at most"):
        onnx_tensors.read_onnx(sface_file[0])


# ---------------------------------------------------------------- the others, on random weights

def test_mobilefacenet_embeds(tmp_path: Path) -> None:
    torch.save(random_state(MobileFaceNetwork), tmp_path / "net.pt")
    encoder = MobileFaceNet(weights=tmp_path / "net.pt")
    encoder.prepare(CPU)
    images = (noise(6, 2, 96) * 2 - 1).requires_grad_()
    embeddings = encoder.embed(images)
    assert embeddings.shape == (2, 128)
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(2))
    assert torch.autograd.grad((embeddings[0] * embeddings[1]).sum(), images)[0].abs().sum() > 0


@pytest.mark.parametrize("trunk", ["alex", "vgg"])
def test_st_lpips_is_a_distance(trunk: st_lpips.Trunk, tmp_path: Path) -> None:
    state = random_state(lambda: ShiftTolerantNetwork(trunk))
    state = {name: tensor.new_full(tensor.shape, 1 / 9) if "filt" in name or "heads" in name else tensor
             for name, tensor in state.items()}
    torch.save(state, tmp_path / "net.pth")
    perceptual = ShiftTolerantLpips(trunk=trunk, weights=tmp_path / "net.pth")
    perceptual.prepare(CPU)
    a, b = (noise(7, 2, 32) * 2 - 1).requires_grad_(), noise(8, 2, 32) * 2 - 1
    distance = perceptual.distance(perceptual.features(a), perceptual.features(b))
    assert distance.shape == (2,) and bool((distance > 0).all())
    assert torch.autograd.grad(distance.sum(), a)[0].abs().sum() > 0
    assert float(perceptual.distance(perceptual.features(b), perceptual.features(b)).abs().max()) == 0
    assert perceptual.pooled(b).shape == (2, st_lpips.WIDTHS[trunk][-1])
    with pytest.raises(ShapeError, match="equal shapes"):
        perceptual.distance(perceptual.features(a), perceptual.features(noise(7, 2, 64)))
    with pytest.raises(ShapeError, match=">= 32"):
        perceptual.features(noise(7, 1, 31))


def test_the_trunks_are_told_apart(tmp_path: Path) -> None:
    torch.save(random_state(lambda: ShiftTolerantNetwork("vgg")), tmp_path / "net.pth")
    with pytest.raises(CheckpointError, match=r"net\.pth"):
        ShiftTolerantLpips(weights=tmp_path / "net.pth").prepare(CPU)


def test_dlib_reads_no_file_but_the_published_one(tmp_path: Path) -> None:
    assert not Dlib.differentiable and len(STRANGERS_MEAN) == 128
    (tmp_path / "net.dat").write_bytes(b"hostile")
    for ask in (Dlib(weights=tmp_path / "net.dat").check, lambda: Dlib(weights=tmp_path / "net.dat").prepare(CPU)):
        with pytest.raises(CheckpointError, match="another file"):
            ask()


@pytest.mark.parametrize("kind", [SFace, MobileFaceNet, Dlib, ShiftTolerantLpips])
def test_without_weights_it_says_how_to_get_them(
    kind: type[SFace], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for ask in (kind().check, lambda: kind().prepare(CPU)):
        with pytest.raises(ConfigError, match=r"licence: .*weights=FILE"):
            ask()


# ---------------------------------------------------------------- the numbers of the packages

def recorded(name: str) -> Tensor:
    return load_file(RECORDED)[name]


def test_sface_equals_onnxruntime() -> None:
    pytest.importorskip("onnx")
    if present(SFACE) is None:
        pytest.skip("needs 'unlearnkit fetch sface'")
    encoder = SFace()
    encoder.prepare(CPU)
    with torch.no_grad():
        found = F.normalize(prepared(encoder._network, "SFace")(noise(1, 2, 112) * 255), dim=1)
    torch.testing.assert_close(found, F.normalize(recorded("sface"), dim=1), rtol=0, atol=1e-6)


@pytest.mark.parametrize("trunk", ["alex", "vgg"])
def test_st_lpips_equals_its_package(trunk: st_lpips.Trunk) -> None:
    if present(st_lpips.SOURCES[trunk]) is None:
        pytest.skip(f"needs 'unlearnkit fetch st-lpips-{trunk}'")
    perceptual = ShiftTolerantLpips(trunk=trunk)
    perceptual.prepare(CPU)
    a, b = noise(2, 2, 96) * 2 - 1, noise(3, 2, 96) * 2 - 1
    with torch.no_grad():
        maps = [perceptual.features(images) for images in (a, b, 0.9 * a + 0.1 * b)]
        found = torch.cat([perceptual.distance(maps[0], other) for other in maps[1:]])
    torch.testing.assert_close(found, recorded(f"st-lpips-{trunk}"), rtol=1e-4, atol=1e-6)


def test_dlib_equals_itself_on_the_chip(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("dlib")
    if present(DLIB) is None:
        pytest.skip("needs 'unlearnkit fetch dlib'")
    monkeypatch.setattr(dlib_judge, "WINDOW", (0.0, 1.0, 0.0, 1.0))
    judge = Dlib()
    judge.prepare(CPU)
    images = ((noise(4, 2, 150) * 255).byte().float() / 127.5 - 1).requires_grad_()
    found = judge.embed(images)
    expected = F.normalize(F.normalize(recorded("dlib"), dim=1) - torch.tensor(STRANGERS_MEAN) / 1000, dim=1)
    assert not found.requires_grad
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


# ---------------------------------------------------------------- defaults

@pytest.mark.parametrize(("generator", "offered"), [
    ({"name": "mobilestylegan"}, True),
    ({"name": "stylegan2", "checkpoint": "/data/stylegan2-FFHQ-256.pkl"}, True),
    ({"name": "stylegan2", "checkpoint": "/ffhq/cats.pkl"}, False),
    ({"name": "stylegan2"}, False),
    ({}, False),
])
def test_photographs_get_encoders(generator: dict[str, str], offered: bool) -> None:
    found = defaults.offers({"generator": generator})
    assert (found is not None) == offered
    if found is not None:
        assert found["identity.name"] == "sface" and found["perceptual.name"] == "st-lpips"


@pytest.mark.parametrize(("ready", "identity", "judge"), [
    ((), None, "dlib"), (("mobilefacenet",), None, "mobilefacenet"), (("dlib", "mobilefacenet"), None, "dlib"),
    (("mobilefacenet",), "mobilefacenet", "dlib"),
])
def test_the_judge_is_one_that_can_run_and_never_the_losses_own(
    monkeypatch: pytest.MonkeyPatch, ready: tuple[str, ...], identity: str | None, judge: str
) -> None:
    monkeypatch.setattr(defaults, "_is_ready", lambda name: name in ready)
    settings = {"generator": {"name": "mobilestylegan"}, "identity": {"name": identity}}
    found = defaults.offers(settings)
    assert found is not None and found["judge.name"] == judge
