"""Does one world predict another: orders that are known, pairs that stand and fall, and words that say so."""

from __future__ import annotations

import numpy as np
import pytest
from handmade_results import result
from scipy.stats import spearmanr

from unlearnkit.errors import RunError
from unlearnkit.results import Result
from unlearnkit.results.prediction import Pair, Prediction, predictions, spearman, world
from unlearnkit.results.prediction_words import markdown, plain, sentences
from unlearnkit.results.schema import RUN

ORDER = ("a", "b", "c", "d", "e")


def results(order: tuple[str, ...], people: int = 6, scenario: str = "ind", noise: float = 0.01,
            generator: str = "stylegan2") -> list[Result]:
    """Methods in ``order``, each 0.1 worse than the one before it, on people who differ by much more."""
    rng = np.random.default_rng(len(order) + people)
    hard = rng.uniform(-0.2, 0.2, people)
    return [
        result(method, f"{scenario}_{who}", scenario=scenario, generator=generator, embedding=None, metrics={
            "erased_after": float(0.3 + 0.1 * place + hard[who] + noise * rng.standard_normal())})
        for place, method in enumerate(order) for who in range(people)
    ]


def predicted(first: list[Result], second: list[Result]) -> dict[str, Prediction]:
    """By column, the first scenarios only."""
    found = predictions(world(first, "first"), world(second, "second"))
    return {one.column.name: one for one in reversed(found)}


def test_the_same_order_holds_and_every_pair_stands() -> None:
    found = predicted(results(ORDER), results(ORDER, people=5, scenario="inverted", generator="other"))["erased"]
    assert found.correlation == pytest.approx(1) and found.verdict == "holds"
    assert found.low is not None and found.low > 0.9
    assert found.people == (6, 5) and found.methods == ORDER and found.moved is None
    assert len(found.stands) == 10 and not found.falls and not found.open
    assert found.places["a"] == (1, 1) and found.places["e"] == (5, 5)


def test_an_order_turned_round_falls_pair_by_pair() -> None:
    found = predicted(results(ORDER), results(ORDER[::-1], scenario="inverted"))["erased"]
    assert found.correlation == pytest.approx(-1) and found.verdict == "is turned round"
    assert len(found.falls) == 10 and Pair("a", "b") in found.falls and not found.stands
    assert found.moved in (("a", 1, 5), ("e", 5, 1))


def test_where_higher_is_better_the_highest_has_place_one() -> None:
    found = predicted(results(ORDER), results(ORDER, scenario="inverted"))["erasure"]
    assert found.places["a"] == (1, 1) and Pair("a", "e") in found.stands


def test_one_method_that_moves_is_named_and_the_rest_is_open_where_there_is_noise() -> None:
    second = results(("b", "c", "d", "e", "a"), scenario="inverted")
    found = predicted(results(ORDER), second)["erased"]
    assert found.moved == ("a", 1, 5) and set(found.falls) == {Pair("a", other) for other in "bcde"}
    assert len(found.stands) == 6
    noisy = predicted(results(ORDER), results(ORDER, scenario="inverted", noise=3.0))["erased"]
    assert len(noisy.open) >= 8 and noisy.verdict != "holds"


def test_of_two_people_there_is_no_interval_and_nothing_is_told_apart() -> None:
    found = predicted(results(ORDER), results(ORDER, people=2, scenario="inverted"))["erased"]
    assert (found.low, found.high, found.verdict) == (None, None, "cannot be told") and len(found.open) == 10


def test_people_whom_only_some_methods_erased_do_not_count() -> None:
    second = results(ORDER, scenario="inverted")
    partial = [one for one in second if (one.method, one.identity) not in {("a", "inverted_5"), ("b", "inverted_4")}]
    found = predicted(results(ORDER), partial)["erased"]
    assert found.people == (6, 4)
    few = [one for one in second if one.method != "a" or one.identity == "inverted_0"]
    assert predicted(results(ORDER), few)["erased"].methods == ("b", "c", "d", "e")


def test_scenarios_have_counterparts() -> None:
    first = results(ORDER) + results(ORDER, scenario="random")
    second = results(ORDER, scenario="inverted") + results(ORDER, scenario="random")
    found = [one for one in predictions(world(first, "x"), world(second, "y")) if one.column.name == "erased"]
    assert [one.scenarios for one in found] == [
        ("all scenarios", "all scenarios"), ("random", "random"), ("ind", "inverted")]
    assert [one.people for one in found] == [(12, 12), (6, 6), (6, 6)]


def test_spearman_is_scipys_with_ties_and_without() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 5, (20, 8)).astype(float), rng.standard_normal((20, 8))
    expected = [spearmanr(x, y).statistic for x, y in zip(a, b, strict=True)]
    assert spearman(a, b) == pytest.approx(expected)
    assert spearman(np.ones((1, 4)), b[:1, :4])[0] == 0


def test_a_wide_interval_is_no_verdict() -> None:
    column = predicted(results(ORDER), results(ORDER))["erased"].column
    verdicts = {
        Prediction(column, ("a", "b"), 0.5, low, high, ORDER, (6, 6), {}).verdict: (low, high)
        for low, high in ((0.6, 0.9), (0.1, 0.9), (-0.4, 0.9), (-0.4, 0.3), (-0.9, -0.1))
    }
    assert list(verdicts) == ["holds", "holds in part", "cannot be told", "does not hold", "is turned round"]


def test_worlds_are_of_the_bench_and_of_the_generator_that_most_is_of() -> None:
    assert world([*results(ORDER), *results(ORDER[:1], generator="eg3d")], "x").generator == "stylegan2"
    with pytest.raises(RunError, match="file\\.json holds no results of the bench"):
        world([result(profile=RUN)], "file.json")
    with pytest.raises(RunError, match="no number of the same 4 methods"):
        predictions(world(results(ORDER[:3]), "x"), world(results(ORDER), "y"))


def test_the_words_say_what_falls() -> None:
    worlds = world(results(ORDER), "x"), world(results(ORDER[::-1], scenario="inverted", generator="other"), "y")
    found = predictions(*worlds)
    said = " ".join(sentences(found, *worlds))
    assert said.startswith("Does stylegan2 predict other? The order of methods, all scenarios, by column: ")
    assert "erased: is turned round" in said or "erasure, erased: is turned round" in said
    assert "0 stand, 0 are open and" in said and "a was better than b" in said
    text = markdown(found, *worlds)
    assert "| erased | -1.00 [" in text and "### stylegan2 against other, ind against inverted" in text
    document = plain(found, *worlds)
    assert document["second"] == "other" and ["a", "b"] in document["columns"][1]["falls"]
