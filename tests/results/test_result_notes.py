"""Every table says what its times were taken on, and where two judges disagree."""

from __future__ import annotations

from handmade_results import result

from unlearnkit.results import Hardware, Result, compare
from unlearnkit.results.machine import plain
from unlearnkit.results.notes import notes
from unlearnkit.results.tables import legend, markdown


def on(kernels: str, instructions: str = "avx2", method: str = "guide") -> Result:
    return result(method, hardware=Hardware("a processor", 1, "Linux", "cpu", kernels, instructions))


def test_one_machine_is_said_below_the_table() -> None:
    groups = compare([on("native"), on("native", method="ewc")])
    sentence = "Times are from a processor, cpu, threads: 1, kernels: native, avx2."
    assert sentence in legend(groups[0]) and sentence in markdown(groups)
    assert plain(groups)["groups"][0]["machines"] == ["a processor, cpu, threads: 1, kernels: native, avx2"]


def test_different_kernels_are_a_note() -> None:
    (group,) = compare([on("native"), on("PyTorch (not built)", method="ewc")])
    assert len(group.notes) == 1 and group.notes[0] == (
        "Times are from different machines (a processor, cpu, threads: 1, kernels: PyTorch (not built), avx2; "
        "a processor, cpu, threads: 1, kernels: native, avx2).")
    assert "Times are from a processor" not in legend(group)


def test_results_from_before_kernels_were_noted_say_nothing() -> None:
    (group,) = compare([result(), result("ewc")])
    assert group.notes == () and "Times" not in legend(group)


def test_judges_that_disagree_are_counted_by_method() -> None:
    second = {"second_strangers_level": 0.0, "second_same_person_level": 0.8}  # border 0.4, the judge's 0.5
    made = [
        result(method, f"ind_{who}", metrics={"erased_after": first, "second_erased_after": other, **second})
        for who, (method, first, other) in enumerate((
            ("guide", 0.1, 0.1), ("guide", 0.9, 0.1), ("ewc", 0.1, 0.45), ("ewc", 0.2, 0.5), ("ewc", 0.6, 0.7)))
    ]
    assert notes(made) == (
        "Two judges disagree on 3 of 5 cases whether the erased latent is recognised: the judge alone recognises 1 "
        "(guide 1); the second judge alone recognises 2 (ewc 2).",)
    assert notes(made[:1]) == ("Two judges disagree on 0 of 1 cases.",) and notes([result()]) == ()
