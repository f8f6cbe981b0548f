"""Every table of times says what they were taken on."""

from __future__ import annotations

from handmade_results import result

from unlearnkit.results import Hardware, Result, compare
from unlearnkit.results.machine import plain
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
