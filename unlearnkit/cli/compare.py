"""``unlearnkit compare``: runs, and results of the bench, as tables and a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from unlearnkit.cli.common import OUT, check_new_file, console
from unlearnkit.cli.output import json_option, print_json, stdout_reserved
from unlearnkit.errors import ConfigError

if TYPE_CHECKING:
    from unlearnkit.results import Found, Group

_RESULTS = click.Path(exists=True, path_type=Path)


@click.command()
@click.argument("results", type=_RESULTS, nargs=-1, required=True)
@click.option("--mix-budgets", is_flag=True, help="Compare results of the bench that were granted different budgets.")
@click.option("--full", is_flag=True, help="Print every table with its intervals, not only the answer on one screen.")
@click.option("--markdown", type=OUT, metavar="FILE", help="Write the tables as Markdown.")
@click.option("--latex", type=OUT, metavar="FILE", help="Write the tables as LaTeX (booktabs).")
@click.option("--html", type=OUT, metavar="FILE", help="Write one page with tables, trade-off and pictures.")
@click.option("--predicts", type=_RESULTS, metavar="FILE",
              help="Does the order of methods in RESULTS hold in these, of another world? Folder or merged file of the "
                   "bench; with --markdown or --json.")
@click.option("--site", type=click.Path(path_type=Path), metavar="DIR",
              help="Write a leaderboard into a new folder: the page, one more for every case, and all results.")
@click.option("--merge", type=OUT, metavar="FILE", help="Write all results into one file.")
@json_option
def command(
    results: tuple[Path, ...], mix_budgets: bool, full: bool, markdown: Path | None, latex: Path | None,
    html: Path | None, predicts: Path | None, site: Path | None, merge: Path | None, as_json: bool,
) -> None:
    """Compare methods on RESULTS: run directories, folders of the bench, and files that --merge wrote.

    \b
    unlearnkit compare runs/a runs/b
    unlearnkit compare runs/benchmarks/full --html compare.html
    unlearnkit compare mine.json theirs.json --markdown table.md
    unlearnkit compare bundled.json --predicts photoreal.json
    """
    from unlearnkit.results import compare, merge_results, read_results

    outputs = {"--markdown": markdown, "--latex": latex, "--html": html, "--merge": merge}
    for option, path in outputs.items():
        if path is not None:
            check_new_file(path, option)
    if predicts is not None:
        given = {**outputs, "--site": site}
        if wrong := [option for option in ("--latex", "--html", "--site", "--merge") if given[option] is not None]:
            raise click.UsageError(f"--predicts prints, and writes --markdown; it writes no {wrong[0]}")
        _predict(results, predicts, mix_budgets, markdown, as_json)
        return
    if site is not None and site.exists():
        raise ConfigError(f"--site: {site} already exists and is never overwritten; choose another name")
    with stdout_reserved(as_json):
        every = read_results(results)
        found = every if mix_budgets else _equal_budgets(every)
        groups = compare([item.result for item in found])
        _write_files(found, groups, markdown, latex, html)
        if site is not None:
            from unlearnkit.results.site import INDEX, write_site

            write_site(site, found, groups)
            click.echo(f"wrote {site / INDEX}", err=True)
        if merge is not None:
            merge_results(merge, every)
            click.echo(f"wrote {merge}", err=True)
    if as_json:
        from unlearnkit.results.machine import plain

        print_json("compare", plain(groups))
    else:
        from unlearnkit.results.tables import print_groups, print_summary

        (print_groups if full else print_summary)(groups, console())


def _predict(
    results: Sequence[Path], predicts: Path, mix_budgets: bool, markdown: Path | None, as_json: bool
) -> None:
    """Hold the order of methods in one world against that in another."""
    from unlearnkit.results import prediction_words as words
    from unlearnkit.results import read_results
    from unlearnkit.results.prediction import predictions, world

    with stdout_reserved(as_json):
        sides = [read_results(paths) for paths in (results, [predicts])]
        if not mix_budgets:
            sides = [_equal_budgets(side) for side in sides]
        first, second = (world([item.result for item in side], name)
                         for side, name in zip(sides, (", ".join(map(str, results)), str(predicts)), strict=True))
        found = predictions(first, second)
        if markdown is not None:
            _write(markdown, words.markdown(found, first, second))
    if as_json:
        print_json("predicts", words.plain(found, first, second))
    else:
        words.print_predictions(found, first, second, console())


def _equal_budgets(found: Sequence[Found]) -> list[Found]:
    """The results of methods that were granted the same; methods tuned less than most are left out, and named.

    :raises RunError: on budgets that differ in anything else.
    """
    from unlearnkit.results.files import check_budgets, leave_out_less_tuned

    kept, left_out = leave_out_less_tuned(found)
    for sentence in left_out:
        click.echo(f"{sentence}; or give --mix-budgets", err=True)
    check_budgets(kept)
    return kept


def _write_files(
    found: Sequence[Found], groups: Sequence[Group], markdown: Path | None, latex: Path | None, html: Path | None
) -> None:
    from unlearnkit.results import tables

    if markdown is not None:
        _write(markdown, tables.markdown(groups))
    if latex is not None:
        _write(latex, tables.latex(groups))
    if html is not None:
        from unlearnkit.results.page import page

        _write(html, page(found, groups))


def _write(path: Path, text: str) -> None:
    from unlearnkit.files import atomic

    with atomic.plain_errors("write", path):
        atomic.write_bytes(path, text.encode())
    click.echo(f"wrote {path}", err=True)
