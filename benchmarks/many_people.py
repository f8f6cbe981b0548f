"""Two hundred requests: one after another, and ten or fifty together. Which methods hold?

``python benchmarks/many_people.py FOLDER --methods closed-form,guide --out many_people.json`` (hours; the same command
goes on where it was stopped)

*One after another*: each person is erased from the generator that the last edit left, as ``run --base`` does. After 1,
10, 50, 100 and 200 people everybody is measured again: the ledger. *Together*: one run erases all of them.

People are drawn from seeds, with the bundled StyleGAN2 and the settings that the bench tuned for one person. Bystanders
are the six pictures of others that the bench takes, inverted. Random people are the same for all methods, and others
for every number of people.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import Tensor

from unlearnkit.bench.profiles import FULL
from unlearnkit.bench.scenarios import identities
from unlearnkit.bench.tuned import read_tuned, tuned_for
from unlearnkit.config import Settings, merge, nest, resolve
from unlearnkit.edits.chain import open_chain
from unlearnkit.edits.file import put_on
from unlearnkit.files.atomic import write_bytes
from unlearnkit.files.plain import json_bytes
from unlearnkit.interfaces import Evidence, Generator, Person, Request
from unlearnkit.metrics.gallery import Gallery, similarity
from unlearnkit.metrics.measuring import measured
from unlearnkit.numbers import Levels
from unlearnkit.plugins import registry
from unlearnkit.workflows.experiment import Experiment, load

GENERATOR, FIRST_SEED, SAMPLES = "stylegan2", 5000, 200
MILESTONES, TOGETHER = (1, 10, 50, 100, 200), (10, 50)


@attrs.frozen
class Plan:
    """What is done with one method; its edits and rows lie in ``folder``."""

    method: str
    folder: Path
    milestones: tuple[int, ...] = MILESTONES
    together: tuple[int, ...] = TOGETHER
    samples: int = SAMPLES
    steps: int = FULL.steps[GENERATOR]

    def settings(self, first: int, last: int, *, bystanders: bool = False) -> Settings:
        """Those of a run that erases people number ``first`` to ``last``, from 1."""
        chosen = [{"name": f"person {number}", "latent_seed": FIRST_SEED + number} for number in range(first, last + 1)]
        options = attrs.fields_dict(registry().component_class("method", self.method))
        (somebody,) = identities("random", GENERATOR, 1)
        pictures = somebody.request["bystanders"] if bystanders else []
        table: dict[str, Any] = {
            "method": {"name": self.method} | ({"steps": self.steps} if "steps" in options else {}),
            "generator": {"name": GENERATOR}, "metrics": {"samples": self.samples, "names": ["distribution"]},
            "request": {"people": chosen, "bystanders": pictures, "random_bystanders": 0},
        }
        tuned = tuned_for(read_tuned(), GENERATOR, self.method).settings
        return resolve(merge(table, nest(dict(tuned))), registry())

    def edit(self, way: str, number: int) -> Path:
        """The edit after that many people."""
        return self.folder / f"{way}_{number:04d}.safetensors"


@attrs.define
class Meter:
    """Holds an edited generator against the original, with everybody who was erased."""

    plan: Plan

    @cached_property
    def experiment(self) -> Experiment:
        """The original generator, the judge, and bystanders, whose pictures are inverted once."""
        found = load(self.plan.settings(1, 1, bystanders=True))
        found.find_people()
        return found

    def measure(self, edit: Path, number: int) -> dict[str, Any]:
        """How everybody who was erased, bystanders and random people look after ``number`` people."""
        around = self.experiment
        edited = load(self.plan.settings(1, 1), measures=False).edited
        put_on(edited, edit)
        erased = people(around.frozen, number)
        evidence = Evidence(
            around.frozen, edited, Request(erased, around.request.bystanders), around.parts.judge,
            around.parts.perceptual, around.settings.seed + number, self.plan.samples,
        )
        gallery = Gallery.of(evidence)
        known = gallery.look(torch.cat([person.latents for person in erased]))
        others = [gallery.faces(person) for person in evidence.request.bystanders]
        scale = around.parts.judge.levels() or {}
        border = Levels(scale.get("strangers"), scale.get("same_person"), scale.get("border")).border
        after = similarity(known.reference, known.after).mean(1)
        return {
            "erased": summary(after), "recognised": None if border is None else int((after >= border).sum()),
            "bystanders": summary(torch.cat([similarity(one.before, one.after).mean(1) for one in others])),
            "random": summary(gallery.sample.identity), **measured(around.parts.metrics, evidence),
        }


def people(generator: Generator, number: int) -> tuple[Person, ...]:
    """The first ``number`` people, by their seeds."""
    from unlearnkit.people.latent_files import person_of_seed

    return tuple(Person(f"person {one}", person_of_seed(generator, FIRST_SEED + one)) for one in range(1, number + 1))


def summary(values: Tensor) -> dict[str, float]:
    """Mean and both ends of similarities."""
    return {"mean": round(float(values.mean()), 4), "least": round(float(values.min()), 4),
            "most": round(float(values.max()), 4)}


# ---------------------------------------------------------------- erasing

def one_after_another(plan: Plan) -> Iterator[tuple[int, Path]]:
    """Number and edit of each milestone; edits between milestones are removed once they were built upon."""
    made = [number for number in range(1, plan.milestones[-1] + 1) if plan.edit("one_by_one", number).exists()]
    last = max(made, default=0)
    yield from ((number, plan.edit("one_by_one", number)) for number in made if number in plan.milestones)
    for number in range(last + 1, plan.milestones[-1] + 1):
        before, edit = plan.edit("one_by_one", number - 1), plan.edit("one_by_one", number)
        erase(plan.settings(number, number), edit, before if number > 1 else None)
        if number - 1 not in plan.milestones:
            before.unlink(missing_ok=True)
        if number in plan.milestones:
            yield number, edit


def all_together(plan: Plan) -> Iterator[tuple[int, Path]]:
    """Number and edit of each number of people who are erased at once."""
    for number in plan.together:
        edit = plan.edit("together", number)
        if not edit.exists():
            erase(plan.settings(1, number), edit, None)
        yield number, edit


def erase(settings: Settings, edit: Path, base: Path | None) -> None:
    """Erase the people of the settings, from the generator that the edit ``base`` gives.

    The seconds of the method are noted before the edit is written: an edit that is there is never made again.
    """
    experiment = load(settings, None if base is None else open_chain(base), measures=False)
    experiment.find_people()
    experiment.unlearn()
    known = seconds(edit.parent) | {edit.stem: experiment.seconds["unlearn"]}
    write_bytes(edit.parent / "seconds.json", json_bytes(known))
    experiment.save_edit(edit)


def seconds(folder: Path) -> dict[str, float]:
    """Seconds of the method by edit, of all that were made in a folder, those that are removed again too."""
    file = folder / "seconds.json"
    found: dict[str, float] = json.loads(file.read_text()) if file.exists() else {}
    return found


def spent(plan: Plan, way: str, number: int) -> float:
    """Seconds of the method until that many people were erased."""
    known = seconds(plan.folder)
    return sum(known[plan.edit(way, one).stem] for one in (range(1, number + 1) if way == "one_by_one" else (number,)))


# ---------------------------------------------------------------- the ledger

def ledger(plan: Plan) -> list[dict[str, Any]]:
    """A row for every milestone, one after another and together; each is written as soon as it is measured."""
    rows, file = read_rows(plan), plan.folder / "rows.json"
    known = {(row["way"], row["people"]) for row in rows}
    meter = Meter(plan)
    for way, found in (("one_by_one", one_after_another(plan)), ("together", all_together(plan))):
        for number, edit in found:
            if (way, number) not in known:
                row = {"method": plan.method, "way": way, "people": number,
                       "seconds": round(spent(plan, way, number), 1),
                       **meter.measure(edit, number)}
                rows.append(row)
                write_bytes(file, json_bytes(rows, indent=1))
                print(line(row), time.strftime("%H:%M:%S"), flush=True)
    return rows


def read_rows(plan: Plan) -> list[dict[str, Any]]:
    """What is measured already."""
    file = plan.folder / "rows.json"
    return json.loads(file.read_text()) if file.exists() else []


def line(row: dict[str, Any]) -> str:
    """A row of the table, in Markdown."""
    ends = [f"{row[who]['mean']:.2f} ({row[who][worst]:.2f})"
            for who, worst in (("erased", "most"), ("bystanders", "least"), ("random", "least"))]
    distance = next(value for name, value in row.items()
                    if name.startswith("frechet_") and not name.endswith(("_unpaired", "_floor")))
    way = "one after another" if row["way"] == "one_by_one" else "together"
    recognised = "unknown" if row["recognised"] is None else f"{row['recognised']} of {row['people']}"
    return f"| {row['method']} | {way} | {row['people']} | {recognised} | {' | '.join(ends)} | {distance:.3g} |"


HEAD = """| method | way | people | still recognised | erased ↓ | bystanders ↑ | random people ↑ | Fréchet distance ↓ |
| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |"""
"""Of the three in the middle the judge's similarity before to after: mean and, in brackets, the worst."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what is left, print the table, and with ``--out`` write the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--methods", default="closed-form", help="names, separated by commas")
    for name, default in (("milestones", MILESTONES), ("together", TOGETHER)):
        parser.add_argument(f"--{name}", default=",".join(map(str, default)), help="numbers of people, rising")
    parser.add_argument("--samples", type=int, default=SAMPLES, help="random people in each measurement")
    parser.add_argument("--steps", type=int, default=FULL.steps[GENERATOR], help="of each request")
    parser.add_argument("--out", type=Path, help="JSON file for all rows")
    given = parser.parse_args(arguments)
    numbers = {name: tuple(int(text) for text in getattr(given, name).split(",") if text)
               for name in ("milestones", "together")}
    rows = []
    for method in given.methods.split(","):
        # Other numbers of steps or samples are other results.
        folder = given.folder / f"{method}-{given.steps}-steps-{given.samples}-samples"
        folder.mkdir(parents=True, exist_ok=True)
        rows += ledger(Plan(method, folder, samples=given.samples, steps=given.steps, **numbers))
    print("\n".join([HEAD, *map(line, rows)]))
    if given.out is not None:
        write_bytes(given.out, json_bytes(rows, indent=1))


if __name__ == "__main__":
    main()
