"""FID on Inception with random weights: the published ones are the user's. The right file is told by its hash."""

from __future__ import annotations

import attrs
import numpy as np
import pytest
import torch
from pytorch_fid import inception
from pytorch_fid.fid_score import calculate_frechet_distance

from unlearnkit.checkpoints import file_sha256
from unlearnkit.errors import CheckpointError, ConfigError
from unlearnkit.interfaces import Request
from unlearnkit.metrics import fid
from unlearnkit.metrics.distribution import frechet_distance, frechet_to_moments
from unlearnkit.metrics.fid import FID, read_moments
from unlearnkit.metrics.files import INCEPTION
from unlearnkit.testing import check_component

from .toys import evidence, person

CPU = torch.device("cpu")
REQUEST = Request((person("Ada", (0.5, 0.0, 0.0)),))


class Untrained(Exception):
    """Carries the network's own random tensors out of pytorch-fid's constructor."""


def random_state() -> dict[str, torch.Tensor]:
    kept = inception._inception_v3

    def note(*args, **kwargs):
        made.append(kept(*args, **kwargs))
        return made[0]

    def refuse(*_, **__):
        raise Untrained

    made: list[torch.nn.Module] = []
    with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        patch.setattr(inception, "_inception_v3", note)
        patch.setattr(inception, "load_state_dict_from_url", refuse)
        with pytest.raises(Untrained):
            inception.fid_inception_v3()
    # Untrained batch normalisation lets numbers die out on the way: scale what leaves each layer.
    return {name: 2.5 * value if name.endswith("bn.weight") else value for name, value in made[0].state_dict().items()}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("fid") / "inception.pth"
    torch.save(random_state(), path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fid, "INCEPTION", attrs.evolve(INCEPTION, sha256=file_sha256(path)[:8]))
        yield path
    path.unlink()


@pytest.fixture(scope="module")
def ready(weights) -> FID:
    made = FID(weights=weights, samples=6)
    made.prepare(CPU)
    return made


