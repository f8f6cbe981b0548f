"""Turntables: a head that turns, before beside after, as a GIF; and its depth as a grey picture."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from unlearnkit.errors import RunError
from unlearnkit.interfaces import Evidence, Generator, Person
from unlearnkit.report.pictures import Picture

if TYPE_CHECKING:
    from unlearnkit.runs import Run

__all__ = ["depth_pictures", "load_turns", "save_turns", "turn_gif"]

FRAMES = 16
MILLISECONDS = 90
BATCH = 8
_INDEX = "images/turns.json"


@torch.no_grad()
def turn(generator: Generator, latent: Tensor, frames: int = FRAMES) -> Tensor | None:
    """A latent ``(num_ws, w_dim)`` seen on a round trip ``(frames, 3, H, W)``; None without views to turn in."""
    views = generator.turn_views(frames)
    if views is None:
        return None
    parts = [generator.render(latent.expand(len(part), -1, -1), part).image for part in views.split(BATCH)]
    return torch.cat(parts).float().cpu()


def turn_gif(frames: Tensor) -> bytes:
    """Frames ``(F, 3, H, W)`` in [-1, 1] as an endless GIF."""
    from PIL import Image

    pixels = frames.add(1).mul(127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
    first, *others = (Image.fromarray(frame) for frame in pixels)
    buffer = io.BytesIO()
    first.save(buffer, "GIF", save_all=True, append_images=others, duration=MILLISECONDS, loop=0)
    return buffer.getvalue()


def save_turns(run: Run, evidence: Evidence) -> None:
    """Write a turntable of each erased person and of the first bystander, where the generator has views."""
    shown = [("erased", person) for person in evidence.request.people]
    shown += [("bystander", person) for person in evidence.request.bystanders[:1]]
    index: list[dict[str, str]] = []
    for number, (group, person) in enumerate(shown):
        sides = [turn(generator, person.latents[0]) for generator in (evidence.frozen, evidence.edited)]
        if sides[0] is None or sides[1] is None:
            return
        slug = re.sub(r"[^a-z0-9]+", "-", person.name.lower()).strip("-")[:60] or "person"
        name = f"images/turn-{number}-{slug}.gif"
        run.write_bytes(name, turn_gif(torch.cat([sides[0], sides[1]], 3)))
        index.append({"group": group, "person": person.name, "file": name})
    run.write_json(_INDEX, index)


def load_turns(run: Run) -> list[dict[str, Any]]:
    """The index of a run's turntables, checked; empty if it has none."""
    index = run.read_json(_INDEX) or []
    keys = ("group", "person", "file")
    good = isinstance(index, list) and all(
        isinstance(entry, dict) and all(isinstance(entry.get(key), str) for key in keys)
        and re.fullmatch(r"images/turn-[a-z0-9-]+\.gif", entry["file"]) and (run.path / entry["file"]).is_file()
        for entry in index)
    if not good:
        raise RunError(f"{run.path / _INDEX} is damaged, or names a file that is missing; restore it")
    return list(index)


@torch.no_grad()
def depth_pictures(evidence: Evidence, people: tuple[Person, ...]) -> list[Picture]:
    """Depth from the front before and after, near is bright; nothing for a generator without depth."""
    entries: list[Picture] = []
    front = evidence.frozen.front_view()
    for person in people:
        if front is None:
            break
        before, after = (generator.depth(person.latents[:1], front) for generator in (evidence.frozen, evidence.edited))
        if before is None or after is None:
            break
        near, far = float(before.min()), float(before.max())
        for role, depth in (("before", before), ("after", after)):
            grey = 1 - 2 * ((depth[0] - near) / max(far - near, 1e-6)).clamp(0, 1)
            entries.append(Picture("shape", person.name, 0, role, grey.expand(3, -1, -1)))
    return entries
