"""FID and KID: distances between distributions in the feature space of Inception-v3, and only there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import attrs
import numpy as np
import torch
from torch import Tensor, nn

from unlearnkit.config import option
from unlearnkit.errors import ConfigError
from unlearnkit.interfaces import About, Evidence, Generator, Metric, Number
from unlearnkit.metrics.distribution import frechet_distance, frechet_to_moments, kernel_distance, pairings
from unlearnkit.metrics.files import INCEPTION
from unlearnkit.metrics.gallery import slices
from unlearnkit.weights import check_file, find_file

__all__ = ["FID", "read_moments"]

FEATURES = 2048


@attrs.define(eq=False)
class FID(Metric):
    """FID as pytorch-fid computes it (its Inception-v3 and its weights, pictures in 8 bits), of N random latents.

    * ``fid_pre`` = FID(before, after): GUIDE's FID_pre. Paired, as GUIDE's is: same latents and views, so no change
      gives 0. ``fid_pre_unpaired`` is one half of the latents before against the other half after, ``fid_pre_floor``
      both halves before: chance.
    * ``kid_inception``, ``kid_inception_unpaired``, ``kid_inception_floor``: the same as unbiased MMD² with KID's
      kernel (Bińkowski et al. 2018, arXiv 1801.01401), mean over blocks of 1000
    * with ``real``: ``fid_real_before``, ``fid_real_after``, and ``delta_fid_real`` = after − before, GUIDE's ΔFID_real

    Lower is better. FID grows as N falls (published ones have N = 5 000 for GUIDE, 50 000 elsewhere), so compare equal
    ``n_fid`` only. It does not show who changed, and Inception-v3 was trained on objects, not on faces.
    """

    weights: Path | None = option(None, help=f"file {INCEPTION.file_name}; without one, the one in torch's cache")
    real: Path | None = option(None, help="statistics of real pictures, .npz with mu and sigma as pytorch-fid writes")
    samples: int | None = option(None, ge=4, help="random latents; without it metrics.samples, which is few for FID")
    _network: nn.Module | None = attrs.field(init=False, default=None, repr=False)
    _moments: tuple[Tensor, Tensor] | None = attrs.field(init=False, default=None, repr=False)

    def check(self) -> None:
        """Look for the weights, and read the statistics.

        :raises ConfigError: if a file is missing; CheckpointError if it is another one.
        """
        _find(self.weights)
        if self.real is not None:
            read_moments(self.real)

    def prepare(self, device: torch.device) -> None:
        """Read the weights onto ``device``, and the statistics.

        :raises ConfigError: if a file is missing; nothing is downloaded. CheckpointError if it is another one.
        """
        self._moments = None if self.real is None else read_moments(self.real)
        self._network = _inception(_find(self.weights)).to(device)

    def measure(self, evidence: Evidence) -> dict[str, float]:
        """FID and KID, and how many pictures they are from; nothing with fewer than 4."""
        count = self.samples or evidence.samples
        if count < 4:
            return {}
        before, after = (self._features(evidence, generator, count) for generator in (evidence.frozen, evidence.edited))
        half = count // 2
        first, second = slice(0, half), slice(half, 2 * half)
        numbers = {"n_fid": float(count), "n_fid_floor": float(half)}
        for name, distance in (("fid_pre", frechet_distance), ("kid_inception", _kid)):
            numbers[name] = distance(before, after)
            numbers[f"{name}_unpaired"] = distance(before[first], after[second])
            numbers[f"{name}_floor"] = distance(before[first], before[second])
        if self._moments is not None:
            old, new = (frechet_to_moments(seen, *self._moments) for seen in (before, after))
            numbers |= {"fid_real_before": old, "fid_real_after": new, "delta_fid_real": new - old}
        return numbers

    def numbers(self, about: About) -> tuple[Number, ...]:
        """FID and KID of the same latents, of different ones and by chance; with ``real``, FID to real pictures."""
        found = (*pairings("fid_pre", "FID", "n_fid", "FID", 0.0), *pairings("kid_inception", "KID", "n_fid"))
        if self.real is None:
            return found
        return (
            *found,
            Number("fid_real_before", "FID to real pictures, before", count="n_fid", least=0.0),
            Number("fid_real_after", "FID to real pictures, after", "lower", count="n_fid", least=0.0),
            Number("delta_fid_real", "FID to real pictures, after minus before", "lower", count="n_fid",
                   short="change of FID to real pictures"),
        )

    @torch.no_grad()
    def _features(self, evidence: Evidence, generator: Generator, count: int) -> Tensor:
        """Inception's ``(N, 2048)`` of what a generator makes of random latents in random views, on the CPU."""
        if self._network is None:
            raise ConfigError("FID has no weights yet; call prepare(device) first")
        rng = evidence.stream("fid")
        latents, views = evidence.random_latents(count, rng), evidence.frozen.sample_views(count, rng)
        seen = []
        for part in slices(count):
            image = generator.render(latents[part], None if views is None else views[part].to(latents.device)).image
            # pytorch-fid reads files, so what it sees has 8 bits a colour.
            pixels = image.float().add(1).mul(127.5).round().clamp(0, 255) / 255
            seen.append(self._network(pixels)[0].flatten(1).cpu())
        return torch.cat(seen)


