"""``unlearnkit compare``: results of the benchmark as tables and a page."""

from __future__ import annotations

from pathlib import Path

import click

from unlearnkit.cli.common import OUT, check_new_file, console

_RESULTS = click.Path(exists=True, path_type=Path)


@click.command()
@click.argument("results", type=_RESULTS, nargs=-1, required=True)
@click.option("--mix-budgets", is_flag=True, help="Compare results although they were granted different budgets.")
@click.option("--markdown", type=OUT, metavar="FILE", help="Write the tables as Markdown.")
@click.option("--latex", type=OUT, metavar="FILE", help="Write the tables as LaTeX (booktabs).")
@click.option("--html", type=OUT, metavar="FILE", help="Write one page with tables, trade-off and pictures.")
@click.option("--json", "merged", type=OUT, metavar="FILE", help="Write all results into one file.")
def command(
    results: tuple[Path, ...], mix_budgets: bool, markdown: Path | None, latex: Path | None, html: Path | None,
    merged: Path | None,
) -> None:
    """Compare methods on RESULTS: folders of the benchmark, and files that --json wrote.

    \b
    unlearnkit compare runs/benchmarks/full --html compare.html
    unlearnkit compare mine.json theirs.json --markdown table.md
    """
    from unlearnkit.results import compare, merge_results, read_results
    from unlearnkit.results.files import check_budgets
    from unlearnkit.results.tables import latex as latex_text
    from unlearnkit.results.tables import markdown as markdown_text
    from unlearnkit.results.tables import terminal

    outputs = {"--markdown": markdown, "--latex": latex, "--html": html, "--json": merged}
    for option, path in outputs.items():
        if path is not None:
            check_new_file(path, option)
    found = read_results(results)
    if not mix_budgets:
        check_budgets(found)
    groups = compare([item.result for item in found])
    if markdown is not None:
        _write(markdown, markdown_text(groups))
    if latex is not None:
        _write(latex, latex_text(groups))
    if html is not None:
        from unlearnkit.results.page import page

        _write(html, page(found, groups))
    if merged is not None:
        merge_results(merged, found)
        click.echo(f"wrote {merged}")
    out = console()
    for group in groups:
        drawn = terminal(group)
        # In a narrow window, or a pipe, lines break; numbers do not.
        out.width = max(out.width, out.measure(drawn, options=out.options.update(width=1000)).minimum)
        out.print(drawn)
        for row in group.rows:
            for failure in row.failures:
                out.print(f"{row.method} failed on {failure}", soft_wrap=True, markup=False)


def _write(path: Path, text: str) -> None:
    from unlearnkit.files import atomic

    with atomic.plain_errors("write", path):
        atomic.write_bytes(path, text.encode())
    click.echo(f"wrote {path}")
