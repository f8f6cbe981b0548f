"""Who gets an erased person back, method by method: every attack on every method, from the audits of a bench.

``unlearnkit bench --full --scenarios ind --results runs/bench/audits`` makes them (three people; it goes on where it
was stopped), then ``python benchmarks/audits.py runs/bench/audits --out audits.json`` prints the table and writes its
numbers.

A cell says of how many people the edit was undone, and with what median effort: the judge recognised the person, and
where the attack asks who was erased, it named them first of all candidates.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from statistics import median_low
from typing import Any

from unlearnkit.files.atomic import write_new
from unlearnkit.results import AttackResult, read_results


def undone(found: AttackResult) -> bool:
    """True if this attack brought the person back, or named them."""
    return found.numbers["effort_to_recognise"] is not None and found.numbers.get("place", 1.0) == 1.0


def cell(found: Sequence[AttackResult]) -> dict[str, Any]:
    """Of ``people`` who were attacked the number ``undone``, their median ``effort``; the mean ``best`` likeness."""
    efforts = [int(one.numbers["effort_to_recognise"] or 0) for one in found if undone(one)]
    best = [float(one.numbers["best"] or 0.0) for one in found]
    return {"people": len(found), "undone": len(efforts), "effort": median_low(efforts) if efforts else None,
            "best": round(sum(best) / len(best), 3), "unit": found[0].unit, "budget": found[0].budget}


def cells(folder: Path, generator: str) -> dict[str, dict[str, dict[str, Any]]]:
    """A :func:`cell` by method and attack, of the results of one generator that have an audit."""
    results = [found.result for found in read_results([folder])
               if found.result.generator == generator and found.result.audit]
    methods = sorted({result.method for result in results})
    attacks = sorted({name for result in results for name in result.audit or {}})
    return {method: {attack: cell([result.audit[attack] for result in results
                                   if result.method == method and result.audit and attack in result.audit])
                     for attack in attacks} for method in methods}


def table(numbers: dict[str, dict[str, dict[str, Any]]]) -> str:
    """Markdown: a row for each attack, a column for each method."""
    methods = list(numbers)
    attacks = list(next(iter(numbers.values()))) if numbers else []
    rows = [f"| attack | {' | '.join(methods)} |", f"| --- |{' ---: |' * len(methods)}"]
    for attack in attacks:
        row = [numbers[method][attack] for method in methods]
        texts = [f"{one['undone']} of {one['people']}" + ("" if one["effort"] is None else f" ({one['effort']})")
                 for one in row]
        rows.append(f"| {attack} ({row[0]['unit']}, {row[0]['budget']}) | {' | '.join(texts)} |")
    return "\n".join(rows)


def main() -> None:
    """Print a table for each generator; with ``--out``, write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="folder of results of a bench")
    parser.add_argument("--out", type=Path, help="new JSON file for the numbers")
    arguments = parser.parse_args()
    found = {name: cells(arguments.results, name) for name in ("stylegan2", "eg3d")}
    for name, numbers in found.items():
        if numbers:
            print(f"### {name}\n\n{table(numbers)}\n")
    if arguments.out is not None:
        write_new(arguments.out, f"{json.dumps(found, indent=1)}\n".encode())


if __name__ == "__main__":
    main()
