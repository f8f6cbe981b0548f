"""What is run: all methods with the same budget, and nothing is taken for done that was made otherwise."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest
from handmade_results import result

import unlearnkit
from unlearnkit.bench.cases import Case, cases, finished, portable
from unlearnkit.bench.profiles import FULL, QUICK, adjusted
from unlearnkit.bench.tuned import Tuned, read_tuned
from unlearnkit.errors import ConfigError, PluginError, RunError
from unlearnkit.results import write_result


def first(method: str = "guide", **changes: object) -> Case:
    return attrs.evolve(cases(QUICK, (method,), read_tuned())[0], **changes)


def test_every_method_gets_the_same_steps_and_outside_ones_join(outside: object) -> None:
    found = cases(QUICK, (), read_tuned())
    assert {"guide", "guide-released", "outside-nudge"} <= {case.method for case in found}
    methods = [case.settings().method for case in found if case.identity.name == found[0].identity.name]
    options = [method.options() for method in methods if method is not None]
    assert {table["steps"] for table in options if "steps" in table} == {QUICK.steps["stylegan2"]}
    assert len({case.id for case in found}) == len(found)


def test_what_is_set_goes_before_what_was_tuned_and_that_before_the_profile() -> None:
    tuned = Tuned({"method.learning_rate": 0.005, "metrics.names": ["identity"]}, 4)
    case = first(tuned=tuned)
    assert case.settings().table()["method"]["learning_rate"] == 0.005
    assert list(case.settings().metrics) == ["identity"] and list(first().settings().metrics) == [
        "identity", "preservation", "distribution"]
    profile = adjusted(QUICK, overrides={"method.learning_rate": 0.25, "threads": 1})
    settings = attrs.evolve(case, profile=profile).settings()
    assert settings.table()["method"]["learning_rate"] == 0.25 and settings.threads == 1


def test_a_method_that_nobody_tuned_says_so(outside: object) -> None:
    by_name = {case.method: case for case in cases(QUICK, ("guide", "outside-nudge"), read_tuned())}
    assert by_name["guide"].budget.tuning_trials == 4 and by_name["outside-nudge"].budget.tuning_trials == 0


def test_names_that_do_not_exist_are_refused_before_the_start() -> None:
    with pytest.raises(PluginError, match="no method 'guid'"):
        cases(QUICK, ("guid",))
    with pytest.raises(PluginError, match="no generator 'stylegan'"):
        cases(adjusted(QUICK, generators=("stylegan",)))
    with pytest.raises(ConfigError, match="scenarios: got 'idn'"):
        adjusted(QUICK, scenarios=("idn",))


def test_a_profile_is_adjusted_for_every_generator() -> None:
    profile = adjusted(FULL, scenarios=("ood",), identities=1, steps=2, samples=4)
    assert {(case.generator, case.scenario) for case in cases(profile, ("guide",))} == {
        ("stylegan2", "ood"), ("eg3d", "ood")}
    assert [str(case.budget) for case in cases(profile, ("guide",))] == ["2 steps, 0 tuning trials, 4 samples"] * 2
    assert adjusted(QUICK) == QUICK


def test_what_was_made_otherwise_is_not_taken_for_done(tmp_path: Path) -> None:
    case = first()
    assert finished(tmp_path, case) is None
    made = result("guide", case.identity.name, budget=case.budget, settings={})
    write_result(tmp_path, made)
    assert finished(tmp_path, case) == made
    with pytest.raises(RunError, match="--again, or give a new folder"):
        finished(tmp_path, attrs.evolve(case, tuned=Tuned({}, 3)))
    write_result(tmp_path, attrs.evolve(made, settings={"seed": 5}))
    with pytest.raises(RunError, match="other settings"):
        finished(tmp_path, case)
    write_result(tmp_path, attrs.evolve(made, settings=portable(case.settings().table())))
    assert finished(tmp_path, case) is not None


def test_settings_of_a_result_name_no_folder_of_this_computer() -> None:
    here = str(Path(unlearnkit.__file__).parents[1])
    found = portable(first().settings().table())
    assert here not in repr(found)
    assert found["request"]["images"][0] == "unlearnkit/bench/people/ind_0_0.png"
    assert found["request"]["bystanders"][0].startswith("unlearnkit_demo/pictures/")
    assert portable({"a": ["/elsewhere/x.png", 3, None]}) == {"a": ["/elsewhere/x.png", 3, None]}
