"""A comparison in a few sentences: who wins what, on how many people, and how sure that is. Imports no torch."""

from __future__ import annotations

from unlearnkit.results.columns import Column
from unlearnkit.results.statistics import MIN_PEOPLE, Cell, Group

__all__ = ["answer"]

_ASKED = {"erasure": "erases best", "preservation": "keeps others best"}
_NAMED = 3
"""So many methods are named; more are counted."""


def answer(group: Group) -> list[str]:
    """Who has the best balance, who erases and who keeps best, who leads in both; empty without either score."""
    columns = {column.name: column for column in group.columns if column.name in _ASKED}
    told = [text for name, column in columns.items() if (text := _leader(group, column, _ASKED[name]))]
    first = group.rows[0] if group.rows else None
    if first is None or len(told) < len(_ASKED) or not all(name in first.cells for name in _ASKED):
        return told
    lower = min(first.cells[name].mean for name in _ASKED)
    balance = f"Best balance, by the lower of the scores erasure and preservation: {first.method}, {lower:.2f}."
    return [balance, *told, _both(group)]


def _leader(group: Group, column: Column, does: str) -> str | None:
    cells = {row.method: cell for row in group.rows if (cell := row.cells.get(column.name)) is not None}
    if not cells:
        return None
    best = max(cells, key=lambda method: (cells[method].mark == "best", cells[method].mean))
    text = f"{best} {does}: {_number(cells[best])} over {cells[best].n} {'person' if cells[best].n == 1 else 'people'}"
    if len(cells) == 1:
        return f"{text}."
    if group.people(column.name) < MIN_PEOPLE:
        return f"{text}; with fewer than {MIN_PEOPLE} people nothing is tested, so this may be chance."
    tied = [method for method, cell in cells.items() if cell.mark == "tied"]
    worse = sum(cell.mark == "worse" for cell in cells.values())
    rest = f"{worse} {'is' if worse == 1 else 'are'} significantly worse" if worse else ""
    if tied:
        among = f"no difference to {_names(tied)} can be told"
        return f"{text}; {among}{f', {rest}' if rest else ''}."
    return f"{text}; all others are significantly worse."


def _both(group: Group) -> str:
    """Who is not significantly behind in either."""
    leaders = [row.method for row in group.rows if all(
        name in row.cells and row.cells[name].leads for name in _ASKED)]
    if group.people() < MIN_PEOPLE:
        return "Erasure and preservation pull against each other: compare both."
    if not leaders:
        return "No method leads in both: every one pays for one with the other."
    return f"In front in both: {_names(leaders)}."


def _number(cell: Cell) -> str:
    return f"{cell.mean:.2f}" if cell.low is None or cell.high is None else \
        f"{cell.mean:.2f} [{cell.low:.2f}, {cell.high:.2f}]"


def _names(methods: list[str]) -> str:
    if len(methods) <= _NAMED:
        return " and ".join([", ".join(methods[:-1]), methods[-1]] if len(methods) > 1 else methods)
    return f"{', '.join(methods[:_NAMED])} and {len(methods) - _NAMED} more"
