"""Inverters on tiny generators and random weights."""

from __future__ import annotations

import argparse

import attrs
import pytest
import torch
from torch import nn
from unlearnkit_faces.e4e import StyleEncoder
from unlearnkit_faces.inverters import E4eInverter, OptimisationInverter, learning_rate_factor
from unlearnkit_faces.pictures import picture_distance

from unlearnkit.errors import CheckpointError, ConfigError, ShapeError
from unlearnkit.interfaces import Base, Generator, Rendering

CPU = torch.device("cpu")


@attrs.define(eq=False)
class Tiny(Generator):
    """Four layers of eight numbers -> 16 × 16 pixels, in one linear map; a view shifts its colours."""

    resolution: int = 16
    z_dim: int = 8
    w_dim: int = 8
    num_ws: int = 4
    views: bool = False
    network: nn.Module = attrs.field(factory=lambda: Tiny.make(32, 3 * 16 * 16))

    @staticmethod
    def make(inputs, outputs):
        torch.manual_seed(5)
        return nn.Linear(inputs, outputs)

    @property
    def module(self) -> nn.Module:
        return self.network

    @property
    def base(self) -> Base:
        raise NotImplementedError

    @property
    def w_avg(self):
        return torch.full((self.num_ws, self.w_dim), 0.5)

    def map(self, z):
        return self.w_avg + 2 * z[:, None].expand(-1, self.num_ws, -1)

    def render(self, latents, views=None, rng=None):
        assert (views is None) != self.views and rng is None
        image = self.network(latents.flatten(1)).tanh().view(-1, 3, 16, 16)
        return Rendering(image if views is None else image + views.mean(), image)

    def editable_parameters(self):
        return dict(self.network.named_parameters())

    def evaluation_views(self):
        return torch.tensor([[-9.0], [0.0], [9.0]]) if self.views else None


def latents(generator, seed, space):
    rng = torch.Generator().manual_seed(seed)
    codes = generator.map(torch.randn(2, 8, generator=rng))
    return codes if space == "W" else codes + torch.randn(codes.shape, generator=rng)


def pictures(generator, codes):
    with torch.no_grad():
        return generator.render(codes, generator.evaluation_views()).image


@pytest.mark.parametrize("space", ["W", "W+"])
@pytest.mark.parametrize("views", [False, True])
def test_optimisation_finds_what_was_drawn(space, views):
    generator = Tiny(views=views)
    wanted = pictures(generator, latents(generator, 1, space))
    inverter = OptimisationInverter(steps=150, space=space, regularisation=0.0)
    found = inverter.invert(wanted, generator)
    start = picture_distance(pictures(generator, generator.w_avg[None].expand(2, -1, -1)), wanted)
    assert found.shape == (2, 4, 8) and not found.requires_grad
    assert (picture_distance(pictures(generator, found), wanted) < 0.15 * start).all()
    assert (space == "W+") or torch.equal(found, found[:, :1].expand_as(found))


def test_it_leaves_no_gradient_in_the_generator_and_repeats_itself():
    generator = Tiny()
    wanted = pictures(generator, latents(generator, 1, "W"))
    inverter = OptimisationInverter(steps=5, candidates=20)
    both = inverter.invert(wanted, generator)
    assert all(p.grad is None for p in generator.module.parameters())
    torch.testing.assert_close(inverter.invert(wanted[1:], generator), both[1:], rtol=0, atol=0)


def test_candidates_start_nearer_than_the_mean():
    generator = Tiny()
    wanted = pictures(generator, latents(generator, 1, "W"))
    first = []
    for count in (0, 400):
        told: list[float] = []
        inverter = OptimisationInverter(steps=1, candidates=count, regularisation=0.0)
        inverter.on_step = lambda step, steps, loss, told=told: told.append(loss)
        inverter.invert(wanted, generator)
        first.append(told[0])
    assert first[1] < first[0]


def test_regularisation_keeps_near_the_mean():
    generator = Tiny()
    wanted = pictures(generator, latents(generator, 1, "W+"))
    away = []
    for weight in (0.0, 4.0):
        found = OptimisationInverter(steps=60, regularisation=weight).invert(wanted, generator)
        away.append((found - generator.w_avg).norm())
    assert away[1] < 0.5 * away[0]


def test_progress_is_told():
    generator, told = Tiny(), []
    inverter = OptimisationInverter(steps=3)
    inverter.on_step = lambda step, steps, loss: told.append((step, steps, loss))
    inverter.invert(pictures(generator, latents(generator, 1, "W")), generator)
    assert [(step, steps) for step, steps, _ in told] == [(i, 6) for i in range(6)]


