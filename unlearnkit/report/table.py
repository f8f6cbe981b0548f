"""The short table that a terminal shows at the end of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from unlearnkit.report.earlier import earlier_people
from unlearnkit.report.numbers import bytes_text, flat, people, seconds_text
from unlearnkit.report.verdict import verdict

__all__ = ["summary_table"]

_GROUPS = {"erased": "erased person", "others": "other pictures", "bystanders": "bystanders"}
_STYLES = {"good": "bold green", "mixed": "bold yellow", "bad": "bold red", "unknown": "bold"}


def summary_table(metrics: Mapping[str, Any], manifest: Mapping[str, Any]) -> Table:
    """Erased person, others, bystanders, levels, distances, time and memory; the unknown is left out."""
    known = {name: value for name, value in flat(metrics).items() if value is not None}
    result = verdict(known, manifest)
    told = (result.person, result.others, result.bystanders, *result.earlier, result.caution)
    caption = " ".join(text for text in told if text)
    table = Table(title=Text(result.answer, _STYLES[result.tone]), caption=Text(caption), caption_justify="left")
    for column in ("", "before", "after"):
        table.add_column(column, justify="left" if not column else "right")
    for group, title in _GROUPS.items():
        if f"{group}_after" in known:
            turned = f"{group}_front_after" in known
            for suffix, where in (("", ", mean of all views" if turned else ""), ("_front", ", from the front")):
                if f"{group}{suffix}_after" in known:
                    pair = (known[f"{group}{suffix}_{when}"] for when in ("before", "after"))
                    several = ", mean of all" if group == "erased" and people(known) else ""
                    table.add_row(title + several + where, *(f"{value:.2f}" for value in pair))
        for slug in people(known) if group == "erased" else ():
            pair = (known[f"erased_{when}_{slug}"] for when in ("before", "after"))
            table.add_row(f"  {slug.replace('_', ' ')}", *(f"{value:.2f}" for value in pair))
    for person in earlier_people(known, manifest):
        # As Text, for a name like "[/]" is no markup.
        table.add_row(Text(f"{person.name}, erased earlier"), f"{person.then:.2f}", f"{person.after:.2f}")
    table.add_section()
    for title, value in [*_facts(known), *_costs(manifest)]:
        table.add_row(title, "", value)
    return table


def _facts(known: Mapping[str, float]) -> list[tuple[str, str]]:
    rows = []
    for title, names in (("two strangers", ("strangers_level", "strangers")),
                         ("same person", ("same_person_level", "same_person")),
                         ("erased people among themselves, after", ("erased_alike_after",)),
                         ("bystanders, before to after", ("bystanders_change",)),
                         ("random people, before to after", ("preserved_identity",))):
        value = next((known[name] for name in names if name in known), None)
        if value is not None:
            rows.append((title, f"{value:.2f}"))
    if "depth_change_bystanders" in known:
        change, between = known["depth_change_bystanders"], known["depth_between_bystanders"]
        rows.append(("change of bystanders' depth", f"{change:.3f} (two heads {between:.3f})"))
    for name, value in known.items():
        # The paired distance has no floor to be held against: the same latents are alike in the same way.
        if name.startswith("frechet_") and name.endswith("_unpaired"):
            stem = name.removesuffix("_unpaired")
            rows.append((stem.replace("_", " "), f"{value:.3g} (chance {known.get(f'{stem}_floor', 0.0):.3g})"))
    return rows


def _costs(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = []
    memory = manifest.get("memory") or {}
    if manifest.get("seconds"):
        rows.append(("time", seconds_text(manifest["seconds"])))
    for key, title in (("peak_bytes", "peak memory"), ("cuda_peak_bytes", "peak GPU memory")):
        if key in memory:
            rows.append((title, bytes_text(memory[key])))
    return rows
