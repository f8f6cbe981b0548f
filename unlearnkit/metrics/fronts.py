"""Pictures from the front, each drawn and judged once: metrics, the look at the targets and the report share them."""

from __future__ import annotations

import torch
from torch import Tensor

from unlearnkit.interfaces import Generator, IdentityEncoder
from unlearnkit.ticks import tick

__all__ = ["BATCH", "KEEP", "Fronts", "front_images"]

BATCH = 8
"""Pictures rendered at once."""
KEEP = 256 * 2**20
"""Bytes of pictures that are kept; what does not fit is drawn again."""

_Key = tuple[int, bytes]


class Fronts:
    """Pictures of latents from the front, on the CPU while they fit in ``KEEP`` bytes, and what the judge sees in them.

    Only for generators that do not change meanwhile.
    """

    def __init__(self, judge: IdentityEncoder) -> None:
        self._judge = judge
        self._images: dict[_Key, Tensor] = {}
        self._seen: dict[_Key, tuple[Tensor, Tensor | None]] = {}
        self._bytes = 0

    def judged_by(self, judge: IdentityEncoder) -> Fronts:
        """The same pictures, before another judge."""
        other = Fronts(judge)
        other._images, other._bytes = self._images, self._bytes
        return other

    @torch.no_grad()
    def images(self, generator: Generator, latents: Tensor) -> Tensor:
        """Images ``(N, 3, H, W)`` of latents ``(N, num_ws, w_dim)``."""
        keys = _keys(generator, latents)
        found = {key: self._images[key] for key in keys if key in self._images}
        missing = {key: i for i, key in enumerate(keys) if key not in found}
        if missing:
            drawn = front_images(generator, latents[list(missing.values())])
            for key, image in zip(missing, drawn, strict=True):
                found[key] = image
                self._keep(key, image)
        return torch.stack([found[key].to(latents.device) for key in keys])

    @torch.no_grad()
    def seen(self, generator: Generator, latents: Tensor) -> tuple[Tensor, Tensor | None]:
        """Embeddings ``(N, D)`` by the judge and how many faces it found ``(N,)``, None from one that does not look."""
        keys = _keys(generator, latents)
        missing = {key: i for i, key in enumerate(keys) if key not in self._seen}
        for part in _parts(list(missing.items())):
            images = self.images(generator, latents[[i for _, i in part]])
            embedded, counts = self._judge.embed_and_count(images)
            for number, (key, _) in enumerate(part):
                self._seen[key] = embedded[number], None if counts is None else counts[number]
        found = [self._seen[key] for key in keys]
        known = [count for _, count in found if count is not None]
        return torch.stack([face for face, _ in found]), torch.stack(known) if known else None

    def _keep(self, key: _Key, image: Tensor) -> None:
        size = image.numel() * image.element_size()
        if self._bytes + size <= KEEP:
            self._images[key] = image.cpu().clone()
            self._bytes += size


@torch.no_grad()
def front_images(generator: Generator, latents: Tensor) -> Tensor:
    """Images ``(N, 3, H, W)`` of latents from the front, a few at a time, without a graph."""
    parts = []
    for start in range(0, len(latents), BATCH):
        tick(start, len(latents))
        parts.append(generator.render_front(latents[start : start + BATCH]))
    return torch.cat(parts)


def _keys(generator: Generator, latents: Tensor) -> list[_Key]:
    return [(id(generator), latent.numpy().tobytes()) for latent in latents.detach().cpu().contiguous()]


def _parts(items: list[tuple[_Key, int]]) -> list[list[tuple[_Key, int]]]:
    return [items[start : start + BATCH] for start in range(0, len(items), BATCH)]
