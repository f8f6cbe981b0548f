"""Options, tables, and how settings are resolved."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

import attrs
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unlearnkit.config import (
    AUDIT,
    INVERT,
    SAMPLE,
    Uses,
    build,
    describe,
    merge,
    nest,
    option,
    parse_set,
    read_toml,
    resolve,
    write_toml,
)
from unlearnkit.errors import ConfigError, Mistakes
from unlearnkit.options.fields import complete
from unlearnkit.plugins import Registry


@attrs.define
class Part:
    """One option of every type."""

    distance: float = option(30.0, gt=0, unit="latent units", help="how far")
    count: int = option(3, ge=1, le=10, help="how many")
    on: bool = option(True, help="whether")
    mode: str = option("a", choices=("a", "b"), help="which")
    kind: Literal["x", "y"] = option("x", help="what kind")
    file: Path | None = option(None, help="a file")
    batch: int | None = option(4, ge=1, help="None: as the device likes")
    sizes: tuple[float, ...] = option((1.0,), gt=0, help="each size")
    pair: tuple[int, str] = option((1, "a"), help="two")
    table: list[str] = option(["a"], help="copied")
    cache: Any = attrs.field(default=None, init=False)


@attrs.define
class Needs:
    """An option without a default."""

    file: Path = option(help="weights")


def test_defaults_and_values() -> None:
    assert build(Part, {}) == Part() and Part().table is not Part().table
    part = build(Part, {"distance": 2, "sizes": [1, 2], "file": "~/x", "batch": "none", "pair": [2, "b"]})
    assert part.distance == 2.0 and type(part.distance) is float and part.sizes == (1.0, 2.0)
    assert part.file == Path.home() / "x" and part.batch is None and part.pair == (2, "b")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"distance": "abc"}, r"distance: got 'abc', expected a number > 0, in latent units \(how far\)"),
        ({"distance": 0}, r"got 0, expected a number > 0"),
        ({"distance": math.nan}, r"got nan"),
        ({"distance": math.inf}, r"got inf"),
        ({"distance": True}, r"got True, expected a number"),
        ({"count": 1.0}, r"got 1.0, expected a whole number ≥ 1, ≤ 10"),
        ({"count": "1"}, r"got '1'"),
        ({"count": True}, r"got True"),
        ({"count": 11}, r"got 11"),
        ({"on": 1}, r"got 1, expected true or false"),
        ({"mode": "c"}, r"got 'c', expected one of a, b"),
        ({"kind": "z"}, r"got 'z', expected 'x' or 'y'"),
        ({"file": 3}, r"got 3, expected a path or none"),
        ({"file": ""}, r"got '', expected a path"),
        ({"sizes": "12"}, r"got '12', expected a list, each a number > 0"),
        ({"sizes": [1, -1]}, r"got \[1, -1\]"),
        ({"pair": [1]}, r"expected a list of 2: a whole number, text"),
        ({"distanse": 1}, r"no setting 'target.distanse'. Did you mean 'distance'\?"),
        ({"cache": 1}, r"no setting 'target.cache'"),
    ],
)
def test_wrong_values_name_the_setting(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        build(Part, values, "target")
    assert "target." in str(caught.value) and "\n" not in str(caught.value)


def test_components_made_in_python_are_checked_too() -> None:
    with pytest.raises(ConfigError, match="distance: got -1"):
        Part(distance=-1)


def test_required_option() -> None:
    with pytest.raises(ConfigError, match=r"target.file: must be given, as a path \(weights\)"):
        build(Needs, {}, "target")
    assert describe(Needs)[0].required


def test_describe() -> None:
    records = {record.name: record for record in describe(Part)}
    assert "cache" not in records and next(iter(records)) == "distance"
    distance = records["distance"]
    assert (distance.type, distance.default, distance.unit) == ("a number", 30.0, "latent units")
    assert (distance.allowed, distance.help) == ("> 0", "how far")
    assert records["sizes"].default == [1.0] and records["mode"].allowed == "a, b"


@given(st.builds(Part, distance=st.floats(0.1, 1e9), count=st.integers(1, 10), on=st.booleans(),
                 file=st.none() | st.just(Path("/a/b")), batch=st.none() | st.integers(1, 9)))
def test_complete_settings_build_the_same_component(part: Part) -> None:
    assert build(Part, complete(Part, part)) == part


# ---------------------------------------------------------------- tables

@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.b=1", ("a.b", 1)), ("a=1.5", ("a", 1.5)), ("a=true", ("a", True)), ("a=[1, 2]", ("a", [1, 2])),
        ("a=text", ("a", "text")), ('a="1"', ("a", "1")), ("a=x=y", ("a", "x=y")), ("a=", ("a", "")),
        ("loss.my-loss.weight = 2", ("loss.my-loss.weight", 2)), ("a=2024-01-01", ("a", "2024-01-01")),
        ("a=1\nb=2", ("a", "1\nb=2")), ("a=/tmp/f.pkl", ("a", "/tmp/f.pkl")),
    ],
)
def test_parse_set(text: str, expected: tuple[str, Any]) -> None:
    assert parse_set(text) == expected


@pytest.mark.parametrize("text", ["a", "=1", "a..b=1", ".a=1", "a b=1", ""])
def test_parse_set_refuses(text: str) -> None:
    with pytest.raises(ConfigError, match="--set needs"):
        parse_set(text)


def test_nest_and_merge() -> None:
    assert nest({"a.b": 1, "a": {"c": 2}, "d": 3}) == {"a": {"b": 1, "c": 2}, "d": 3}
    assert merge({"a.b": 1, "a.c": 1}, {"a": {"c": 2}}) == {"a": {"b": 1, "c": 2}}
    with pytest.raises(ConfigError, match="already set to 1"):
        nest({"a": 1, "a.b": 2})


def test_merge_drops_options_of_another_component() -> None:
    low = {"target": {"name": "ufo", "distance": 3}, "losses": {"names": ["x"]}, "method": {"name": "one"}}
    assert merge(low, {"target.name": "mean"})["target"] == {"name": "mean"}
    assert merge(low, {"target.name": "ufo"})["target"] == low["target"]
    assert "losses" not in merge(low, {"method.name": "two"})
    assert merge({"request": {"latent_seed": 1, "name": "a"}}, {"request.images": ["b"]})["request"] == {
        "name": "a", "images": ["b"],
    }


def test_toml_files(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    settings = {"seed": 1, "target": {"name": "é", "sizes": [1.5]}}
    write_toml(path, settings)
    assert read_toml(path) == settings and list(tmp_path.iterdir()) == [path]
    path.write_text("a = = 1")
    with pytest.raises(ConfigError, match="no valid TOML"):
        read_toml(path)
    with pytest.raises(ConfigError, match="cannot read settings"):
        read_toml(tmp_path / "no.toml")


# ---------------------------------------------------------------- resolve

USER = {"method.name": "outside-nudge", "generator.name": "outside-toy", "request.latent_seed": 1,
        "metrics.names": []}


def test_resolve_is_complete_and_replays(outside: Registry, tmp_path: Path) -> None:
    settings = resolve(USER, outside)
    table = settings.table()
    assert table["generator"] == {"name": "outside-toy", "network_seed": 0}, "it has no noise"
    assert table["target"] == {"name": "outside-shift", "distance": 2.5, "direction": "up"}
    assert table["losses"] == {"names": ["outside-pixels"]} and settings.seed == 0
    assert table["loss"] == {"outside-pixels": {"weight": 1.0}}
    write_toml(tmp_path / "config.toml", table)
    assert resolve(read_toml(tmp_path / "config.toml"), outside).table() == table


def test_settings_are_records_down_to_the_options(outside: Registry) -> None:
    settings = resolve(USER, outside)
    assert settings.method is not None and settings.target is not None
    assert settings.method.name == "outside-nudge" and settings.request.latent_seed == 1
    assert settings.target.component.distance == 2.5 and settings.request.erased[0].ways == ("latent_seed",)
    assert list(settings.losses) == ["outside-pixels"] and settings.losses["outside-pixels"].component.weight == 1.0


def test_a_choice_serves_many_runs(outside: Registry) -> None:
    choice = resolve(USER, outside).generator
    first, second = choice.fresh(), choice.fresh()
    first.prepare(torch.device("cpu"))
    assert first is not second and first.network_seed == second.network_seed == 0
    with pytest.raises(Exception):  # noqa: B017 - whatever a generator raises that nobody prepared
        _ = second.w_avg


def test_an_offer_for_whatever_is_chosen_is_dropped_where_there_is_no_such_option(
    outside: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the method names the target: the plugin that offers the option does not."""
    monkeypatch.setattr(outside, "defaults", lambda settings: {"target.unit": "mean-radius", "target.distance": 9.0})
    table = resolve(USER, outside).table()
    assert table["target"]["name"] == "outside-shift" and "unit" not in table["target"]
    assert table["target"]["distance"] == 2.5, "the method's preset is above what plugins offer"
    named = {"target.name": "outside-shift", "target.unit": "mean-radius"}
    monkeypatch.setattr(outside, "defaults", lambda settings: named)
    with pytest.raises(ConfigError, match=r"no setting 'target.unit'"):
        resolve(USER, outside)


