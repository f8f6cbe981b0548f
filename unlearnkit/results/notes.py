"""What a reader of a comparison must know: where its numbers were not made alike. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from unlearnkit.numbers import levels
from unlearnkit.results.schema import CHECKPOINT, RUN, Result

__all__ = ["machines", "notes"]


def notes(results: Sequence[Result]) -> tuple[str, ...]:
    """One sentence for each difference between ``results`` of one generator that keeps their numbers from comparing."""
    runs, bench = ([r for r in results if (r.profile == RUN) is ordinary] for ordinary in (True, False))
    budgets = {str(result.budget) for result in bench}
    found = [f"Different budgets are mixed: {'; '.join(sorted(budgets))}."] if len(budgets) > 1 else []
    if len({run.budget.steps for run in runs}) > 1:
        found.append("These runs took different numbers of steps, see the column.")
    checks: tuple[tuple[str, Callable[[Result], str]], ...] = (
        ("Runs estimated from different numbers of pictures ({}): distances between distributions do not compare.",
         lambda run: str(run.budget.samples) if run.profile == RUN else ""),
        ("Runs edited different checkpoints ({}).", lambda run: run.versions.get(CHECKPOINT, "")),
        ("Different networks judged ({}): similarities do not compare.", _judge),
        ("Times are from different machines ({}).", _machine),
    )
    for sentence, read in checks:
        values = {value for result in results if (value := read(result))}
        if len(values) > 1:
            found.append(sentence.format("; ".join(sorted(values))))
    return (*found, *_judges(results), *_attacks(results))


def _judge(result: Result) -> str:
    table = result.settings.get("judge")
    return str(table.get("name", "")) if isinstance(table, dict) else ""


def _judges(results: Sequence[Result]) -> list[str]:
    """Where a second judge says otherwise than the judge whether an erased person is still recognised."""
    judged = [(result, *sides) for result in results if None not in (sides := _recognised(result))]
    if not judged:
        return []
    split = {"the judge": [r.method for r, first, second in judged if first and not second],
             "the second judge": [r.method for r, first, second in judged if second and not first]}
    alone = [f"{who} alone recognises {len(methods)} ({_counted(methods)})"
             for who, methods in split.items() if methods]
    where = f" whether the erased latent is recognised: {'; '.join(alone)}" if alone else ""
    return [f"Two judges disagree on {sum(map(len, split.values()))} of {len(judged)} cases{where}."]


def _recognised(result: Result) -> tuple[bool | None, bool | None]:
    """Whether the erased latent lies above the border of the judge, and of the second judge; None where unknown."""
    numbers = result.metrics
    second = {name.removeprefix("second_"): value for name, value in numbers.items() if name.startswith("second_")}
    found = [None if (border := levels(side).border) is None or (value := side.get("erased_after")) is None
             else value >= border for side in (numbers, second)]
    return found[0], found[1]


def _counted(methods: Sequence[str]) -> str:
    return ", ".join(f"{name} {methods.count(name)}" for name in sorted(set(methods)))


def machines(results: Sequence[Result]) -> tuple[str, ...]:
    """What the times of ``results`` were taken on: processor, device, threads, kernels and instruction set."""
    return tuple(sorted({_machine(result) for result in results}))


def _machine(result: Result) -> str:
    found = result.hardware
    kernels = f", kernels: {found.kernels}" if found.kernels else ""
    instructions = f", {found.instructions}" if found.instructions else ""
    return f"{found.cpu}, {found.device}, threads: {found.threads}{kernels}{instructions}"


def _attacks(results: Sequence[Result]) -> list[str]:
    budgets: dict[str, set[int]] = {}
    for result in results:
        for name, attack in (result.audit or {}).items():
            budgets.setdefault(name, set()).add(attack.budget)
    return [f"The attack {name} was granted different budgets ({', '.join(map(str, sorted(found)))})."
            for name, found in sorted(budgets.items()) if len(found) > 1]