def test_a_perceptual_distance_is_used_by_name(monkeypatch):
    from unlearnkit_faces import inverters

    class Blur:
        def prepare(self, device):
            self.device = device

        def features(self, images):
            return [images.mean((2, 3), keepdim=True)]

        def distance(self, a, b):
            return (a[0] - b[0]).square().sum((1, 2, 3))

    registry = type("Registry", (), {"component_class": lambda self, kind, name: {"perceptual": Blur}[kind]})
    monkeypatch.setattr(inverters, "registry", registry)
    generator = Tiny()
    wanted = pictures(generator, latents(generator, 1, "W"))
    inverter = OptimisationInverter(steps=40, perceptual="blur", pixel_weight=0.0, regularisation=0.0)
    inverter.prepare(CPU)
    found = pictures(generator, inverter.invert(wanted, generator))
    assert (found - wanted).mean((2, 3)).abs().max() < 0.05


def test_pictures_of_another_size_are_refused():
    with pytest.raises(ShapeError, match="expected 16"):
        OptimisationInverter().invert(torch.zeros(1, 3, 32, 32), Tiny())


def test_the_learning_rate_rises_stays_and_falls():
    factors = [learning_rate_factor(step, 100) for step in range(100)]
    assert 0 < factors[0] < 0.25 and 0 < factors[-1] < 0.01
    assert factors[10:70] == [1.0] * 60 and factors[75:] == sorted(factors[75:], reverse=True)


def test_picture_distance_sees_colour_and_edges_and_nothing_else():
    flat, edges = torch.zeros(1, 3, 32, 32), torch.zeros(1, 3, 32, 32)
    edges[..., 16:] = 0.5
    assert picture_distance(flat, flat).item() == 0
    torch.testing.assert_close(picture_distance(flat, flat + 0.25), torch.tensor([0.25]))
    assert picture_distance(flat, edges) > 0.25


# ---------------------------------------------------------------- e4e

def random_encoder(count):
    with torch.device("meta"):
        network = StyleEncoder(count)
    network.to_empty(device="cpu").eval()
    rng = torch.Generator().manual_seed(0)
    for name, value in network.state_dict().items():
        if value.ndim > 1:
            value.normal_(0, value[0].numel() ** -0.5 if "linear" not in name else 1, generator=rng)
        else:
            value.fill_(0 if name.endswith(("bias", "running_mean", "tracked")) else 1)
    return network


@pytest.fixture(scope="module")
def encoder():
    return random_encoder(1)


def save(path, encoder, **more):
    state = {f"encoder.{name}": value for name, value in encoder.state_dict().items()}
    torch.save({"state_dict": state | {"decoder.input.input": torch.zeros(1)}, **more}, path)
    return path


def test_an_e4e_file_is_read_and_its_mean_added(encoder, tmp_path):
    generator = Tiny(num_ws=1, w_dim=512)
    mean = torch.linspace(0, 1, 512)[None]
    inverter = E4eInverter(weights=save(
        tmp_path / "e4e.pt", encoder, latent_avg=mean, opts={"encoder_type": "Encoder4Editing"}))
    inverter.prepare(CPU)
    x = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.no_grad():
        expected = encoder(x) + mean
    assert expected.std() > 0.01
    torch.testing.assert_close(inverter.invert(x, generator), expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(ShapeError, match="own generator"):
        inverter.invert(x, Tiny())


def test_the_options_in_a_file_may_be_a_namespace(encoder, tmp_path):
    read = []
    for kind in (dict, argparse.Namespace):
        inverter = E4eInverter(weights=save(
            tmp_path / f"{kind.__name__}.pt", encoder,
            opts=kind(start_from_latent_avg=False, encoder_type="GradualStyle")))
        inverter.prepare(CPU)
        read.append((inverter._adds_mean, inverter._network.progressive))
    assert read == [(False, False)] * 2


def test_other_files_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "file.pt"
    torch.save({"g_ema": {}}, path)
    with pytest.raises(CheckpointError, match="state_dict"):
        E4eInverter(weights=path).prepare(CPU)
    torch.save({"state_dict": {"encoder.styles.0.x": torch.zeros(1)}}, path)
    with pytest.raises(CheckpointError, match="another network"):
        E4eInverter(weights=path).prepare(CPU)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(ConfigError, match="--inverter optimise"):
        E4eInverter().prepare(CPU)


def test_e4e_adds_offsets_to_the_first_row_and_psp_does_not():
    network = random_encoder(0)
    rows = torch.arange(10.0) + 3
    network.styles = nn.ModuleList(Constant(row) for row in rows)
    network._pyramid = lambda images: (images, images, images)
    x = torch.zeros(1, 3, 4, 4)
    assert torch.equal(network(x)[0, :, 0], torch.cat([rows[:1], rows[0] + rows[1:]]))
    network.progressive = False
    assert torch.equal(network(x)[0, :, 0], rows)


class Constant(nn.Module):
    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, x):
        return self.value.expand(len(x), 512)
