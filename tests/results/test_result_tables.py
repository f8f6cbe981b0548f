"""What a stranger's file says stays text in every kind of table."""

from __future__ import annotations

import io
from pathlib import Path

from handmade_results import png, result
from rich.console import Console

from unlearnkit.numbers import Number
from unlearnkit.results import Found, compare
from unlearnkit.results.columns import columns_of
from unlearnkit.results.page import page, small_picture
from unlearnkit.results.statistics import Cell
from unlearnkit.results.tables import cell_text, latex, markdown, terminal

HOSTILE = r"frechet_\input /etc/passwd ^^5c~%$ | <script>x</script> [/] [a](http://b) **"
RESULTS = [
    result(metrics={"x": 1.0}, numbers={"x": Number("x", HOSTILE, "higher")}),
    result(metrics={"erased_after": 0.2}, profile="run", method="varies", settings={"method": {HOSTILE: HOSTILE}}),
    result(metrics={"erased_after": 0.3}, profile="run", method="varies", settings={"judge": {"name": HOSTILE}}),
    result("fails", metrics={}, error="| <img src=x> *no*\r\n# place [/] \\end{tabular}"),
]


def test_markdown() -> None:
    text = markdown(compare(RESULTS))
    rows = [line for line in text.splitlines() if line.startswith("|")]
    shapes = [line.replace(r"\|", "").count("|") for line in rows]
    assert len(rows) == 12 and len(set(shapes[:6])) == len(set(shapes[6:])) == 1, "headlines, then declared numbers"
    assert "<script" not in text and "<img" not in text and r"\[a\](http" in text and r"\*\*" in text
    assert [line for line in text.splitlines() if line.startswith("#")] == ["### stylegan2, ind"]


def test_latex() -> None:
    text = latex(compare(RESULTS))
    assert r"\textbackslash{}input /etc/passwd \textasciicircum{}\textasciicircum{}5c\textasciitilde{}\%\$" in text
    ends = [line for line in text.splitlines() if r"\end{tabular}" in line]
    assert len(ends) == 2 and ends[0].startswith("% "), "the first is the failure, in a comment"


def test_terminal() -> None:
    console = Console(file=io.StringIO(), width=200)
    console.print(terminal(compare(RESULTS)[0]))
    assert "[/]" in console.file.getvalue()  # type: ignore[attr-defined]


def test_cells_show_mean_and_interval() -> None:
    column = columns_of([result()])[0]
    assert cell_text(Cell(0.5, 0.123, 1.0, 3), column) == "0.50 [0.12, 1.00]"
    assert cell_text(Cell(-0.001, -0.0049, 0.0, 3), column) == "0.00 [0.00, 0.00]", "no minus before a zero"
    assert cell_text(Cell(0.5, None, None, 2), column) == "0.50" and cell_text(None, column) == "–"


def test_a_damaged_picture_leaves_its_field_empty(tmp_path: Path) -> None:
    path, whole = tmp_path / "after.png", png()
    for place in range(len(whole)):
        data = bytearray(whole)
        data[place] ^= 0xFF
        path.write_bytes(data)
        small = small_picture(path)
        assert small is None or small.startswith("data:image/jpeg;base64,")
    path.write_bytes(whole[:40])
    assert small_picture(path) is None


def test_the_page_keeps_declared_numbers_out_of_the_first_table(tmp_path: Path) -> None:
    made = result(metrics={"x": 1.0, "erased_after": 0.2}, numbers={"x": Number("x", "Wrinkles", "lower")})
    text = page([Found(made, tmp_path, tmp_path)], compare([made]))
    first, more = text.split("1 more number, ", 1)
    assert "Wrinkles ↓" not in first and "Wrinkles ↓" in more and "erased ↓" in first