def test_the_user_wins(outside: Registry) -> None:
    more = {"target.distance": 7, "method.steps": 3, "loss.outside-pixels.weight": 2, "seed": 5}
    table = resolve(merge(USER, more), outside).table()
    assert table["target"]["distance"] == 7.0 and table["method"]["steps"] == 3
    assert table["seed"] == 5
    assert table["loss"]["outside-pixels"]["weight"] == 2.0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"targt.distance": 1}, r"no setting 'targt'. Did you mean 'target'"),
        ({"target.distanse": 1}, r"no setting 'target.distanse'. Did you mean 'distance'"),
        ({"target.distance": -1}, r"target.distance: got -1, expected a number > 0"),
        ({"target": "up"}, r"expected a table of settings; write target.name=up"),
        ({"seed": -1}, r"seed: got -1"),
        ({"seed": {"a": 1}}, r"seed: got a table"),
        ({"loss.pixels.weight": 1}, r"no loss 'pixels'"),
        ({"loss.outside-pixels": 1}, r"expected a table"),
        ({"method.name": "outside-nuge"}, r"no method 'outside-nuge'. Did you mean 'outside-nudge'"),
        ({"method.name": 3}, r"method.name: got 3"),
        ({"losses.names": ["outside-pixels", "outside-pixels"]}, r"each name once"),
        ({"losses.names": [], "loss.outside-pixels.weight": 1}, r"not in losses.names"),
        ({"request.images": ["a.png"], "request.latent_seed": 1}, r"only one of them"),
        ({"metrics.samples": 1}, r"metrics.samples: got 1"),
    ],
)
def test_resolve_refuses(outside: Registry, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError if "no loss" not in message and "no method" not in message else Exception,
                       match=message):
        resolve(merge(USER, values), outside)


