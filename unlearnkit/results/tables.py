"""A comparison as a table: for the terminal, as Markdown and as LaTeX. Imports no torch."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from unlearnkit.results.answer import answer
from unlearnkit.results.columns import Column
from unlearnkit.results.statistics import Cell, Group, Row

__all__ = [
    "LEGEND", "cell_text", "failures", "heading", "interval_text", "latex", "legend", "markdown", "mean_text",
    "print_groups", "print_summary", "terminal", "terminal_columns",
]

LEGEND = (
    "Mean over people and, from three people on, [95 % interval] (Student's t, cut at the number's range; seeds of a "
    "person are averaged first)."
)
_MARKS = (" Bold: the best of its column; italic: not significantly worse (paired t-test over the same people, 5 %, "
          "Holm's correction).")
_LATEX = str.maketrans({**{char: rf"\{char}" for char in "&%$#_{}"}, "\\": r"\textbackslash{}",
                       "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"})
_FEW = " With fewer than three people nothing is tested, and nothing is marked."

_STYLES = {"best": "bold green", "tied": "italic green", "worse": "", "": ""}
_IN_TERMINAL = {
    "erasure": "erasure", "preservation": "preserv.", "steps": "steps", "erased": "erased", "others": "others",
    "bystanders": "bystand.", "random": "random", "relearning": "relearn", "seconds": "time", "memory": "MiB",
}
"""Columns that the terminal shows, the most important first, and what it calls them."""


def legend(group: Group) -> str:
    """What the numbers are, the levels to hold similarities against, and what was not alike."""
    cells = [cell for row in group.rows for cell in row.cells.values()]
    text = LEGEND + (_MARKS if any(cell.leads for cell in cells) else "" if group.people() > 2 else _FEW)
    if group.strangers is not None and group.same is not None:
        text += f" Two strangers have similarity {group.strangers:.2f}, two pictures of one person {group.same:.2f}."
    if len(group.machines) == 1 and "kernels" in group.machines[0]:  # of several machines a note speaks
        text += f" Times are from {group.machines[0]}."
    return " ".join([text, *group.notes])


def heading(group: Group, column: Column, title: str | None = None) -> str:
    """A column's title, which way is better and, where it stands on fewer people than the table, on how many."""
    few = group.people(column.name)
    text = f"{title or column.title} {column.arrow}".rstrip()
    return text if few == group.people() else f"{text} ({few})"


def mean_text(cell: Cell | None, column: Column) -> str:
    """``0.42``; an en dash where there is no number."""
    return "–" if cell is None else _rounded(cell.mean, column.digits)


def interval_text(cell: Cell | None, column: Column) -> str:
    """``[0.31, 0.55]``; empty where there is no interval."""
    if cell is None or cell.low is None or cell.high is None:
        return ""
    return f"[{_rounded(cell.low, column.digits)}, {_rounded(cell.high, column.digits)}]"


def _rounded(value: float, digits: int) -> str:
    return f"{round(value, digits) + 0.0:.{digits}f}"  # + 0.0: no minus before a zero


def cell_text(cell: Cell | None, column: Column) -> str:
    """``0.42 [0.31, 0.55]``; an en dash where there is no number."""
    return f"{mean_text(cell, column)} {interval_text(cell, column)}".rstrip()


def terminal_columns(group: Group) -> list[Column]:
    """The columns that a wide terminal has room for, the most important first."""
    known = {column.name: column for column in group.columns}
    return [known[name] for name in _IN_TERMINAL if name in known]