def features(made: FID, colours: torch.Tensor) -> np.ndarray:
    """What pytorch-fid sees of plain pictures that were saved as files of 8 bits."""
    pixels = ((colours.clamp(-1, 1) + 1) * 127.5).round().byte()[:, :, None, None].expand(-1, -1, 4, 4)
    with torch.no_grad():
        return made._network(pixels.float() / 255)[0][:, :, 0, 0].double().numpy()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_fid_is_pytorch_fids(ready):
    latents = torch.randn(6, 3, generator=evidence(REQUEST).stream("fid"))
    before, after = features(ready, latents), features(ready, latents + torch.tensor([0.4, 0.0, 0.0]))
    # In 8 directions: scipy's square root of a singular matrix of 2048 x 2048 takes a minute and is no yardstick.
    basis = np.linalg.qr(np.concatenate([before, after]).T)[0]
    moments = [(x.mean(0), np.cov(x, rowvar=False)) for x in (before @ basis, after @ basis)]
    numbers = ready.measure(evidence(REQUEST, (0.4, 0.0, 0.0)))
    assert numbers["fid_pre"] > 0
    assert numbers["fid_pre"] == pytest.approx(calculate_frechet_distance(*moments[0], *moments[1]), rel=1e-3)
    assert (numbers["n_fid"], numbers["n_fid_floor"]) == (6, 3) and "fid_real_after" not in numbers
    same = ready.measure(evidence(REQUEST))
    assert same["fid_pre"] == pytest.approx(0, abs=1e-6) and same["kid_inception"] == pytest.approx(0, abs=1e-6)
    for name in ("fid_pre", "kid_inception"):
        assert same[f"{name}_unpaired"] == same[f"{name}_floor"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_our_frechet_distances_agree_with_pytorch_fids():
    rng = torch.Generator().manual_seed(1)
    a, b = torch.randn(60, 12, generator=rng).double(), 1.5 * torch.randn(50, 12, generator=rng).double() + 0.3
    theirs = calculate_frechet_distance(
        a.mean(0).numpy(), a.T.cov().numpy(), b.mean(0).numpy(), b.T.cov().numpy())
    assert frechet_distance(a, b) == pytest.approx(theirs, rel=1e-8)
    assert frechet_to_moments(a, b.mean(0), b.T.cov()) == pytest.approx(theirs, rel=1e-8)


def test_distance_to_real_pictures(weights, ready, tmp_path):
    latents = torch.randn(6, 3, generator=evidence(REQUEST).stream("fid"))
    real = features(ready, latents)
    np.savez(tmp_path / "real.npz", mu=real.mean(0), sigma=np.cov(real, rowvar=False))
    made = FID(weights=weights, samples=6, real=tmp_path / "real.npz")
    made.prepare(CPU)
    numbers = made.measure(evidence(REQUEST, (0.4, 0.0, 0.0)))
    assert numbers["fid_real_before"] == pytest.approx(0, abs=1e-5)
    assert numbers["fid_real_after"] == pytest.approx(numbers["fid_pre"], rel=1e-3)
    assert numbers["delta_fid_real"] == numbers["fid_real_after"] - numbers["fid_real_before"]


def test_kid_of_many_pictures_is_the_mean_over_blocks():
    a, b = torch.randn(2, 1001, 4, generator=torch.Generator().manual_seed(2))
    assert fid._kid(a, b) == fid.kernel_distance(a[:1000], b[:1000])  # one left over is in no pair
    assert fid._kid(a[:10], b[:10]) == fid.kernel_distance(a[:10], b[:10])


def test_samples_are_the_runs_own_unless_given(weights):
    made = FID(weights=weights)
    made.prepare(CPU)
    assert made.measure(evidence(REQUEST, samples=5, views=True))["n_fid"] == 5
    assert made.measure(evidence(REQUEST, samples=3)) == {}


@pytest.mark.slow
def test_it_keeps_the_promises_of_a_metric(weights):
    outcomes = check_component(("metric", "fid", {"weights": str(weights), "samples": 4}))
    assert {outcome.state for outcome in outcomes} == {"passed"}


def test_without_weights_it_says_what_to_do_and_downloads_nothing(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(inception, "load_state_dict_from_url", lambda *_, **__: pytest.fail("a download"))
    with pytest.raises(ConfigError) as caught:
        FID().prepare(CPU)
    message = str(caught.value)
    assert "\n" not in message and str(tmp_path / "hub" / "checkpoints" / INCEPTION.file_name) in message
    assert INCEPTION.url in message and "metric.fid.weights=FILE" in message


def test_other_weights_are_not_fid(tmp_path, monkeypatch):
    torch.save({"conv.weight": torch.zeros(2)}, tmp_path / "other.pth")
    monkeypatch.setattr(fid, "INCEPTION", INCEPTION)  # another test may have put its own
    with pytest.raises(CheckpointError, match="expected 6726825d"):
        FID(weights=tmp_path / "other.pth").prepare(CPU)


@pytest.mark.parametrize("content", [b"no pickle", b"\x80\x02cos\nsystem\n(S'true'\ntR."])
def test_a_file_that_is_none_is_refused(tmp_path, monkeypatch, content):
    path = tmp_path / "inception.pth"
    path.write_bytes(content)
    monkeypatch.setattr(fid, "INCEPTION", attrs.evolve(INCEPTION, sha256=""))
    with pytest.raises(ConfigError, match="cannot be read as Inception's weights"):
        FID(weights=path).prepare(CPU)
    assert inception.load_state_dict_from_url.__module__.startswith("torch")


@pytest.mark.parametrize(("held", "words"), [
    ({"mu": np.zeros(2048)}, "sigma"),
    ({"mu": np.zeros(64), "sigma": np.eye(64)}, "other shapes"),
    ({"mu": np.full(2048, np.nan), "sigma": np.zeros((2048, 2048))}, "not finite"),
    ({"mu": np.array([{}], object), "sigma": np.zeros((2048, 2048))}, "cannot be read"),
    (None, "cannot be read"),
])
def test_statistics_are_checked(tmp_path, held, words):
    if held is not None:
        np.savez(tmp_path / "real.npz", **held)
    with pytest.raises(ConfigError, match=words):
        read_moments(tmp_path / "real.npz")
