"""Find the latent of a picture."""

from __future__ import annotations

from pathlib import Path

import torch

from unlearnkit.config import Settings
from unlearnkit.engine.machine import applied
from unlearnkit.errors import ConfigError
from unlearnkit.people.latent_files import save_latent
from unlearnkit.people.pictures import load_picture
from unlearnkit.report.show import save_grid
from unlearnkit.workflows.assembly import pick_device, prepared

__all__ = ["invert"]


def invert(settings: Settings, image: Path, out: Path) -> torch.Tensor:
    """Write the latent of a picture to ``out`` (safetensors), and a side-by-side image of picture and inversion.

    Returns the latent ``(num_ws, w_dim)``.

    :raises ConfigError: if no inverter was chosen.
    :raises NoFaceError: if a face is to be aligned and not found.
    """
    if settings.inverter is None:
        raise ConfigError("no inverter is chosen and no plugin offers one; give --inverter NAME")
    device = pick_device(settings.device)
    generator, inverter = prepared(settings.generator, device), prepared(settings.inverter, device)
    request = settings.request
    picture = load_picture(image, generator.resolution, request.align, request.face)[None].to(device)
    with applied(settings):
        latent = inverter.invert(picture, generator).detach()
        save_latent(out, latent[0])
        with torch.no_grad():
            inversion = generator.render_front(latent)
    # Not out.with_suffix(".png"): for me.safetensors next to me.png, that would overwrite the user's picture.
    save_grid(torch.cat([picture, inversion]).cpu(), out.with_name(f"{out.stem}-inverted.png"))
    return latent[0]
