"""Photorealistic people: who they are, that they are drawn once, and that nothing of them names this computer."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from unlearnkit.bench import drawn
from unlearnkit.bench.cases import Case, cases, portable
from unlearnkit.bench.drawn import FINE_ROW, draw, drawn_picture
from unlearnkit.bench.profiles import PHOTOREAL, PHOTOREAL_TUNE, adjusted
from unlearnkit.bench.scenarios import identities
from unlearnkit.bench.tuned import Tuned, tuned_for
from unlearnkit.bench.tuning import trials, trials_of
from unlearnkit.errors import ConfigError
from unlearnkit.interfaces import IdentityEncoder
from unlearnkit.plugins import Registry, registry

GENERATOR = "mobilestylegan"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def ready(monkeypatch: pytest.MonkeyPatch, encoder: str, is_ready: bool) -> None:
    """Make an encoder's files be there, or not."""
    def check(self: IdentityEncoder) -> None:
        if not is_ready:
            raise ConfigError("no file")

    monkeypatch.setattr(registry().component_class("identity", encoder), "check", check)


def first() -> Case:
    return cases(PHOTOREAL, ("guide",))[0]


def test_nobody_is_in_two_scenarios_and_nobody_stands_by_their_own_erasure() -> None:
    people = {scenario: identities(scenario, GENERATOR, 8) for scenario in ("random", "inverted", "tune")}
    seeds = {scenario: [{picture.seed for picture in who.drawn if str(picture.path) in who.request.get("images", [])}
                        or {who.request["latent_seed"]} for who in found] for scenario, found in people.items()}
    everybody = [seed for found in seeds.values() for some in found for seed in some]
    assert len(everybody) == len(set(everybody)) == 24
    for found in people.values():
        for who in found:
            beside = {picture.seed for picture in who.drawn if str(picture.path) in who.request["bystanders"]}
            assert len(beside) == 4 and not beside & set(everybody)
    assert [len(who.request["images"]) for who in people["inverted"]] == [3] * 8
    assert sum("images" in who.request for who in people["tune"]) == 4


def test_worlds_do_not_mix() -> None:
    assert identities("inverted", "stylegan2", 2) == [] and identities("ind", GENERATOR, 2) == []
    with pytest.raises(ConfigError, match="no case of mobilestylegan in ind"):
        cases(adjusted(PHOTOREAL, scenarios=("ind",)), ("guide",))


def test_people_come_in_turn_with_every_method_before_the_next() -> None:
    found = cases(PHOTOREAL, ("guide", "ewc"))
    assert [(case.scenario, case.method, case.identity.name) for case in found[:6]] == [
        ("random", "guide", "random_seed_1000"), ("random", "ewc", "random_seed_1000"),
        ("inverted", "guide", "inverted_seed_2000"), ("inverted", "ewc", "inverted_seed_2000"),
        ("random", "guide", "random_seed_1001"), ("random", "ewc", "random_seed_1001")]
    assert len(found) == 2 * 8 * 2


def test_a_picture_is_drawn_once_and_its_looks_share_the_coarse_rows(
    outside: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.Tensor] = []
    toy = outside.component_class("generator", "outside-toy")

    def render_front(self: object, latents: torch.Tensor) -> torch.Tensor:
        seen.append(latents)
        return torch.zeros(len(latents), 3, 8, 8)

    monkeypatch.setattr(toy, "render_front", render_front)
    monkeypatch.setattr(drawn, "FINE_ROW", 1)
    pictures = [drawn_picture("outside-toy", 5, look) for look in (0, 1, 2)]
    draw(pictures)
    draw(pictures)
    assert len(seen) == 3, "a picture was drawn twice"
    assert all(Image.open(picture.path).size == (8, 8) for picture in pictures)
    plain, one, two = (latent[0] for latent in seen)
    assert torch.equal(plain[:1], one[:1]) and torch.equal(plain[:1], two[:1])
    assert not torch.equal(plain[1:], one[1:]) and not torch.equal(one[1:], two[1:])


def test_pictures_lie_in_the_cache_and_results_do_not_say_where(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ready(monkeypatch, "mobilefacenet", False)
    case = next(case for case in cases(PHOTOREAL, ("closed-form",)) if case.scenario == "inverted")
    assert all(picture.path.is_relative_to(cache) for picture in case.identity.drawn)
    assert f"row_{FINE_ROW}" in case.identity.drawn[1].path.name
    settings = portable(case.settings().table())
    assert settings["request"]["images"][0] == "bench/pictures/mobilestylegan/seed_2000.png"
    assert str(cache) not in repr(settings)


def test_a_second_judge_judges_where_its_file_is(monkeypatch: pytest.MonkeyPatch) -> None:
    ready(monkeypatch, "mobilefacenet", False)
    assert "second-judge" not in first().settings().metrics
    judge = "mobilefacenet"
    ready(monkeypatch, judge, True)
    metrics = first().settings().metrics
    assert list(metrics) == ["identity", "preservation", "distribution", "faces", "second-judge"]
    assert metrics["second-judge"].options() == {"encoder": "mobilefacenet"}
    for name, value in (("metrics.names", ["identity"]), ("judge.name", judge), ("identity.name", judge)):
        case = cases(adjusted(PHOTOREAL, overrides={name: value}), ("guide",))[0]
        assert "second-judge" not in case.settings().metrics
    table = first().settings().table()
    assert {table[section]["name"] for section in ("judge", "identity")} == {"dlib", "sface"}


def test_learning_rates_are_those_of_this_generator(monkeypatch: pytest.MonkeyPatch) -> None:
    ready(monkeypatch, "mobilefacenet", False)
    assert first().settings().table()["method"]["learning_rate"] == 2e-4
    tried = [case.tuned.settings["method.learning_rate"] for _, case in trials(cases(PHOTOREAL_TUNE, ("guide",)))]
    assert tried == [2e-4, 2e-4, 4e-4, 4e-4] * 2
    assert trials_of("closed-form", PHOTOREAL_TUNE.learning_rate) == trials_of("closed-form")


def test_a_method_that_adds_modules_keeps_its_learning_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    ready(monkeypatch, "mobilefacenet", False)
    case = cases(PHOTOREAL, ("legato",))[0]
    assert case.settings().table()["method"]["learning_rate"] == 1e-3
    tried = {case.tuned.settings["method.learning_rate"] for _, case in trials(cases(PHOTOREAL_TUNE, ("legato",)))}
    assert tried == {1e-3, 2e-3}


def test_what_was_tuned_in_one_world_is_not_used_in_the_other() -> None:
    bundled, photoreal = Tuned({"method.learning_rate": 1e-3}, 4), Tuned({"method.learning_rate": 2e-4}, 4)
    table = {GENERATOR: {"mine": photoreal}, "stylegan2": {"guide": bundled}}
    assert tuned_for(table, GENERATOR, "guide") == Tuned() == tuned_for(table, "eg3d", "mine")
    assert tuned_for(table, GENERATOR, "mine") == photoreal and tuned_for(table, "eg3d", "guide") == bundled
