"""Render random people, each from their own seed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch

from unlearnkit.config import Settings
from unlearnkit.edits.file import put_on
from unlearnkit.engine.machine import applied
from unlearnkit.people.latent_files import person_of_seed
from unlearnkit.report.show import save_grid, save_turning_grid
from unlearnkit.streams import stream
from unlearnkit.ticks import tick
from unlearnkit.workflows.assembly import check_draws, pick_device, prepared

__all__ = ["sample"]


def sample(
    settings: Settings, edit: Path | None, out: Path, count: int, truncation: float,
    around: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> None:
    """Write a grid of ``count`` images, with an edit applied if one is given.

    They are the people of ``run --latent-seed`` with seeds ``seed``, ``seed + 1``, and so on. ``truncation`` 1 keeps
    their latents, 0 gives the mean. A generator with views uses random ones; in a .gif all heads turn together.
    ``around`` makes the context of the drawing itself, once everything is loaded: a progress bar.

    :raises ConfigError: for a .gif of a generator without views.
    """
    generator = prepared(settings.generator, pick_device(settings.device))
    if edit is not None:
        put_on(generator, edit)
    check_draws(generator)
    with applied(settings), torch.no_grad():
        latents = torch.cat([person_of_seed(generator, settings.seed + number) for number in range(count)])
        latents = generator.w_avg.lerp(latents, truncation)
        if out.suffix.lower() == ".gif":
            save_turning_grid(generator, latents, out)
            return
        rng = stream(settings.seed, "sample/views")
        images: list[torch.Tensor] = []
        with around():
            for part in latents.split(8):
                tick(8 * len(images), count)
                images.append(generator.render(part, generator.sample_views(len(part), rng), rng).image.cpu())
    save_grid(torch.cat(images), out)
