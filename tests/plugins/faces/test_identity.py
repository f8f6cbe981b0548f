"""Identity encoders on random weights: names, shapes, input conventions, unit length, gradients."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from facenet_pytorch import InceptionResnetV1
from torch.nn import functional as F
from unlearnkit_faces.e4e import StyleEncoder
from unlearnkit_faces.identity import ArcFace, CurricularFace, Facenet, face_window
from unlearnkit_faces.irse import ir_101, ir_se50

from unlearnkit.errors import CheckpointError, ConfigError, ShapeError

CPU = torch.device("cpu")
KEYS = Path(__file__).with_name("keys_ir_se50.txt")


def keys_file():
    """Name -> shape, as recorded from the published class."""
    rows = (line.split("\t") for line in KEYS.read_text().splitlines())
    return {name: [int(n) for n in shape.strip("[]").split(",") if n.strip()] for name, shape, _ in rows}


@pytest.fixture(scope="module")
def arcface(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("arcface") / "model_ir_se50.pth"
    torch.save(ir_se50().state_dict(), path)
    encoder = ArcFace(weights=path)
    encoder.prepare(CPU)
    path.unlink()
    return encoder


@pytest.fixture(scope="module")
def facenet(tmp_path_factory):
    """Ours, and the package's network with the same weights."""
    torch.manual_seed(0)
    network = InceptionResnetV1().eval()
    path = tmp_path_factory.mktemp("facenet") / "vggface2.pt"
    classifier = {"logits.weight": torch.zeros(8, 512), "logits.bias": torch.zeros(8)}
    torch.save(network.state_dict() | classifier, path)
    encoder = Facenet(weights=path)
    encoder.prepare(CPU)
    path.unlink()
    return encoder, network


def picture(size=64, count=1):
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(3)) * 2 - 1


def test_ir_se50_has_the_published_names_and_shapes():
    with torch.device("meta"):
        found = {name: list(value.shape) for name, value in ir_se50().state_dict().items()}
    assert found == keys_file()


def test_ir_101_has_no_gates_and_a_plain_last_normalisation():
    with torch.device("meta"):
        names = ir_101().state_dict().keys()
    assert not any("fc1" in name for name in names)
    assert len({name.split(".")[1] for name in names if name.startswith("body.")}) == 3 + 13 + 30 + 3
    assert "output_layer.4.running_mean" in names and "output_layer.4.weight" not in names


def test_e4e_shares_the_trunk_and_has_a_style_for_each_layer():
    with torch.device("meta"):
        state = StyleEncoder(18).state_dict()
    trunk = {name: list(value.shape) for name, value in state.items() if name.startswith(("input", "body"))}
    assert trunk == {name: shape for name, shape in keys_file().items() if not name.startswith("output")}
    convolutions = [sum(name.startswith(f"styles.{i}.convs") and name.endswith("weight") for name in state)
                    for i in range(18)]
    assert convolutions == [4] * 3 + [5] * 4 + [6] * 11


def test_arcface_takes_guides_window():
    x = picture(512)
    half = F.interpolate(x, (256, 256), mode="bilinear", align_corners=False)
    expected = F.adaptive_avg_pool2d(half[..., 35:223, 32:220], 112)
    torch.testing.assert_close(ArcFace.faces(x), expected)
    assert face_window(x).shape == (1, 3, 376, 376)


def test_arcface_embeds(arcface):
    x = picture(count=2).requires_grad_()
    embeddings = arcface.embed(x)
    assert embeddings.shape == (2, 512)
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(2))
    (gradient,) = torch.autograd.grad((embeddings[0] * embeddings[1]).sum(), x)
    assert gradient.abs().sum() > 0


def test_facenet_equals_the_package_on_its_own_input(facenet):
    encoder, network = facenet
    bytes_ = torch.randint(0, 256, (1, 3, 160, 160), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = network((bytes_.float() - 127.5) / 128)
        found = Facenet.embed(_uncropped(encoder), bytes_ / 127.5 - 1)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def _uncropped(encoder):
    other = Facenet(crop=False)
    other._network = encoder._network
    return other


def test_facenet_takes_any_size(facenet):
    x = picture(128).requires_grad_()
    embedding = facenet[0].embed(x)
    assert embedding.shape == (1, 512)
    assert torch.autograd.grad(embedding[0, 0], x)[0].abs().sum() > 0


def test_curricularface_falls_back_to_the_window_where_no_face_is():
    x = picture(256)
    blank, counts = CurricularFace().faces(x * 0)
    torch.testing.assert_close(blank, CurricularFace(align=False).faces(x * 0)[0])
    assert counts.tolist() == [0]
    faces, unsought = CurricularFace(align=False).faces(x)
    assert unsought is None
    expected = F.interpolate(face_window(x), (112, 112), mode="bilinear", align_corners=False)
    torch.testing.assert_close(faces, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", [Facenet, ArcFace, CurricularFace])
def test_without_weights_it_says_what_to_do(kind, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(ConfigError, match=r"identity\.weights=FILE"):
        kind().prepare(CPU)


@pytest.mark.parametrize("kind", [Facenet, ArcFace, CurricularFace])
def test_another_networks_file_is_refused(kind, tmp_path):
    path = tmp_path / "net.pth"
    torch.save({"input_layer.0.weight": torch.zeros(64, 3, 3, 3)}, path)
    with pytest.raises(CheckpointError, match="another network"):
        kind(weights=path).prepare(CPU)


@pytest.mark.parametrize("kind", [Facenet, ArcFace, CurricularFace])
def test_pictures_must_be_square(kind):
    with pytest.raises(ShapeError, match="H = W"):
        kind().embed(torch.zeros(1, 3, 64, 32))
