"""How far a method gets with one person, and what others pay: the frontier, person by person.

``python benchmarks/frontier.py FOLDER --methods guide,lethe`` (five minutes a case; the same command goes on where it
was stopped) and, for a curve, ``--set loss.lethe-keep.weight=8`` beside it, in the same folder.

On the bundled world: one picture is erased, the person's three others judge. Bystanders are all four pictures of the
nine other shipped people, inverted, before against after; random people are drawn. The settings of ``lethe`` were
found on people 07 and 00, so ``--people`` leaves these out. W: the first of 60 steps of a search from the erased
latent, and of one from the mean face, at which the judge recognises the person. Readings and the difference search
have no photo; what they find is compared with the person's four pictures.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from unlearnkit.attacks.difference import DifferenceSearch, read_directions
from unlearnkit.attacks.reinversion import ReinversionW
from unlearnkit.config import Settings, merge, nest, parse_set, resolve
from unlearnkit.files.atomic import write_bytes
from unlearnkit.files.plain import json_bytes
from unlearnkit.interfaces import Case, Generator
from unlearnkit.metrics.gallery import front_images, similarity
from unlearnkit.numbers import Levels
from unlearnkit.plugins import registry
from unlearnkit.results.statistics import half_width
from unlearnkit.workflows.experiment import Experiment, load

PICTURES = Path(__file__).parents[1] / "plugins" / "demo" / "unlearnkit_demo" / "pictures"
UNSEEN = "01,02,03,04,05,06,08,09"
W_STEPS, DIFFERENCE_STEPS, RANDOM = 60, 20, 100


def settings_of(person: str, method: str, generator: str, sets: Sequence[str]) -> Settings:
    """Those of a run that erases the first picture of a shipped person."""
    mine = sorted(PICTURES.glob(f"person_{person}_*.png"))
    others = sorted(set(PICTURES.glob("person_*.png")) - set(mine))
    given = {
        "method.name": method, "generator.name": generator, "request.name": person, "request.random_bystanders": 0,
        "request.images": [str(path) for path in mine], "request.bystanders": [str(path) for path in others],
    }
    return resolve(merge(nest(given), nest(dict(map(parse_set, sets)))), registry())


def embedded(experiment: Experiment, generator: Generator, latents: Tensor) -> Tensor:
    """The judge's embeddings of what a generator shows from the front ``(N, D)``."""
    with torch.no_grad():
        return torch.cat([experiment.parts.judge.embed(part) for part in front_images(generator, latents).split(8)])


def changed(experiment: Experiment, latents: Tensor) -> Tensor:
    """Similarity before to after ``(N,)``."""
    before, after = (embedded(experiment, g, latents) for g in (experiment.frozen, experiment.edited))
    return similarity(before, after)


def measure(experiment: Experiment) -> dict[str, Any]:
    """The row of one case, without what it cost."""
    evidence, person = experiment.evidence, experiment.request.people[0]
    assert person.pictures is not None
    with torch.no_grad():
        known = experiment.parts.judge.embed(person.pictures)
    own = similarity(embedded(experiment, experiment.edited, person.latents), known).tolist()
    bystanders = changed(experiment, torch.cat([one.latents for one in experiment.request.bystanders]))
    random = changed(experiment, evidence.random_latents(RANDOM, evidence.stream("lab")))
    return {
        "erased": own[0], "others": fmean(own[1:]), "worst": max(own[1:]), "bystanders": float(bystanders.mean()),
        "bystanders_worst": float(bystanders.min()), "random": float(random.mean()), **attacked(experiment, known),
    }


