"""What is left of a bench, how long it takes, and that a bug in one case does not end the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest
from handmade_results import result

from unlearnkit.bench import running
from unlearnkit.bench.cases import cases
from unlearnkit.bench.estimate import Estimate, about, case_seconds
from unlearnkit.bench.plan import Task, adopt, bench_plan, parse_part, run_plan, tuning_plan
from unlearnkit.bench.profiles import FULL, QUICK, TUNE, adjusted
from unlearnkit.bench.tuned import USER
from unlearnkit.errors import ConfigError, RunError
from unlearnkit.results import Budget, Result, merge_results, read_results, write_result

TWO = ("guide", "closed-form")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # where nobody has tuned


def made(task: Task, seconds: float = 5.0) -> Result:
    case = task.case
    return result(case.method, case.identity.name, generator=case.generator, scenario=case.scenario, budget=case.budget,
                  settings={}, seconds={"unlearn": seconds, "invert": 1000.0})


def test_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    plan = bench_plan(QUICK, tmp_path, TWO)
    assert len(plan.todo) == len(plan.tasks) == 4
    write_result(tmp_path, made(plan.tasks[1]))
    later = bench_plan(QUICK, tmp_path, TWO)
    assert list(later.done) == [1] and plan.tasks[1] not in later.todo and len(later.todo) == 3
    sentence = "4 cases: 2 methods, 2 people (stylegan2 ind); 1 done before, 3 cases to do: about"
    assert later.sentences()[0].startswith(sentence)
    assert len(bench_plan(QUICK, tmp_path, TWO, again=True).todo) == 4


def test_parts_share_the_cases(tmp_path: Path) -> None:
    parts = [bench_plan(QUICK, tmp_path, TWO, part=(number, 2)).tasks for number in (1, 2)]
    assert {task.case.id for part in parts for task in part} == {case.id for case in cases(QUICK, TWO)}
    assert not {task.case.id for task in parts[0]} & {task.case.id for task in parts[1]}
    people = [{task.person for task in part} for part in parts]
    assert [len(part) for part in people] == [1, 1] and people[0] != people[1]
    more = [bench_plan(QUICK, tmp_path, TWO, part=(number, 4)).tasks for number in range(1, 5)]
    assert [len(part) for part in more] == [1, 1, 1, 1]
    with pytest.raises(ConfigError, match="there are only 4"):
        bench_plan(QUICK, tmp_path, TWO, part=(9, 9))
    assert parse_part("2/3") == (2, 3)
    for text in ("", "0/2", "3/2", "a/b", "1", "1/2/3", "-1/2", "²/3"):
        with pytest.raises(ConfigError, match="expected I/N"):
            parse_part(text)


def test_a_bench_goes_on_that_another_machine_began(tmp_path: Path) -> None:
    plan = bench_plan(QUICK, tmp_path / "here", TWO)
    there = [write_result(tmp_path / "there", made(task), {"before": b"png"}) for task in plan.tasks[:3]]
    merge_results(tmp_path / "merged.json", read_results(there))
    write_result(tmp_path / "here", own := made(plan.tasks[0], seconds=9.0))
    later = adopt(bench_plan(QUICK, tmp_path / "here", TWO), tmp_path / "merged.json")
    assert sorted(later.done) == [0, 1, 2] and later.todo == (plan.tasks[3],)
    assert later.done[0] == own  # what is here stays
    assert bench_plan(QUICK, tmp_path / "here", TWO).done == later.done
    assert not (tmp_path / "here" / "pictures").exists()


def test_what_was_made_otherwise_is_not_known(tmp_path: Path) -> None:
    plan = bench_plan(QUICK, tmp_path / "here", TWO)
    other = attrs.evolve(made(plan.tasks[1]), budget=Budget(99, 4, 40))
    there = [write_result(tmp_path / "there", result) for result in (made(plan.tasks[0]), other)]
    merge_results(tmp_path / "merged.json", read_results(there))
    with pytest.raises(RunError, match=r"merged.json is of the profile quick .*99.*leave it out of --known"):
        adopt(plan, tmp_path / "merged.json")
    assert not (tmp_path / "here").exists()


def test_trials_have_folders_of_their_own(tmp_path: Path) -> None:
    plan = tuning_plan(TUNE, tmp_path, ("guide",))
    assert len(plan.tasks) == 8 and {task.folder.name for task in plan.tasks} == {f"trial_{i}" for i in range(4)}
    assert len({(task.folder, task.case.id) for task in plan.tasks}) == 8


def test_an_untuned_method_is_named_before_the_start(tmp_path: Path, outside: object) -> None:
    sentence = bench_plan(QUICK, tmp_path, ("guide", "outside-nudge")).sentences()[1]
    assert sentence.startswith("never tuned: outside-nudge.") and "bench --tune outside-nudge" in sentence
    assert len(bench_plan(QUICK, tmp_path, ("guide",)).sentences()) == 1


def test_a_mistake_in_what_is_set_is_an_error_before_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="bogus"):
        bench_plan(adjusted(QUICK, overrides={"target.bogus": 1}), tmp_path, TWO)


def test_a_bug_in_one_case_does_not_end_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run_case(case: Any) -> tuple[Result, dict[str, bytes]]:
        if case.method == "guide":
            raise ZeroDivisionError("by nothing")
        return made(Task(case, tmp_path)), {}

    monkeypatch.setattr(running, "run_case", run_case)
    seen: list[float] = []
    plan = bench_plan(QUICK, tmp_path, TWO)
    bugs = run_plan(plan, ended=lambda task, made, left: seen.append(left))
    assert [bug.task.case.method for bug in bugs] == ["guide", "guide"]
    assert str(bugs[0]) == "guide (stylegan2 ind, ind_0): ZeroDivisionError: by nothing"
    assert {item.result.method for item in read_results([tmp_path])} == {"closed-form"}
    assert len(seen) == 2 and seen[0] > seen[1] == 0


# ---------------------------------------------------------------- how long

def test_the_estimate_follows_what_cases_take_here(tmp_path: Path) -> None:
    plan = bench_plan(QUICK, tmp_path, TWO)
    first, *rest = [task.case for task in plan.tasks]
    estimate, expected = Estimate(), Estimate().left(rest)
    estimate.learn(first, made(plan.tasks[0], seconds=50 * case_seconds(first)))
    assert 5 * expected < estimate.left(rest) < 50 * expected
    before = estimate.left(rest)
    estimate.learn(first, attrs.evolve(made(plan.tasks[0], seconds=1e6), error="out of memory"))
    assert estimate.left(rest) == before, "a failure says nothing of how long a case takes"


def test_a_person_is_inverted_once_for_all_methods() -> None:
    one, two = (Estimate().left(cases(adjusted(QUICK, identities=1), methods)) for methods in (("guide",), TWO))
    closed = next(case for case in cases(QUICK, TWO) if case.method == "closed-form")
    assert two - one == pytest.approx(case_seconds(closed))
    first, *rest = cases(adjusted(QUICK, identities=1), TWO)
    assert Estimate().left(rest, after=first) == pytest.approx(sum(map(case_seconds, rest)))


def test_the_quick_profile_is_planned_for_less_than_ten_minutes_on_one_core() -> None:
    assert 120 < Estimate().left(cases(QUICK)) < 600
    assert Estimate().left(cases(FULL)) > 3600


@pytest.mark.parametrize(("seconds", "words"), [
    (0, "about 10 seconds"), (44, "about 40 seconds"), (300, "about 5 minutes"), (9000, "about 2.5 hours")])
def test_durations_in_words(seconds: float, words: str) -> None:
    assert about(seconds) == words


def test_the_user_file_is_where_the_bench_looks(tmp_path: Path) -> None:
    assert not USER.is_absolute() and not USER.exists()