def test_all_mistakes_are_told_at_once(outside: Registry) -> None:
    wrong = {"target.distance": -1, "metrics.samples": 1, "seed": -1, "method.stepz": 3,
             "loss.outside-pixels.weight": "much"}
    with pytest.raises(Mistakes) as caught:
        resolve(merge(USER, wrong), outside)
    told = " | ".join(caught.value.problems)
    assert len(caught.value.problems) == 5 and all("\n" not in text for text in caught.value.problems)
    for name in ("target.distance", "metrics.samples", "seed", "method.stepz", "loss.outside-pixels.weight"):
        assert name in told


def test_an_unknown_component_does_not_hide_other_mistakes(outside: Registry) -> None:
    with pytest.raises(Mistakes) as caught:
        resolve({"method.name": "outside-nuge", "generator.name": "outside-toi", "seed": -1}, outside)
    assert len(caught.value.problems) == 3


def test_generator_alone(outside: Registry) -> None:
    settings = resolve({"generator.name": "outside-toy"}, outside, SAMPLE)
    assert set(settings.table()) == {"seed", "device", "memory", "generator"} and settings.method is None
    with pytest.raises(ConfigError, match=r"no generator is chosen.*available: .*outside-toy"):
        resolve({}, outside, SAMPLE)


@pytest.mark.parametrize(("uses", "key", "value"), [
    (SAMPLE, "target.distance", 30), (SAMPLE, "losses.names", []), (SAMPLE, "request.align", True),
    (SAMPLE, "save_every", 3), (INVERT, "request.latent_seed", 1), (INVERT, "loss.x.y", 1), (INVERT, "seed", 1),
    (AUDIT, "method.steps", 3), (AUDIT, "cuda_graph", True),
])
def test_what_a_command_does_not_use_is_refused_by_name(outside: Registry, uses: Uses, key: str, value: Any) -> None:
    section = key.rpartition(".")[0] if key.startswith("request") else key.partition(".")[0]
    with pytest.raises(ConfigError, match=rf"'unlearnkit {uses.command}' does not use the setting '{section}.*'"):
        resolve({"generator.name": "outside-toy", key: value}, outside, uses)


def test_what_nobody_knows_is_refused_as_such(outside: Registry) -> None:
    with pytest.raises(ConfigError, match=r"no setting 'request\.bogus'"):
        resolve({"generator.name": "outside-toy", "request.bogus": 1}, outside, INVERT)


def test_what_a_command_uses_works(outside: Registry) -> None:
    settings = resolve({"generator.name": "outside-toy", "request.align": True}, outside, INVERT)
    assert settings.request.align and settings.table()["request"] == {"align": True}
    assert resolve({"generator.name": "outside-toy"}, outside, INVERT).table()["request"] == {"align": "auto"}
    chosen = resolve({"generator.name": "outside-toy", "request.face": 2, "request.align": "auto"}, outside, INVERT)
    assert chosen.request.face == 2 and chosen.request.align == "auto"
    for key, value in (("face", 0), ("face", "second"), ("align", "maybe"), ("face", True)):
        with pytest.raises(ConfigError, match=rf"request\.{key}: got "):
            resolve({"generator.name": "outside-toy", f"request.{key}": value}, outside, INVERT)


def test_a_whole_runs_settings_serve_other_commands(outside: Registry) -> None:
    whole = resolve(USER, outside).table()
    assert resolve(SAMPLE.only(whole), outside, SAMPLE).generator.name == "outside-toy"
    assert resolve(AUDIT.only(whole), outside, AUDIT).method is None
    with pytest.raises(ConfigError, match="no setting 'bogus'"):
        resolve(SAMPLE.only(whole | {"bogus": 1}), outside, SAMPLE)
