"""All cases of a bench: what is done, what is left and how long it takes; and running what is left."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import attrs

from unlearnkit.bench.cases import Case, cases, check_same, finished
from unlearnkit.bench.estimate import Estimate, about
from unlearnkit.bench.profiles import Profile
from unlearnkit.bench.tuned import USER, Tuned, read_tuned
from unlearnkit.bench.tuning import trial_folder, trials
from unlearnkit.errors import ConfigError, one_line
from unlearnkit.results import Result, read_results, write_result

__all__ = ["Bug", "Plan", "Task", "adopt", "bench_plan", "parse_part", "run_plan", "tuning_plan"]


@attrs.frozen
class Task:
    """One case, and the folder of results that it belongs to."""

    case: Case
    folder: Path

    @property
    def person(self) -> str:
        """Whom it is about, and with which seed: all methods of these are done together."""
        case = self.case
        return f"{case.generator}.{case.scenario}.{case.identity.name}.{case.seed}"

    @property
    def title(self) -> str:
        """Method, person and, where there are several, seed."""
        case = self.case
        where = f"{case.generator} {case.scenario}"
        return f"{case.method} ({where}, {case.identity.name}{f', seed {case.seed}' if case.profile.seeds > 1 else ''})"


@attrs.frozen
class Bug:
    """A case that ended in an exception that no plugin should raise; nothing was recorded."""

    task: Task
    error: Exception

    def __str__(self) -> str:
        return f"{self.task.title}: {one_line(self.error)}"


@attrs.frozen
class Plan:
    """What a bench does: all its ``tasks``, and the results of those that were ``done`` before, by place."""

    tasks: tuple[Task, ...]
    done: dict[int, Result]

    @property
    def todo(self) -> tuple[Task, ...]:
        """Those that are left."""
        return tuple(task for place, task in enumerate(self.tasks) if place not in self.done)

    def estimate(self) -> Estimate:
        """How long cases take, by what is done already."""
        found = Estimate()
        for place, result in self.done.items():
            found.learn(self.tasks[place].case, result)
        return found

    def seconds(self) -> float:
        """How long all that is left will take."""
        return self.estimate().left([task.case for task in self.todo])

    def sentences(self) -> list[str]:
        """How many cases, what is done, how long the rest takes, and which methods were never tuned."""
        everything = [task.case for task in self.tasks]
        methods = {case.method for case in everything}
        people = {(case.scenario, case.identity.name) for case in everything}
        where = ", ".join(dict.fromkeys(f"{case.generator} {case.scenario}" for case in everything))
        done = f"{len(self.done)} done before, " if self.done else ""
        left = f"{_count(len(self.todo), 'case')} to do: {about(self.seconds())}" if self.todo else "nothing to do"
        found = [f"{_count(len(everything), 'case')}: {_count(len(methods), 'method')}, "
                 f"{_count(len(people), 'person', 'people')} ({where}); {done}{left}"]
        if not everything[0].profile.tunes and (untuned := self._untuned()):
            found.append(f"never tuned: {', '.join(untuned)}. 'unlearnkit compare' does not put untuned methods beside "
                         f"tuned ones; tune first: unlearnkit bench {_option(everything[0].profile)}--tune "
                         f"{','.join(untuned)}")
        return found

    def _untuned(self) -> list[str]:
        return sorted({task.case.method for task in self.tasks if task.case.tuned == Tuned()})


def bench_plan(
    profile: Profile, folder: Path, methods: Sequence[str] = (), *, part: tuple[int, int] = (1, 1),
    again: bool = False, tuned: Path = USER,
) -> Plan:
    """Every case of a profile, with what tuning chose; for ``part`` I of N only those of every N-th person.

    :raises RunError: if the folder has a case that was made otherwise, unless it is to be done ``again``.
    """
    found = cases(profile, methods, read_tuned(tuned))
    return _plan([Task(case, folder) for case in found], part, again)


def tuning_plan(
    profile: Profile, folder: Path, methods: Sequence[str] = (), *, part: tuple[int, int] = (1, 1),
    again: bool = False,
) -> Plan:
    """Every trial of the methods; each number of a trial has a folder of results of its own."""
    found = trials(cases(profile, methods))
    return _plan([Task(case, trial_folder(folder, number)) for number, case in found], part, again)


def _plan(tasks: list[Task], part: tuple[int, int], again: bool) -> Plan:
    mine = _part(tasks, part)
    if mine[0].case.profile.overrides:
        for task in {task.case.method: task for task in mine}.values():
            task.case.settings()  # a mistake of the user's is an error at once, not a result of every case
    if mine[0].case.identity.drawn:
        _check_files(mine[0].case)
    if again:
        return Plan(mine, {})
    known = {place: finished(task.folder, task.case) for place, task in enumerate(mine)}
    return Plan(mine, {place: result for place, result in known.items() if result is not None})


def _part(tasks: list[Task], part: tuple[int, int]) -> tuple[Task, ...]:
    """What part I of N does: whole people, since what is found of one serves all methods; cases if people are few."""
    people = {person: place for place, person in enumerate(dict.fromkeys(task.person for task in tasks))}
    places = [people[task.person] for task in tasks] if part[1] <= len(people) else range(len(tasks))
    mine = tuple(task for task, place in zip(tasks, places, strict=True) if place % part[1] == part[0] - 1)
    if not mine:
        raise ConfigError(f"part {part[0]} of {part[1]} has no case: there are only {len(tasks)}")
    return mine


def adopt(plan: Plan, file: Path) -> Plan:
    """The plan, with results of a merged ``file`` put into its folder where they are of cases that are left.

    Their pictures stay behind. So a bench goes on that another machine began.

    :raises RunError: if a case was made otherwise there.
    """
    known = {found.result.id: found for found in read_results([file])}
    new = {
        place: attrs.evolve(check_same(known[task.case.id], task.case, "leave it out of --known"), pictures={})
        for place, task in enumerate(plan.tasks) if place not in plan.done and task.case.id in known
    }
    for place, result in new.items():
        write_result(plan.tasks[place].folder, result)
    return Plan(plan.tasks, {**plan.done, **new})


def _check_files(case: Case) -> None:
    """Refuse what was not fetched at once: otherwise every case would end in the same error, as its result.

    :raises UnlearnkitError: naming the first file or package that is missing.
    """
    chosen = case.settings().chosen()
    for section in ("generator", "identity", "judge", "perceptual", "inverter"):
        if section in chosen:
            chosen[section].component.check()


def run_plan(
    plan: Plan, started: Callable[[Task], None] = lambda task: None,
    ended: Callable[[Task, Result, float], None] = lambda task, result, left: None,
) -> list[Bug]:
    """Do what is left, and write each result as soon as it is there; exceptions are gathered, the others go on.

    ``ended`` gets the task, its result, and how many seconds the rest will take.
    """
    from unlearnkit.bench.running import run_case

    estimate, bugs, todo = plan.estimate(), [], plan.todo
    for place, task in enumerate(todo):
        started(task)
        try:
            result, pictures = run_case(task.case)
        except Exception as error:  # whatever somebody's method raises
            bugs.append(Bug(task, error))
            continue
        write_result(task.folder, result, pictures)
        estimate.learn(task.case, result)
        ended(task, result, estimate.left([later.case for later in todo[place + 1:]], task.case))
    return bugs


def parse_part(text: str) -> tuple[int, int]:
    """``1/2``: the first of two parts.

    :raises ConfigError: if it is not that.
    """
    part, _, parts = text.partition("/")
    if not (part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)):
        raise ConfigError(f"part: got {text!r}, expected I/N with 1 ≤ I ≤ N, such as 1/2")
    return int(part), int(parts)


def _option(profile: Profile) -> str:
    """The option of ``unlearnkit bench`` that chooses the profile whose people this one's methods are tuned on."""
    return "--photoreal " if profile.name == "photoreal" else ""


def _count(number: int, word: str, several: str = "") -> str:
    return f"{number} {word if number == 1 else several or f'{word}s'}"
