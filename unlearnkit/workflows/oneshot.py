"""What the short commands do: show random people, find the latent of a picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from unlearnkit.edits import file as edits
from unlearnkit.engine.machine import applied
from unlearnkit.errors import ConfigError
from unlearnkit.interfaces import Generator, Inverter
from unlearnkit.people import requests
from unlearnkit.report.show import save_grid, save_turning_grid
from unlearnkit.streams import stream
from unlearnkit.workflows.assembly import component, pick_device

__all__ = ["invert", "sample"]


def sample(
    generator_name: str, checkpoint: Path | None, edit: Path | None, out: Path, count: int, seed: int,
    truncation: float, settings: Mapping[str, Any],
) -> None:
    """Write a grid of ``count`` pictures of random latents, from a checkpoint, with an edit on it if given.

    ``settings`` are complete ones of the section ``generator``; ``truncation`` 1 keeps the latents, 0 gives the mean.
    A generator with views is seen from random ones; with a name in .gif all heads turn together.

    :raises ConfigError: for a .gif of a generator without views.
    """
    table = {**settings["generator"], **({} if checkpoint is None else {"checkpoint": str(checkpoint)})}
    generator: Generator = component("generator", table, "generator", pick_device(settings["device"]))
    if edit is not None:
        edits.put_on(generator, edit)
    with applied(settings):
        latents = torch.cat([requests.person_of_seed(generator, seed + i) for i in range(count)])
        rng = stream(seed, "sample/views")
        with torch.no_grad():
            latents = generator.w_avg.lerp(latents, truncation)
            if out.suffix.lower() == ".gif":
                save_turning_grid(generator, latents, out)
                return
            images = []
            for part in latents.split(8):
                images.append(generator.render(part, generator.sample_views(len(part), rng), rng).image.cpu())
    save_grid(torch.cat(images), out)


def invert(
    image: Path, generator_name: str, inverter_name: str | None, checkpoint: Path | None, out: Path,
    settings: Mapping[str, Any],
) -> None:
    """Find the latent of a picture and write it to ``out`` (safetensors), with a picture of what it shows beside."""
    device = pick_device(settings["device"])
    if not settings.get("inverter"):
        raise ConfigError("no inverter is chosen and no plugin offers one; give --inverter NAME")
    table = {**settings["generator"], **({} if checkpoint is None else {"checkpoint": str(checkpoint)})}
    generator: Generator = component("generator", table, "generator", device)
    inverter: Inverter = component("inverter", settings["inverter"], "inverter", device)
    align = bool(settings.get("request", {}).get("align"))
    picture = requests.load_picture(image, generator.resolution, align)[None].to(device)
    with applied(settings):
        latent = inverter.invert(picture, generator).detach()
        requests.save_latent(out, latent[0])
        with torch.no_grad():
            made = generator.render_front(latent)
    # Not out.with_suffix(".png"): next to me.png, me.safetensors would replace the user's own picture.
    save_grid(torch.cat([picture, made]).cpu(), out.with_name(f"{out.stem}-inverted.png"))
