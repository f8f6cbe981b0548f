"""The bench itself: its people, its expectations, its tuning table, and one case of it as a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from handmade_results import result

from unlearnkit.errors import RunError
from unlearnkit.plugins import registry
from unlearnkit.results import read_results, write_result

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def benchmarks_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(ROOT)  # it is not part of the package that is installed
    yield


@pytest.mark.parametrize("scenario", ["random", "ind", "ood", "multi", "tune"])
def test_people_exist_and_nobody_stands_by_their_own_erasure(scenario: str) -> None:
    from benchmarks.scenarios import identities

    found = identities(scenario, "stylegan2", 3)
    assert len(found) == 3 and len({who.name for who in found}) == 3
    for who in found:
        pictures = who.request.get("images", [])
        assert all(Path(path).is_file() for path in [*pictures, *who.request["bystanders"]])
        assert not set(pictures) & set(who.request["bystanders"]) and len(who.request["bystanders"]) == 6
        assert not any(Path(path).name.startswith(who.name) for path in who.request["bystanders"])
        assert scenario != "multi" or (len(pictures), who.request["erase"]) == (4, 2)
    assert len(identities(scenario, "eg3d", 1)[0].request["bystanders"]) == 4


def test_every_method_gets_the_same_steps_and_outside_ones_join(outside: object) -> None:
    from benchmarks.harness import cases
    from benchmarks.profiles import QUICK

    found = cases(QUICK)
    assert {"guide", "guide-released", "outside-nudge"} <= {case.method for case in found}
    settings = [case.settings()["method"] for case in found if case.identity.name == found[0].identity.name]
    assert {table["steps"] for table in settings if "steps" in table} == {QUICK.steps["stylegan2"]}
    assert len({case.id for case in found}) == len(found)


def test_what_was_made_otherwise_is_not_taken_for_done(tmp_path: Path) -> None:
    from benchmarks.harness import cases, finished
    from benchmarks.profiles import QUICK

    case = cases(QUICK, ("guide",))[0]
    assert finished(tmp_path, case) is None
    made = result("guide", case.identity.name, budget=case.budget, settings={})
    write_result(tmp_path, made)
    assert finished(tmp_path, case) == made
    with pytest.raises(RunError, match="give a new folder"):
        finished(tmp_path, attrs.evolve(case, trials=case.trials + 1))
    write_result(tmp_path, attrs.evolve(made, settings={"seed": 5}))
    with pytest.raises(RunError, match="other settings"):
        finished(tmp_path, case)


def test_a_method_that_cannot_is_a_result() -> None:
    from benchmarks.harness import cases, run_case
    from benchmarks.profiles import QUICK

    case = attrs.evolve(cases(QUICK, ("guide",))[0], tuned={"target.name": "nobody"})
    made, pictures = run_case(case)
    assert made.error is not None and "no target 'nobody'" in made.error and not made.metrics and not pictures


def test_regressions_are_seen_and_progress_is_none() -> None:
    from benchmarks.expected import MARGIN, expected_of, regressions

    def runs(erased: float, seeds: tuple[int, ...] = (0,)) -> list[Any]:
        return [result(identity=who, seed=seed, metrics={"erased_after": erased + seed / 100, "bystanders_change": 0.9})
                for who in ("ind_0", "ind_1") for seed in seeds]

    expected = expected_of(runs(0.3))
    assert expected["numbers"]["erased"] == {"mean": 0.3, "half": MARGIN}
    assert regressions(expected, runs(0.3 + MARGIN - 0.01)) == [] and regressions(expected, runs(0.0)) == []
    (erasure, erased) = regressions(expected, runs(0.3 + MARGIN + 0.01))
    assert erasure.startswith("erasure is 0.59") and erased == "erased is 0.410, expected 0.300 ± 0.100"
    # 0.30, 0.31, 0.32: half of the interval of one new run is t(0.975, 2) * 0.01 * sqrt(1 + 1/3) beside the margin.
    spread = expected_of(runs(0.3, (0, 1, 2)))["numbers"]["erased"]
    assert spread["half"] == pytest.approx(MARGIN + 4.3027 * 0.01 * (4 / 3) ** 0.5, abs=1e-4)
    assert "fails" in regressions(expected, [result(error="out of memory")])[0]


def test_tuning_tries_as_often_for_everybody_and_takes_the_best(tmp_path: Path) -> None:
    from benchmarks.harness import cases
    from benchmarks.profiles import TUNE
    from benchmarks.tune import TRIALS, grid, table, trial_cases

    for method in registry().names("method"):
        tried = grid(method)
        assert tried == [{}] or len({json.dumps(settings) for settings in tried}) == len(tried) == TRIALS, method
    todo = cases(attrs.evolve(TUNE, generators=("stylegan2",)), ("guide",))
    assert table(tmp_path, todo) is None
    for case in todo:
        for trial, tried in enumerate(trial_cases(case)):
            erased = (0.6, 0.2, 0.4, 0.8)[trial]
            write_result(tmp_path / f"trial_{trial}", result(
                "guide", case.identity.name, scenario="tune", profile="tune", budget=tried.budget, settings={},
                metrics={"erased_after": erased, "bystanders_change": 0.9}))
    found = table(tmp_path, todo)
    assert found is not None
    chosen = found["stylegan2"]["guide"]
    assert chosen["settings"] == grid("guide")[1] and chosen["score"] == 0.8 and chosen["trials"] == TRIALS
    assert [row["score"] for row in chosen["tried"]] == [0.4, 0.8, 0.6, 0.2]


@pytest.mark.slow
def test_one_case_as_a_process(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest", "benchmarks/", "--quick", "--methods", "guide", "--scenarios", "random",
               "--identities", "1", "--steps", "1", "--samples", "4", "--results", str(tmp_path / "results"),
               "--benchmark-json", str(tmp_path / "time.json"), "-q", "-p", "no:cacheprovider"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    environment.pop("PYTEST_XDIST_WORKER", None)
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout + done.stderr
    (found,) = read_results([tmp_path / "results"])
    made = found.result
    assert made.error is None and made.budget.steps == 1 and made.settings["method"]["steps"] == 1
    assert made.metrics["erased_before"] == pytest.approx(1) and len(made.embedding or ()) > 1
    assert made.peak_bytes is not None and made.peak_bytes > 2**26
    assert {role for role in made.pictures if found.picture(role) is not None} == {"before", "target", "after"}
    (timed,) = json.loads((tmp_path / "time.json").read_bytes())["benchmarks"]
    assert timed["extra_info"]["peak_bytes"] == made.peak_bytes and 0 <= timed["extra_info"]["erasure"] <= 1
    assert timed["stats"]["rounds"] == 1 and timed["stats"]["mean"] == pytest.approx(made.seconds["unlearn"], abs=0.5)
    again = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert again.returncode == 0 and "done before" in again.stdout
