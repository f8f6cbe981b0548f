"""Tuning: as many trials for everybody, declared by the method; the best is written where the bench finds it."""

from __future__ import annotations

import json
from pathlib import Path

import attrs
import pytest
from handmade_results import result

from unlearnkit.bench.cases import cases, learning_rate
from unlearnkit.bench.profiles import PHOTOREAL_TUNE, TUNE, Profile
from unlearnkit.bench.tuned import PACKAGED, PHOTOREAL, Tuned, read_tuned, tuned_for, write_tuned
from unlearnkit.bench.tuning import TRIALS, chosen, trial_folder, trials, trials_of
from unlearnkit.errors import ConfigError, RunError
from unlearnkit.plugins import registry
from unlearnkit.results import write_result


@pytest.mark.parametrize("method", registry().names("method"))
def test_each_method_tries_as_often_as_it_is_granted(method: str) -> None:
    tried = trials_of(method)
    assert len({json.dumps(settings, sort_keys=True) for settings in tried}) == len(tried) == TRIALS
    case = cases(TUNE, (method,))[0]
    for settings in tried:
        attrs.evolve(case, tuned=Tuned(settings)).settings()  # each is a setting that exists


@pytest.mark.parametrize(("file", "profile"), [(PACKAGED, TUNE), (PHOTOREAL, PHOTOREAL_TUNE)])
def test_what_the_package_says_was_tried_is_what_is_declared(file: Path, profile: Profile) -> None:
    (generator,) = profile.generators
    if not file.exists():
        pytest.skip("nothing was tuned in this world yet")
    for method, entry in json.loads(file.read_text())["generators"][generator].items():
        declared = trials_of(method, learning_rate(method, profile))
        assert sorted(map(repr, (sorted(row["settings"].items()) for row in entry["tried"]))) == sorted(
            map(repr, (sorted(settings.items()) for settings in declared))), method


def test_a_declaration_may_be_missing_but_not_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    guide = registry().component_class("method", "guide")
    monkeypatch.setattr(guide, "tuning", ())
    assert [table["method.learning_rate"] for table in trials_of("guide")] == [0.0005, 0.001, 0.002, 0.004]
    monkeypatch.setattr(guide, "tuning", ({"method.learning_rate": (1.0, 2.0)}, {"method.steps": (3,)}))
    assert trials_of("guide") == [{"method.learning_rate": 1.0}, {"method.learning_rate": 2.0}, {"method.steps": 3}]
    monkeypatch.setattr(guide, "tuning", ({"method.learning_rate": (1.0, 2.0, 3.0, 4.0, 5.0)},))
    with pytest.raises(ConfigError, match=r"method 'guide' of plugin 'guide' .* declares 5 trials"):
        trials_of("guide")
    monkeypatch.setattr(guide, "tuning", ({"method.rule": "doco"},))
    with pytest.raises(ConfigError, match="a tuple of values each"):
        trials_of("guide")


def test_the_best_mean_over_people_is_chosen(tmp_path: Path) -> None:
    todo = cases(TUNE, ("guide",))
    assert chosen(tmp_path, todo) is None
    for number, case in trials(todo):
        write_result(trial_folder(tmp_path, number), result(
            "guide", case.identity.name, scenario="tune", profile="tune", budget=case.budget, settings={},
            metrics={"erased_after": (0.6, 0.2, 0.4, 0.8)[number], "bystanders_change": 0.9}))
    entry = (chosen(tmp_path, todo) or {})["stylegan2"]["guide"]
    assert entry["settings"] == trials_of("guide")[1] and entry["score"] == 0.8 and entry["trials"] == TRIALS
    assert [row["score"] for row in entry["tried"]] == [0.4, 0.8, 0.6, 0.2]


def test_what_the_user_tuned_joins_what_ships_and_goes_before_it(tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    assert read_tuned(file)["stylegan2"]["guide"].file == PACKAGED
    write_tuned(file, {"stylegan2": {"mine": {"settings": {"method.amount": 2}, "trials": 4}}}, {"samples": 4})
    write_tuned(file, {"stylegan2": {"guide": {"settings": {"method.learning_rate": 1.0}, "trials": 4}}}, {})
    found = read_tuned(file)
    assert tuned_for(found, "stylegan2", "mine") == Tuned({"method.amount": 2}, 4, file)
    assert tuned_for(found, "eg3d", "guide").settings == {"method.learning_rate": 1.0}  # what was chosen on the other
    assert tuned_for(found, "stylegan2", "ewc").file == PACKAGED and tuned_for(found, "stylegan2", "x") == Tuned()


@pytest.mark.parametrize("text", ["", "[]", '{"generators": {"a": {"b": {}}}}', '{"generators": {"a": [1]}}'])
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "tuned.json").write_text(text)
    with pytest.raises(RunError, match=r"tuned\.json is damaged.*tune again"):
        read_tuned(tmp_path / "tuned.json")
