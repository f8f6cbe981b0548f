"""The short table that a terminal shows at the end of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from unlearnkit.numbers import Number
from unlearnkit.report.earlier import earlier_people
from unlearnkit.report.numbers import (
    NUMBERS_FILE,
    bytes_text,
    flat,
    read_declared,
    seconds_text,
    slugs_of_several,
    value_text,
)
from unlearnkit.report.of_run import run_metrics, run_verdict
from unlearnkit.report.verdict import Verdict, levels, verdict

if TYPE_CHECKING:
    from unlearnkit.runs import Run

__all__ = ["run_table", "sentences", "summary_rows", "summary_table"]

_GROUPS = {"erased": "erased person", "others": "other pictures", "bystanders": "bystanders"}
_STYLES = {"good": "bold green", "mixed": "bold yellow", "bad": "bold red", "unknown": "bold"}


def summary_table(
    metrics: Mapping[str, Any], manifest: Mapping[str, Any], people: Sequence[str] = (),
    declared: Mapping[str, Number] | None = None, result: Verdict | None = None,
) -> Table:
    """Erased people, bystanders, levels, numbers with a short title, time and memory; what is not known is left out.

    ``people`` are the names of those who were erased; ``declared`` is what the metrics declared of their numbers;
    ``result`` is the verdict on a run, where one is there to know more than the numbers do.
    """
    known = {name: value for name, value in flat(metrics).items() if value is not None}
    result = result or verdict(known, manifest, people)
    caption = " ".join(sentences(result))
    table = Table(title=Text(result.answer, _STYLES[result.tone]), caption=Text(caption), caption_justify="left")
    for column in ("", "before", "after"):
        table.add_column(column, justify="left" if not column else "right")
    compared, single = summary_rows(known, manifest, people, declared or {})
    for row in (*compared, *single):
        # As Text, for a name like "[/]" is no markup.
        table.add_row(*map(Text, row), end_section=row is compared[-1] if compared else False)
    return table


def run_table(run: Run) -> Table:
    """The short table of a finished run, from its directory.

    :raises RunError: if a file of it is damaged.
    """
    declared = read_declared(run.read_json(NUMBERS_FILE), str(run.path / NUMBERS_FILE))
    return summary_table(run_metrics(run), run.manifest, run.request.names, declared, run_verdict(run))


def sentences(result: Verdict) -> list[str]:
    """What a verdict says, sentence by sentence."""
    texts = (
        result.person, result.others, result.bystanders, *result.earlier, result.audit, result.caution, result.world)
    return [text for text in texts if text]


def summary_rows(
    known: Mapping[str, float], manifest: Mapping[str, Any], people: Sequence[str], declared: Mapping[str, Number]
) -> tuple[list[tuple[str, str, str]], list[tuple[str, str, str]]]:
    """Rows of title, value before, value after: what is compared, then what has one value only, in the last place."""
    groups = [*_groups(known, slugs_of_several(people)), *_earlier(known, manifest)]
    single = [*_levels(known), *_short_numbers(known, declared), *_costs(manifest)]
    return [(title, f"{before:.2f}", f"{after:.2f}") for title, before, after in groups], [
        (title, "", value) for title, value in single
    ]


def _groups(known: Mapping[str, float], several: Mapping[str, str]) -> Iterator[tuple[str, float, float]]:
    """Each group as a whole, and each of several erased people: title, similarity before and after."""
    for group, title in _GROUPS.items():
        has_views = f"{group}_front_after" in known
        mean = ", mean" if known.get(f"n_{group}", 1) > 1 else ""
        for part, where in (("", f"{mean or ', mean'} of all views" if has_views else mean),
                            ("_front", f"{mean}, from the front")):
            who = "all erased people" if group == "erased" and several else title
            yield from _pair(known, f"{who}{where}", f"{group}{part}")
        for slug, name in several.items() if group == "erased" else ():
            yield from _pair(known, f"  {name}", group, f"_{slug}")


def _pair(known: Mapping[str, float], title: str, name: str, ending: str = "") -> Iterator[tuple[str, float, float]]:
    before, after = known.get(f"{name}_before{ending}"), known.get(f"{name}_after{ending}")
    if before is not None and after is not None:
        yield title, before, after


def _earlier(known: Mapping[str, float], manifest: Mapping[str, Any]) -> Iterator[tuple[str, float, float]]:
    for person in earlier_people(known, manifest):
        yield f"{person.name}, erased earlier", person.then, person.after


def _levels(known: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    scale = levels(known)
    titles = {"two strangers": scale.strangers, "same person": scale.same, "recognised from": scale.border}
    for title, value in titles.items():
        if value is not None:
            yield title, f"{value:.2f}"


def _short_numbers(known: Mapping[str, float], declared: Mapping[str, Number]) -> Iterator[tuple[str, str]]:
    for name, number in declared.items():
        if number.short and name in known:
            beside = known.get(number.reference)
            reference = "" if beside is None else f" (reference {value_text(beside, number.digits)})"
            yield number.short, value_text(known[name], number.digits) + reference


def _costs(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = []
    memory = manifest.get("memory") or {}
    if manifest.get("seconds"):
        rows.append(("time", seconds_text(manifest["seconds"])))
    for key, title in (("peak_bytes", "peak memory"), ("cuda_peak_bytes", "peak GPU memory")):
        if key in memory:
            rows.append((title, bytes_text(memory[key])))
    return rows
