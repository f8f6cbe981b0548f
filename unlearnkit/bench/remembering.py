"""What many cases have in common is computed once: latents of pictures, and pictures of the frozen generator."""

from __future__ import annotations

import hashlib
import inspect
import time
from pathlib import Path
from typing import Any, cast

import attrs
import torch
from torch import Tensor

from unlearnkit.checkpoints import read_tensors, write_tensors
from unlearnkit.interfaces import Evidence, Generator, Inverter, Rendering

__all__ = ["RememberingInverter", "Renderings", "remembered"]

_FOUND: dict[str, tuple[Tensor, float]] = {}
"""Latents of pictures, and the seconds that it took to find them."""
_MOST_BYTES = 2**29


class RememberingInverter(Inverter):
    """An inverter that does not look again for what it found before: all methods meet the same latents, to the bit.

    ``key``: everything but the pictures that latents depend on. ``folder``: where latents are kept from one process to
    the next, or None; then the code of the inverter's module counts too, so that a change in it is a new search.
    ``saved``: the seconds that the latents took the first time which were remembered.
    """

    def __init__(self, inverter: Inverter, key: str, folder: Path | None = None) -> None:
        self._inverter, self._folder, self.saved = inverter, folder, 0.0
        code = "" if folder is None else Path(inspect.getfile(type(inverter))).read_text()
        self._key = hashlib.sha256(f"{key}{code}".encode()).hexdigest()

    def invert(self, images: Tensor, generator: Generator) -> Tensor:
        """Latents ``(N, num_ws, w_dim)`` of images ``(N, 3, H, W)``."""
        key = hashlib.sha256(self._key.encode() + images.cpu().numpy().tobytes()).hexdigest()
        known = _FOUND.get(key) or self._read(key)
        if known is not None:
            self.saved += known[1]
        else:
            started = time.monotonic()
            latents = self._inverter.invert(images, generator).detach()
            known = latents, time.monotonic() - started
            self._write(key, *known)
        _FOUND[key] = known
        return known[0].to(images.device, copy=True)

    def _read(self, key: str) -> tuple[Tensor, float] | None:
        file = self._file(key)
        if file is None or not file.is_file():
            return None
        tensors, metadata = read_tensors(file)
        return tensors["latents"], float(metadata["seconds"])

    def _write(self, key: str, latents: Tensor, seconds: float) -> None:
        file = self._file(key)
        if file is not None and not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            write_tensors(file, {"latents": latents.cpu().contiguous()}, {"seconds": f"{seconds:.3f}"})

    def _file(self, key: str) -> Path | None:
        return None if self._folder is None else self._folder / f"{key}.safetensors"


class Renderings:
    """Pictures of a generator by latent and view, at most half a gigabyte of them."""

    def __init__(self) -> None:
        self._pictures: dict[bytes, Tensor] = {}
        self._bytes = 0

    def get(self, key: bytes) -> Tensor | None:
        """The picture ``(3, H, W)``, if it is there."""
        return self._pictures.get(key)

    def add(self, key: bytes, picture: Tensor) -> None:
        """Keep a picture; when there is no room left, all the others go."""
        if self._bytes + picture.nbytes > _MOST_BYTES:
            self._pictures, self._bytes = {}, 0
        self._pictures[key] = picture
        self._bytes += picture.nbytes


_FROZEN: dict[tuple[str, str], Renderings] = {}


def remembered(evidence: Evidence, settings: str) -> Evidence:
    """The same evidence, whose frozen generator draws each picture once in this process, not once a case.

    ``settings``: everything, beside its checkpoint, that the frozen generator's pictures depend on.
    """
    known = _FROZEN.setdefault((evidence.frozen.base.sha256, settings), Renderings())
    return attrs.evolve(evidence, frozen=cast(Generator, _Remembering(evidence.frozen, known)))


class _Remembering:
    """A generator whose pictures are remembered where no gradient is asked for; everything else is the generator's."""

    def __init__(self, generator: Generator, known: Renderings) -> None:
        self._generator, self._known = generator, known

    def __getattr__(self, name: str) -> Any:
        return getattr(self._generator, name)

    def render(
        self, latents: Tensor, views: Tensor | None = None, rng: torch.Generator | None = None
    ) -> Rendering:
        """As the generator does, but without its features: metrics look at pictures."""
        if torch.is_grad_enabled() or rng is not None:
            return self._generator.render(latents, views, rng)
        keys = [_bytes(latent) + (b"" if views is None else _bytes(views[place]))
                for place, latent in enumerate(latents)]
        missing = [place for place, key in enumerate(keys) if self._known.get(key) is None]
        found = {}
        if missing:
            drawn = self._generator.render(latents[missing], None if views is None else views[missing]).image
            found = dict(zip(missing, drawn, strict=True))
        pictures = [found[place] if place in found else cast(Tensor, self._known.get(key))
                    for place, key in enumerate(keys)]
        for place, picture in found.items():
            self._known.add(keys[place], picture.clone())
        images = torch.stack(pictures)
        return Rendering(images, images.new_zeros(len(images), 1, 1, 1))

    def render_front(self, latents: Tensor) -> Tensor:
        """As the generator does, with the pictures of :meth:`render`."""
        return Generator.render_front(cast(Generator, self), latents)


def _bytes(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().numpy().tobytes()
