"""What each number is called in plain words, which way is better, and how to write it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import attrs

__all__ = ["Number", "bytes_text", "flat", "numbers", "seconds_text"]

LOWER, HIGHER, NEITHER = "lower is better", "higher is better", ""

_WORDS: tuple[tuple[str, str, str], ...] = (
    (r"erased_before(_.+)?", "Erased person, before", NEITHER),
    (r"erased_after(_.+)?", "Erased person, after", LOWER),
    (r"erased_change(_.+)?", "Erased person, before against after (ID)", LOWER),
    (r"erased_alike_before", "Erased people among themselves, before", NEITHER),
    (r"erased_alike_after", "Erased people among themselves, after", NEITHER),
    (r"erased_front_before", "Erased person, before, from the front", NEITHER),
    (r"erased_front_after", "Erased person, after, from the front", LOWER),
    (r"erased_front_change", "Erased person, before against after, from the front", LOWER),
    (r"erased_worst_view_after", "Erased person, after, in the view that shows them best", LOWER),
    (r"others_before", "Other pictures of the person, before", NEITHER),
    (r"others_after", "Other pictures of the person, after", LOWER),
    (r"others_change", "Other pictures, before against after (ID others)", LOWER),
    (r"bystanders_before", "Bystanders, before", NEITHER),
    (r"bystanders_after", "Bystanders, after", HIGHER),
    (r"bystanders_change", "Bystanders, before against after", HIGHER),
    (r"(others|bystanders)_front_before", "From the front, before: {}", NEITHER),
    (r"others_front_(after|change)", "From the front, other pictures: {}", LOWER),
    (r"bystanders_front_(after|change)", "From the front, bystanders: {}", HIGHER),
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
    (r"frechet_(.+)_floor", "Fréchet distance ({}), two halves before: chance", NEITHER),
    (r"frechet_(.+)", "Fréchet distance ({}), before against after", LOWER),
    (r"kid_(.+)_floor", "Kernel distance ({}), two halves before: chance", NEITHER),
    (r"kid_(.+)", "Kernel distance ({}), before against after", LOWER),
    (r"preserved_distance", "Random people: perceptual distance", LOWER),
    (r"preserved_identity", "Random people: similarity before against after", HIGHER),
    (r"preserved_identity_worst", "Random people: the one who changed most", HIGHER),
)


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
        if not name.startswith("n_"):
            rank, title, direction = _words(name)
            lines.append((rank, Number(name, title, _text(value), direction, _count(name, metrics))))
    return [line for _, line in sorted(lines, key=lambda pair: pair[0])]


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
    floor = "_floor" if name.endswith("_floor") else ""
    stem = re.sub(r"(_front|_worst_view)?_(before|after|change|distance|identity|level).*", "", name)
    stem = "geometry" if name in ("depth_change_bystanders", "depth_between_bystanders") else stem
    stem = "distribution" + floor if name.startswith(("frechet_", "kid_")) else stem
    count = None if name.endswith("_level") else metrics.get(f"n_{stem}")
    return "" if count is None else f"{count:.0f}"
