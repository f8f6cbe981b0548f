"""What each number is called in plain words, which way is better, and how to write it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import attrs

__all__ = ["Number", "bytes_text", "flat", "numbers", "people", "seconds_text"]

LOWER, HIGHER, NEITHER = "lower is better", "higher is better", ""

_WORDS: tuple[tuple[str, str, str], ...] = (
    (r"erased_before(_.+)?", "Erased person, before", NEITHER),
    (r"erased_after(_.+)?", "Erased person, after", LOWER),
    (r"erased_change(_.+)?", "Erased person, before against after (ID)", LOWER),
    (r"erased_worst_after", "Erased latent that is recognised best, after", LOWER),
    (r"erased_alike_before", "Erased people among themselves, before", NEITHER),
    (r"erased_alike_after", "Erased people among themselves, after: should be about two strangers", NEITHER),
    (r"erased_alike_after_max", "Erased people among themselves, after: the closest pair", NEITHER),
    (r"erased_front_before", "Erased person, before, from the front", NEITHER),
    (r"erased_front_after", "Erased person, after, from the front", LOWER),
    (r"erased_front_change", "Erased person, before against after, from the front", LOWER),
    (r"erased_worst_view_after", "Erased person, after, in the view that shows them best", LOWER),
    (r"others_before(_.+)?", "Other pictures of the person, before", NEITHER),
    (r"others_after(_.+)?", "Other pictures of the person, after", LOWER),
    (r"others_change(_.+)?", "Other pictures, before against after (ID others)", LOWER),
    (r"bystanders_before", "Bystanders, before", NEITHER),
    (r"bystanders_after", "Bystanders, after", HIGHER),
    (r"bystanders_change", "Bystanders, before against after", HIGHER),
    (r"(others|bystanders)_front_before", "From the front, before: {}", NEITHER),
    (r"others_front_(after|change)", "From the front, other pictures: {}", LOWER),
    (r"bystanders_front_(after|change)", "From the front, bystanders: {}", HIGHER),
    (r"earlier_(.+)_before", "Erased earlier, in the checkpoint: {}", NEITHER),
    (r"earlier_(.+)_then", "Erased earlier, before this run: {}", NEITHER),
    (r"earlier_(.+)_after", "Erased earlier, after this run: {}", LOWER),
    (r"strangers", "Two different bystanders", NEITHER),
    (r"strangers_level", "Two strangers, true pictures", NEITHER),
    (r"same_person", "Two pictures of the erased person", NEITHER),
    (r"same_person_level", "Two pictures of one person, true pictures", NEITHER),
    (r"neighbours_before_(\d+)", "Neighbours at {} % distance: like the person, before", NEITHER),
    (r"neighbours_after_(\d+)", "Neighbours at {} % distance: like the person, after", LOWER),
    (r"neighbours_change_(\d+)", "Neighbours at {} % distance, before against after", NEITHER),
    (r"neighbour_distance", "What 100 % distance is, in W+", NEITHER),
    (r"depth_change_erased", "Erased person's shape: change of depth", NEITHER),
    (r"depth_change_bystanders", "Bystanders' shape: change of depth", LOWER),
    (r"depth_between_bystanders", "Depth between two different bystanders", NEITHER),
    (r"fid_pre", "FID, before against after", LOWER),
    (r"fid_pre_unpaired", "FID, before against after, of different latents", LOWER),
    (r"fid_pre_floor", "FID, two halves before: chance", NEITHER),
    (r"fid_real_before", "FID, real pictures against before", NEITHER),
    (r"fid_real_after", "FID, real pictures against after", LOWER),
    (r"delta_fid_real", "FID to real pictures, after less before", LOWER),
    (r"kid_inception", "KID, before against after", LOWER),
    (r"kid_inception_unpaired", "KID, before against after, of different latents", LOWER),
    (r"kid_inception_floor", "KID, two halves before: chance", NEITHER),
    (r"frechet_(.+)_floor", "Fréchet distance ({}), two halves before: chance", NEITHER),
    (r"frechet_(.+)_unpaired", "Fréchet distance ({}), before against after, of different latents", LOWER),
    (r"frechet_(.+)", "Fréchet distance ({}), before against after", LOWER),
    (r"kid_(.+)_floor", "Kernel distance ({}), two halves before: chance", NEITHER),
    (r"kid_(.+)_unpaired", "Kernel distance ({}), before against after, of different latents", LOWER),
    (r"kid_(.+)", "Kernel distance ({}), before against after", LOWER),
    (r"precision_(.+)_floor", "Precision ({}), two halves before: no change", NEITHER),
    (r"precision_(.+)", "Precision ({}): pictures after that look like one before", HIGHER),
    (r"recall_(.+)_floor", "Recall ({}), two halves before: no change", NEITHER),
    (r"recall_(.+)", "Recall ({}): pictures before that look like one after", HIGHER),
    (r"density_(.+)_floor", "Density ({}), two halves before: no change", NEITHER),
    (r"density_(.+)", "Density ({}): how many before each picture after is close to", HIGHER),
    (r"coverage_(.+)_floor", "Coverage ({}), two halves before: no change", NEITHER),
    (r"coverage_(.+)", "Coverage ({}): pictures before that have one after close by", HIGHER),
    (r"preserved_distance", "Random people: perceptual distance", LOWER),
    (r"preserved_identity", "Random people: similarity before against after", HIGHER),
    (r"preserved_identity_worst", "Random people: the one who changed most", HIGHER),
    (r"n_no_face(_.+)?", "Pictures in which the judge found no face", LOWER),
    (r"n_several_faces(_.+)?", "Pictures in which the judge found several faces", LOWER),
)
_MISSING = ("n_no_face", "n_several_faces")
"""Counts that are numbers in their own right: what the means leave out."""


@attrs.frozen
class Number:
    """One line of the table of metrics."""

    name: str
    title: str
    value: str
    direction: str
    count: str


def flat(metrics: Mapping[str, Any] | None) -> dict[str, float | None]:
    """Metrics by name, saved flat or as a table for each metric; what is no number is left out."""
    found: dict[str, float | None] = {}
    for name, value in (metrics or {}).items():
        if isinstance(value, Mapping):
            found |= flat(value)
        elif value is None or isinstance(value, int | float):
            found[name] = value
    return found


def numbers(metrics: Mapping[str, float | None]) -> list[Number]:
    """Lines for every metric, the well-known ones first and in a sensible order; counts go beside them."""
    lines = []
    for name, value in metrics.items():
        if not name.startswith("n_") or name.startswith(_MISSING):
            rank, title, direction = _words(name)
            text = f"{value:.0f}" if name.startswith(_MISSING) and value is not None else _text(value)
            lines.append((rank, Number(name, title, text, direction, _count(name, metrics))))
    return [line for _, line in sorted(lines, key=lambda pair: pair[0])]


def people(metrics: Mapping[str, float | None]) -> list[str]:
    """How the numbers name each erased person, where there are several."""
    found = [name.removeprefix("erased_after_") for name in metrics if name.startswith("erased_after_")]
    return [name for name in found if metrics.get(f"erased_before_{name}") is not None]


def seconds_text(seconds: float) -> str:
    """``8.3 s``, ``1 min 12 s``, ``2 h 5 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def bytes_text(size: float) -> str:
    """``812 MiB``, ``1.4 GiB``."""
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"


