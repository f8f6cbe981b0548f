"""A comparison as a table: for the terminal, as Markdown and as LaTeX. Imports no torch."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from unlearnkit.results.columns import Column
from unlearnkit.results.statistics import Cell, Group, Row

__all__ = ["LEGEND", "cell_text", "heading", "latex", "legend", "markdown", "terminal"]

LEGEND = (
    "Mean ± 95 % interval over people (Student's t; seeds of a person are averaged first). Bold: the best of its "
    "column; italic: not significantly worse (paired t-test over the same people, 5 %, Holm's correction)."
)
_LATEX = str.maketrans({**{char: rf"\{char}" for char in "&%$#_{}"}, "\\": r"\textbackslash{}",
                       "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"})
_FEW = " With fewer than two people nothing is tested, and nothing is marked."

_STYLES = {"best": "bold green", "tied": "italic green", "worse": "", "": ""}
_IN_TERMINAL = {
    "erasure": "erasure", "preservation": "preserv.", "erased": "erased", "others": "others",
    "bystanders": "bystand.", "random": "random", "relearning": "relearn", "seconds": "time", "memory": "MiB",
}


def legend(group: Group) -> str:
    """What the numbers are, and the levels to hold similarities against."""
    text = LEGEND + (_FEW if not any(cell.leads for row in group.rows for cell in row.cells.values()) else "")
    if group.strangers is not None and group.same is not None:
        text += (f" Two strangers have similarity {group.strangers:.2f}, two pictures of one person {group.same:.2f}.")
    return text


def heading(group: Group, column: Column, title: str | None = None) -> str:
    """A column's title, which way is better and, where it stands on fewer people than the table, on how many."""
    few = group.people(column.name)
    text = f"{title or column.title} {column.arrow}"
    return text if few == group.people() else f"{text} ({few})"


def cell_text(cell: Cell | None, column: Column) -> str:
    """``0.42 ± 0.03``; an en dash where there is no number."""
    if cell is None:
        return "–"
    mean = f"{cell.mean:.{column.digits}f}"
    return mean if cell.half is None else f"{mean} ± {cell.half:.{column.digits}f}"


def terminal(group: Group) -> Table:
    """A table for the terminal: two lines a method, mean above interval; only the columns that fit one."""
    shown = [column for column in group.columns if column.name in _IN_TERMINAL]
    left_out = [column.title for column in group.columns if column not in shown]
    more = f" Left out here: {', '.join(left_out)}; see --html or --markdown." if left_out else ""
    table = Table(title=group.title, title_justify="left", caption=Text(legend(group) + more), caption_justify="left",
                  box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("method", no_wrap=True)
    for column in (*shown, None):
        title = "people" if column is None else heading(group, column, _IN_TERMINAL[column.name])
        table.add_column(title.replace(" ", "\n", 1), justify="right", no_wrap=True)
    for row in group.rows:
        texts = []
        for column in shown:
            cell = row.cells.get(column.name)
            style = "" if cell is None else _STYLES[cell.mark]
            texts.append(Text(cell_text(cell, column).replace(" ± ", "\n±"), style))
        table.add_row(row.method, *texts, _people(row))
    return table


def markdown(groups: Sequence[Group]) -> str:
    """Tables in GitHub's Markdown."""
    parts = []
    for group in groups:
        head = ["method", "people", *(_words(heading(group, column)) for column in group.columns)]
        lines = [head, ["---", *["---:"] * (len(head) - 1)]]
        for row in group.rows:
            cells = [_marked(row, column, {"best": "**{}**", "tied": "*{}*"}) for column in group.columns]
            lines.append([row.method, _people(row), *cells])
        table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
        parts.append("\n\n".join([f"### {group.title}", table, legend(group), *map(_words, _failures(group))]))
    return "\n\n".join(parts) + "\n"


def latex(groups: Sequence[Group]) -> str:
    """``tabular`` environments with booktabs' rules, one a group; needs ``\\usepackage{booktabs}``."""
    parts = []
    for group in groups:
        arrows = str.maketrans({"↑": r"$\uparrow$", "↓": r"$\downarrow$"})
        head = ["method", "people", *(_escape(heading(group, c)).translate(arrows) for c in group.columns)]
        lines = [" & ".join(head) + r" \\", r"\midrule"]
        for row in group.rows:
            cells = [_latex_cell(row, column) for column in group.columns]
            lines.append(" & ".join([_escape(row.method), _people(row), *cells]) + r" \\")
        body = "\n".join(["\\toprule", *lines, "\\bottomrule"])
        note = "\n".join(f"% {_ascii(text)}" for text in [group.title, legend(group), *_failures(group)])
        parts.append(f"{note}\n\\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}\n{body}\n\\end{{tabular}}")
    return "\n\n".join(parts) + "\n"


def _people(row: Row) -> str:
    """How many people; where it failed on some, on how many it did not."""
    done = max((cell.n for cell in row.cells.values()), default=0)
    return str(done) if done == row.identities else f"{done} of {row.identities}"


def _failures(group: Group) -> list[str]:
    return [f"{row.method} failed: {'; '.join(row.failures)}" for row in group.rows if row.failures]


def _marked(row: Row, column: Column, patterns: dict[str, str]) -> str:
    cell = row.cells.get(column.name)
    return patterns.get(cell.mark if cell else "", "{}").format(cell_text(cell, column))


def _latex_cell(row: Row, column: Column) -> str:
    text = _marked(row, column, {"best": r"\textbf{{{}}}", "tied": r"\textit{{{}}}"})
    return text.replace(" ± ", r" $\pm$ ").replace("–", "--")


def _words(text: str) -> str:
    """Somebody else's words, as words in Markdown: no table, link, style or HTML of theirs."""
    return re.sub(r"([\\`*_\[\]|])", r"\\\1", html.escape(" ".join(text.split()), quote=False))


def _escape(text: str) -> str:
    return _ascii(text).translate(_LATEX)


def _ascii(text: str) -> str:
    """One line without the letters that old LaTeX cannot read."""
    return " ".join(text.split()).replace("±", "+-").replace("é", "e").replace("–", "-")
