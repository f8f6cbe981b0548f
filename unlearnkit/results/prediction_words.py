"""What one world says of another, in words: a sentence for each column, and tables. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from unlearnkit.results.prediction import Pair, Prediction, World

__all__ = ["markdown", "plain", "print_predictions", "sentences"]

LEGEND = (
    "Spearman's rank correlation of the methods' means, with its 95 % interval (bootstrap over people of both worlds). "
    "It holds if the interval lies above 0.5, in part if above 0, and does not hold if it includes 0 and lies below "
    "0.5. Pairs: of those methods that the first world tells apart (paired t-test, Holm's correction, 5 %), how many "
    "the second tells apart the same way (stand), not at all (open), or the other way round (fall)."
)
_VERDICTS = ("holds", "holds in part", "cannot be told", "does not hold", "is turned round")
_HEAD = ("column", "correlation", "methods", "people", "stand", "open", "fall", "verdict")


def sentences(found: Sequence[Prediction], first: World, second: World) -> list[str]:
    """The answer, then which order is lost where, and every statement about a pair that falls."""
    whole = [prediction for prediction in found if prediction.scenarios == found[0].scenarios]
    said = [f"{', '.join(p.title for p in whole if p.verdict == verdict)}: {verdict}"
            for verdict in _VERDICTS if any(p.verdict == verdict for p in whole)]
    lines = [f"Does {first.generator} predict {second.generator}? The order of methods, {_where(found[0])}, by column: "
             f"{'; '.join(said)}."]
    stand, open_, fall = (sum(len(getattr(p, kind)) for p in whole) for kind in ("stands", "open", "falls"))
    total = stand + open_ + fall
    if total:
        lines.append(f"Of {total} statements about two methods that {first.generator} makes there, {stand} stand, "
                     f"{open_} are open and {fall} fall.")
    lines += [text for p in whole if (text := _moved(p, first, second))]
    lines += [f"Falls in {p.title}, {_where(p)}: {_pairs(p.falls)}." for p in found if p.falls]
    return lines


def _moved(found: Prediction, first: World, second: World) -> str | None:
    if found.moved is None:
        return None
    name, before, after = found.moved
    return (f"In {found.title}, {name} moves most: place {before:g} of {len(found.methods)} on "
            f"{first.generator}, {after:g} on {second.generator}.")


def _pairs(pairs: Sequence[Pair]) -> str:
    return "; ".join(f"{pair.better} was better than {pair.worse}" for pair in pairs)


def _where(found: Prediction) -> str:
    a, b = found.scenarios
    return a if a == b else f"{a} against {b}"


def _correlation(found: Prediction) -> str:
    text = f"{found.correlation:.2f}"
    return text if found.low is None or found.high is None else f"{text} [{found.low:.2f}, {found.high:.2f}]"


def _row(found: Prediction) -> tuple[str, ...]:
    counts = (len(found.stands), len(found.open), len(found.falls))
    return (found.title, _correlation(found), str(len(found.methods)), "/".join(map(str, found.people)),
            *map(str, counts), found.verdict)


def _by_scenarios(found: Sequence[Prediction]) -> dict[str, list[Prediction]]:
    groups: dict[str, list[Prediction]] = {}
    for prediction in found:
        groups.setdefault(_where(prediction), []).append(prediction)
    return groups


def markdown(found: Sequence[Prediction], first: World, second: World) -> str:
    """A table for each pair of scenarios, then the sentences."""
    parts = []
    for where, predictions in _by_scenarios(found).items():
        lines = [_HEAD, ("---", *["---:"] * 6, "---"), *map(_row, predictions)]
        table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
        parts += [f"### {first.generator} against {second.generator}, {where}", table]
    bullets = "\n".join(f"- {sentence}" for sentence in sentences(found, first, second))
    return "\n\n".join([*parts, LEGEND, bullets]) + "\n"


def print_predictions(found: Sequence[Prediction], first: World, second: World, out: Console) -> None:
    """The same for the terminal."""
    for where, predictions in _by_scenarios(found).items():
        table = Table(title=f"{first.generator} against {second.generator}, {where}", title_justify="left",
                      box=box.SIMPLE_HEAD, pad_edge=False)
        for place, name in enumerate(_HEAD):
            table.add_column(name, justify="right" if 0 < place < len(_HEAD) - 1 else "left", no_wrap=place == 1)
        for prediction in predictions:
            table.add_row(*(text.replace("[", r"\[") for text in _row(prediction)))
        out.print(table)
    for line in (*sentences(found, first, second), LEGEND):
        out.print(line, soft_wrap=True, markup=False)


def plain(found: Sequence[Prediction], first: World, second: World) -> dict[str, Any]:
    """As plain values, for programs to read; see docs/benchmarks.md."""
    return {
        "first": first.generator, "second": second.generator, "sentences": sentences(found, first, second),
        "columns": [{
            "name": p.column.name, "title": p.title, "scenarios": list(p.scenarios),
            "correlation": p.correlation, "low": p.low, "high": p.high,
            "methods": list(p.methods), "people": list(p.people), "verdict": p.verdict,
            "places": {name: list(places) for name, places in p.places.items()},
            **{kind: [[pair.better, pair.worse] for pair in getattr(p, kind)] for kind in ("stands", "open", "falls")},
        } for p in found],
    }