def _words(name: str) -> tuple[int, str, str]:
    for rank, (pattern, title, direction) in enumerate(_WORDS):
        match = re.fullmatch(pattern, name)
        if match:
            part = (match[1] or "").strip("_").replace("_", " ") if match.groups() else ""
            if "{}" in title:
                return rank, title.format(part), direction
            return rank, f"{title} ({part})" if part else title, direction
    return len(_WORDS), name.replace("_", " "), NEITHER


def _text(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" if value == 0 or 1e-3 <= abs(value) < 1e4 else f"{value:.2e}"


def _count(name: str, metrics: Mapping[str, float | None]) -> str:
    floor = "_floor" if name.endswith(("_floor", "_unpaired")) else ""
    stem = re.sub(r"(_front|_worst_view)?_(before|then|after|change|distance|identity|level).*", "", name)
    stem = "geometry" if name in ("depth_change_bystanders", "depth_between_bystanders") else stem
    stem = "distribution" + floor if name.startswith(("frechet_", "kid_")) else stem
    stem = "fid" + floor if name.startswith(("fid_", "delta_fid", "kid_inception")) else stem
    stem = "prdc" if name.startswith(("precision_", "recall_", "density_", "coverage_")) else stem
    stem = re.sub("n_no_face|n_several_faces", "faces_sought", name) if name.startswith(_MISSING) else stem
    count = None if name.endswith("_level") else metrics.get(f"n_{stem}")
    return "" if count is None else f"{count:.0f}"
