"""How a bench ends: tables of equal budgets, what computed the times, and the next command."""

from __future__ import annotations

import io
from pathlib import Path

import attrs
from handmade_results import BUDGET, result, two_methods
from rich.console import Console

from unlearnkit.bench.summary import comparable, show_summary
from unlearnkit.results import Hardware, read_results, write_result


def printed(folder: Path) -> str:
    text = io.StringIO()
    show_summary(folder, Console(file=text, width=60, highlight=False))
    return text.getvalue()


def test_it_ends_in_the_table_the_kernels_the_folder_and_the_next_command(tmp_path: Path) -> None:
    machine = Hardware("a processor", 2, "Linux", "cpu", "native", "avx512")
    text = printed(two_methods(tmp_path / "my results", hardware=machine))
    assert "good" in text and "bad" in text and "stylegan2, ind" in text
    assert "Times are from a processor, cpu, threads: 2, kernels: native, avx512." in " ".join(text.split())
    assert f"results: {tmp_path}/my results" in text
    assert f"next: unlearnkit compare '{tmp_path}/my results' --html" in text


def test_another_budget_is_left_out_and_the_way_in_is_said(tmp_path: Path) -> None:
    two_methods(tmp_path)
    write_result(tmp_path, result("mine", budget=attrs.evolve(BUDGET, tuning_trials=0)))
    kept, left_out = comparable(read_results([tmp_path]))
    assert {item.result.method for item in kept} == {"good", "bad"}
    assert len(left_out) == 1 and left_out[0].startswith("left out: mine on stylegan2, which had 20 steps, 0 tuning")
    assert "unlearnkit bench --tune mine" in left_out[0] and left_out[0] in printed(tmp_path)