def read_moments(path: Path) -> tuple[Tensor, Tensor]:
    """Mean ``(2048,)`` and covariance ``(2048, 2048)`` of real pictures, from an ``.npz`` of pytorch-fid.

    :raises ConfigError: if there is no such file, or it holds something else.
    """
    wanted = f"give an .npz with mu ({FEATURES},) and sigma ({FEATURES}, {FEATURES}), as pytorch-fid --save-stats does"
    try:
        with np.load(path.expanduser(), allow_pickle=False) as held:
            mean, covariance = (np.asarray(held[name], np.float64) for name in ("mu", "sigma"))
    except Exception as error:  # numpy raises what it likes at what strangers wrote
        raise ConfigError(f"{path}: cannot be read ({type(error).__name__}: {str(error)[:80]}); {wanted}") from error
    if mean.shape != (FEATURES,) or covariance.shape != (FEATURES, FEATURES):
        raise ConfigError(f"{path}: mu {mean.shape} and sigma {covariance.shape} have other shapes; {wanted}")
    if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
        raise ConfigError(f"{path}: mu or sigma hold numbers that are not finite; {wanted}")
    return torch.from_numpy(mean), torch.from_numpy(covariance)


def _kid(a: Tensor, b: Tensor) -> float:
    """MMD² over disjoint blocks of at most 1000 pictures: still unbiased, and no N × N matrix for N = 50 000."""
    blocks = [(x, y) for x, y in zip(a.split(1000), b.split(1000), strict=True) if len(x) > 1]
    weights = [len(x) for x, _ in blocks]
    return sum(n * kernel_distance(x, y) for n, (x, y) in zip(weights, blocks, strict=True)) / sum(weights)


def _find(given: Path | None) -> Path:
    """The file of weights that was given, or the one in the cache folder; features of other weights are not FID's.

    :raises ConfigError: if there is none.
    :raises CheckpointError: if it is another file.
    """
    path = find_file(given, INCEPTION)
    check_file(path, INCEPTION)
    return path


def _inception(path: Path) -> nn.Module:
    """pytorch-fid's network, frozen, with the tensors of a file.

    :raises ConfigError: if the file cannot be read.
    """
    from pytorch_fid.inception import InceptionV3

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        with _instead_of_a_download(state):
            network: nn.Module = InceptionV3().requires_grad_(False).eval()
    except Exception as error:  # torch.load raises what it likes
        reason = re.sub(r"\s+", " ", str(error))[:120]
        raise ConfigError(
            f"{path}: cannot be read as Inception's weights ({reason}); {INCEPTION.how_to_get}") from error
    return network


@contextmanager
def _instead_of_a_download(state: Mapping[str, Tensor]) -> Iterator[None]:
    """While this lasts, pytorch-fid's constructor, which always asks torch.hub for its file, is given these tensors."""
    from pytorch_fid import inception

    download = inception.load_state_dict_from_url
    inception.load_state_dict_from_url = lambda *_, **__: state
    try:
        yield
    finally:
        inception.load_state_dict_from_url = download
