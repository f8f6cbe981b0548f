import copy
import subprocess
import sys

import pytest
import torch
from torch.testing import assert_close
from unlearnkit_stylegan2 import generator as module
from unlearnkit_stylegan2.generator import StyleGAN2, bundled_checkpoint, default_feature_resolution

from unlearnkit.checkpoints import write_tensors
from unlearnkit.config import build
from unlearnkit.errors import CheckpointError, ConfigError, ShapeError
from unlearnkit.interfaces import Base

CPU = torch.device("cpu")


@pytest.fixture
def saved(small, tmp_path):
    """Make a network of the given settings and save it as safetensors."""

    def save(**settings):
        path = tmp_path / "face.safetensors"
        network = small(**settings).eval()
        write_tensors(path, network.state_dict(), {"class_name": "Generator", "init_kwargs": "{}"})
        return path, network

    return save


@pytest.fixture
def prepared(saved):
    def prepare(options=None, **settings):
        path, _ = saved(**settings)
        generator = build(StyleGAN2, {"checkpoint": str(path)} | (options or {}))
        generator.prepare(CPU)
        return generator

    return prepare


def test_it_says_what_it_is(saved):
    path, network = saved()
    generator = StyleGAN2(checkpoint=path)
    generator.prepare(CPU)
    assert (generator.resolution, generator.z_dim, generator.w_dim, generator.num_ws) == (32, 16, 24, 8)
    assert isinstance(generator.base, Base) and generator.base.path == path
    assert generator.base.format == "safetensors" and len(generator.base.sha256) == 64
    assert not generator.has_views and generator.sample_views(2, torch.Generator()) is None
    assert_close(generator.w_avg, network.mapping.w_avg.expand(8, 24))


def test_map_and_render_are_the_network(saved):
    path, network = saved()
    generator = StyleGAN2(checkpoint=path)
    generator.prepare(CPU)
    z = torch.randn(2, 16)
    latents = generator.map(z)
    assert_close(latents, network.mapping(z), rtol=0, atol=0)
    rendering = generator.render(latents)
    assert rendering.image.shape == (2, 3, 32, 32) and rendering.features.shape == (2, 16, 8, 8)
    assert_close(rendering.image, network.synthesis(latents), rtol=0, atol=0)


@pytest.mark.parametrize(("resolution", "feature"), [(8, 8), (32, 8), (128, 32), (256, 64), (1024, 64)])
def test_default_feature_map(resolution, feature):
    assert default_feature_resolution(resolution) == feature


def test_feature_map_can_be_chosen(prepared):
    generator = prepared({"feature_resolution": 16})
    assert generator.render(generator.w_avg[None]).features.shape == (1, 16, 16, 16)


def test_noise(prepared):
    generator = prepared({"noise": "random"})
    latents = generator.w_avg[None]
    first, second = (generator.render(latents, rng=torch.Generator().manual_seed(1)).image for _ in range(2))
    other = generator.render(latents, rng=torch.Generator().manual_seed(2)).image
    assert_close(first, second, rtol=0, atol=0)
    assert (first - other).abs().max() > 1e-2
    assert_close(generator.render(latents).image, generator.render(latents).image, rtol=0, atol=0)


def test_classes(prepared):
    one, two = prepared({"label": 1}, c_dim=3), prepared({"label": 2}, c_dim=3)
    z = torch.randn(2, 16)
    assert (one.map(z) - two.map(z)).abs().max() > 1e-3
    assert_close(one.map(z), one.module.mapping(z, torch.eye(3)[[1, 1]]))


@pytest.mark.parametrize(("options", "settings", "text"), [
    ({"label": 1}, {}, "no classes"), ({}, {"c_dim": 3}, "draws 3 classes"),
    ({"label": 3}, {"c_dim": 3}, "give 0 to 2"), ({"feature_resolution": 64}, {}, "4, 8, 16, 32"),
    ({"noise": "loud"}, {}, "const, random, none"),
])
def test_options_that_do_not_fit(prepared, options, settings, text):
    with pytest.raises(ConfigError, match=text):
        prepared(options, **settings)


def test_editable_parameters_are_the_synthesis_network(prepared):
    generator = prepared()
    parameters = generator.editable_parameters()
    state = generator.module.state_dict()
    names = {key for key, _ in generator.module.named_parameters()}
    assert parameters.keys() == {key for key in names if not key.startswith("mapping.")}
    assert all(state[key].data_ptr() == value.data_ptr() for key, value in parameters.items())


def test_a_copy_can_be_edited_alone(prepared):
    generator = prepared()
    source = copy.deepcopy(generator)
    next(iter(generator.editable_parameters().values())).data.add_(1.0)
    latents = generator.w_avg[None]
    assert (generator.render(latents).image - source.render(latents).image).abs().max() > 1e-3


def test_views_are_refused(prepared):
    generator = prepared()
    with pytest.raises(ShapeError, match="no views"):
        generator.render(generator.w_avg[None], views=torch.zeros(1, 25))


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(CheckpointError, match="does not exist"):
        StyleGAN2(checkpoint=tmp_path / "none.pkl").prepare(CPU)


def test_nothing_works_before_prepare():
    for name in ("module", "base", "w_avg"):
        with pytest.raises(RuntimeError, match="prepare"):
            getattr(StyleGAN2(), name)


def test_without_checkpoint_and_bundled_world(monkeypatch):
    monkeypatch.setattr(module, "BUNDLED_PACKAGE", "no_such_package")
    assert bundled_checkpoint() is None
    with pytest.raises(ConfigError, match="checkpoint"):
        StyleGAN2().prepare(CPU)


def test_the_bundled_world_is_found_without_importing_it(monkeypatch, saved, tmp_path):
    package = tmp_path / "pretended_demo"
    (package / "weights").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    saved()[0].rename(package / module.BUNDLED_FILE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(module, "BUNDLED_PACKAGE", "pretended_demo")
    generator = StyleGAN2()
    generator.prepare(CPU)
    assert generator.base.path == package / module.BUNDLED_FILE and generator.resolution == 32


def test_registration_imports_no_torch():
    code = (
        "import sys, unlearnkit_stylegan2 as plugin; seen = []\n"
        "plugin.unlearnkit_register_generators(lambda *words: seen.append(words))\n"
        "assert 'torch' not in sys.modules and seen[0][0] == 'stylegan2', seen\n"
        "assert seen[0][1] == 'unlearnkit_stylegan2.generator:StyleGAN2'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_whose_faces_a_file_draws_is_known_before_it_is_read(tmp_path):
    bundled = bundled_checkpoint()
    if bundled is None:
        pytest.skip("the bundled world is not installed")
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(bundled.read_bytes())
    for path, domain in ((None, "synthetic-renders"), (bundled, "synthetic-renders"), (copy, "synthetic-renders"),
                         (tmp_path / "stylegan2-FFHQ-1024.pkl", "photographs"), (tmp_path / "cats.pkl", "any")):
        assert StyleGAN2(path).faces_domain() == domain