def terminal(group: Group, shown: Sequence[Column] | None = None) -> Table:
    """A table for the terminal: two lines a method, mean above interval; ``shown`` are its columns."""
    shown = terminal_columns(group) if shown is None else shown
    left_out = [column.title for column in group.columns if column.headline and column not in shown]
    others = sum(not column.headline for column in group.columns)
    left_out += [f"{others} numbers of metrics"] if others else []
    more = f" Left out here: {', '.join(left_out)}; see --html, --markdown or --json." if left_out else ""
    table = Table(title=Text(group.title), title_justify="left", caption=Text(legend(group) + more),
                  caption_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("method", max_width=32, overflow="fold")
    for column in (*shown, None):
        title = "people" if column is None else heading(group, column, _IN_TERMINAL[column.name])
        table.add_column(Text(title.replace(" ", "\n", 1)), justify="right", no_wrap=True)
    for row in group.rows:
        texts = []
        for column in shown:
            cell = row.cells.get(column.name)
            style = "" if cell is None else _STYLES[cell.mark]
            texts.append(Text(f"{mean_text(cell, column)}\n{interval_text(cell, column)}".rstrip(), style))
        table.add_row(Text(row.method), *texts, _people(row))
    return table


def print_summary(groups: Sequence[Group], out: Console) -> None:
    """One screen: the answer and means of the first group, a line a method, and which other groups there are."""
    group = groups[0]
    shown = terminal_columns(group)
    table = _means(group, shown)
    while len(shown) > 2 and out.measure(table, options=out.options.update(width=1000)).maximum > min(out.width, 100):
        shown = shown[:-1]
        table = _means(group, shown)
    out.print(table)
    for sentence in answer(group):
        out.print(sentence, soft_wrap=True, markup=False)
    for line in (*failures(group), *group.notes):
        out.print(line, soft_wrap=True, markup=False)
    others = ", ".join(other.title for other in groups[1:])
    out.print(f"{f'Not shown: {others}. ' if others else ''}--full prints every table with its intervals, --html FILE "
              "a page with pictures.", soft_wrap=True, markup=False)


def _means(group: Group, shown: Sequence[Column]) -> Table:
    """A table of means alone."""
    title = f"{group.title}, means over {group.people()} people; bold: best, italic: not significantly worse"
    table = Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("method", max_width=32, no_wrap=True)
    for column in shown:
        table.add_column(Text(heading(group, column, _IN_TERMINAL[column.name])), justify="right", no_wrap=True)
    for row in group.rows:
        cells = [(row.cells.get(column.name), column) for column in shown]
        table.add_row(Text(row.method), *(
            Text(mean_text(cell, column), "" if cell is None else _STYLES[cell.mark]) for cell, column in cells))
    return table


def print_groups(groups: Sequence[Group], out: Console) -> None:
    """Print each table with the columns that the window has room for; a pipe has room for all."""
    for group in groups:
        columns = terminal_columns(group)
        drawn = terminal(group, columns)
        while (least := out.measure(drawn, options=out.options.update(width=1000)).maximum) > out.width:
            if len(columns) <= 2 or not out.is_terminal:
                out.width = least  # lines break, numbers do not
                break
            columns = columns[:-1]
            drawn = terminal(group, columns)
        out.print(drawn)
        for line in failures(group):
            out.print(line, soft_wrap=True, markup=False)


def markdown(groups: Sequence[Group]) -> str:
    """Tables in GitHub's Markdown: the headline columns, then all others that metrics declare."""
    parts = []
    for group in groups:
        main, others = ([c for c in group.columns if c.headline is headline] for headline in (True, False))
        parts += [f"### {group.title}", _markdown_table(group, main)]
        parts += [_markdown_table(group, others)] if others else []
        parts += [_words(legend(group)), *map(_words, failures(group))]
    return "\n\n".join(parts) + "\n"


def _markdown_table(group: Group, columns: Sequence[Column]) -> str:
    head = ["method", "people", *(_words(heading(group, column)) for column in columns)]
    lines = [head, ["---", *["---:"] * (len(head) - 1)]]
    for row in group.rows:
        cells = [_marked(row, column, {"best": "**{}**", "tied": "*{}*"}) for column in columns]
        lines.append([_words(row.method), _people(row), *cells])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def latex(groups: Sequence[Group]) -> str:
    """A ``tabular`` of the headline columns for each group, with booktabs' rules: ``\\usepackage{booktabs}``."""
    parts = []
    for group in groups:
        columns = [column for column in group.columns if column.headline]
        arrows = str.maketrans({"↑": r"$\uparrow$", "↓": r"$\downarrow$"})
        head = ["method", "people", *(_escape(heading(group, c)).translate(arrows) for c in columns)]
        lines = [" & ".join(head) + r" \\", r"\midrule"]
        for row in group.rows:
            cells = [_latex_cell(row, column) for column in columns]
            lines.append(" & ".join([_escape(row.method), _people(row), *cells]) + r" \\")
        body = "\n".join(["\\toprule", *lines, "\\bottomrule"])
        note = "\n".join(f"% {_ascii(text)}" for text in [group.title, legend(group), *failures(group)])
        parts.append(f"{note}\n\\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}\n{body}\n\\end{{tabular}}")
    return "\n\n".join(parts) + "\n"


def _people(row: Row) -> str:
    """How many people; where it failed on some, on how many it did not."""
    done = max((cell.n for cell in row.cells.values()), default=0)
    return str(done) if done == row.identities else f"{done} of {row.identities}"


def failures(group: Group) -> list[str]:
    """Whom which method has no numbers of, and why: a line a method."""
    return [f"{row.method} has no numbers of {'; '.join(row.failures)}" for row in group.rows if row.failures]


def _marked(row: Row, column: Column, patterns: dict[str, str]) -> str:
    cell = row.cells.get(column.name)
    return patterns.get(cell.mark if cell else "", "{}").format(cell_text(cell, column))


def _latex_cell(row: Row, column: Column) -> str:
    text = _marked(row, column, {"best": r"\textbf{{{}}}", "tied": r"\textit{{{}}}"})
    return text.replace("–", "--")


def _words(text: str) -> str:
    """Somebody else's words, as words in Markdown: no table, link, style or HTML of theirs."""
    return re.sub(r"([\\`*_\[\]|])", r"\\\1", html.escape(" ".join(text.split()), quote=False))


def _escape(text: str) -> str:
    return _ascii(text).translate(_LATEX)


def _ascii(text: str) -> str:
    """One line without the letters that old LaTeX cannot read; the arrows of headings stay."""
    plain = unicodedata.normalize("NFKD", " ".join(text.split()).replace("–", "-"))
    letters = (char for char in plain if not unicodedata.combining(char))
    return "".join(char if char.isascii() or char in "↑↓" else "?" for char in letters)