def attacked(experiment: Experiment, known: Tensor) -> dict[str, Any]:
    """What three attackers find, see the head of this file."""
    evidence, person, levels = experiment.evidence, experiment.request.people[0], experiment.parts.judge.levels() or {}
    border = Levels(levels.get("strangers"), levels.get("same_person"), levels.get("border")).border
    assert border is not None, "the bundled judge knows its levels"
    case = Case(evidence, person, experiment.targets[:1], experiment.parts.identity, border)
    directions, mean = read_directions(experiment.frozen, experiment.edited), experiment.frozen.w_avg
    drawn = evidence.random_latents(50, evidence.stream("r"))
    radius = 0.7 * (drawn - mean).norm(dim=2).mean()
    read = torch.cat([mean + sign * radius * directions[:, None] for sign in (1, -1)])
    found = (embedded(experiment, experiment.frozen, read) @ known.T).mean(1)
    search = DifferenceSearch(steps=DIFFERENCE_STEPS).attack(case).edited
    inverted = ReinversionW(steps=W_STEPS).attack(case).edited
    first = next((effort for effort, likeness in inverted.points if likeness >= border), None)
    return {"w": first, "w_best": inverted.points[-1][1], "read": float(found.max()),
            "difference_search": search.points[-1][1]}


def row_of(person: str, method: str, generator: str, sets: Sequence[str]) -> dict[str, Any]:
    """Erase and measure."""
    experiment = load(settings_of(person, method, generator, sets))
    experiment.find_people()
    began = time.monotonic()
    experiment.unlearn()
    seconds = time.monotonic() - began
    return {"generator": generator, "person": person, "method": method, "sets": list(sets), "seconds": seconds,
            **measure(experiment)}


# ---------------------------------------------------------------- the table

COLUMNS = {"erased": "erased", "others": "other pictures", "bystanders": "bystanders", "random": "random people",
           "read": "read", "difference_search": "difference search", "seconds": "seconds"}


def interval(values: Sequence[float], digits: int = 2) -> str:
    """``0.93 [0.91, 0.95]``: the mean and Student's 95 % interval; the mean alone of one value."""
    mean, half = fmean(values), half_width(values)
    if half is None:
        return f"{mean:.{digits}f}"
    return f"{mean:.{digits}f} [{mean - half:.{digits}f}, {mean + half:.{digits}f}]"


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown: a line for each generator, method and settings, over its people."""
    head = ["method", "people", *COLUMNS.values(), "worst other picture", "found in W"]
    lines = [f"| {' | '.join(head)} |", f"| --- |{' ---: |' * (len(head) - 1)}"]
    for kind in dict.fromkeys((row["generator"], row["method"], *row["sets"]) for row in rows):
        of = [row for row in rows if (row["generator"], row["method"], *row["sets"]) == kind]
        cells = [interval([row[name] for row in of], 0 if name == "seconds" else 2) for name in COLUMNS]
        found = sorted(row["w"] for row in of if row["w"] is not None)
        within = f"{len(found)} of {len(of)}" + (f" ({', '.join(map(str, found))})" if found else "")
        worst = max(row["worst"] for row in of)
        lines.append(f"| {' '.join(kind)} | {len(of)} | {' | '.join(cells)} | {worst:.2f} | {within} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what is missing in the folder, then print the table of all that is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a JSON file for each case")
    parser.add_argument("--methods", default="", help="names, separated by commas; none: only the table")
    parser.add_argument("--people", default=UNSEEN, help=f"numbers, separated by commas (default: {UNSEEN})")
    parser.add_argument("--generator", default="stylegan2", help="stylegan2 (default) or eg3d")
    parser.add_argument("--set", dest="sets", action="append", default=[], help="SECTION.FIELD=VALUE")
    parser.add_argument("--out", type=Path, help="write all rows to this JSON file")
    given = parser.parse_args(arguments)
    given.folder.mkdir(parents=True, exist_ok=True)
    for method in filter(None, given.methods.split(",")):
        for person in given.people.split(","):
            name = "_".join([given.generator, method, person, *given.sets]).replace("/", "-")
            path = given.folder / f"{name}.json"
            if not path.exists():
                row = row_of(person, method, given.generator, given.sets)
                write_bytes(path, json_bytes(row))
                print(f"{method} {person}: others {row['others']:.2f}, bystanders {row['bystanders']:.2f}", flush=True)
    rows = [json.loads(path.read_text()) for path in sorted(given.folder.glob("*.json"))]
    print(table(rows))
    if given.out is not None:
        write_bytes(given.out, json_bytes(rows))


if __name__ == "__main__":
    main()
