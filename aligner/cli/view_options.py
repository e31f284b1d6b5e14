"""What of a comparison the terminal shows, and in which order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from aligner.cli.options import together

if TYPE_CHECKING:
    from aligner.report.selection import Selection

SORTS = (
    "position verdict accumulated local bound times reference candidate op shape rule confidence".split()  # of COLUMNS
)

view_options = together(
    click.option("--full", is_flag=True, help="Show every pair."),
    click.option("--quiet", is_flag=True, help="Show one line."),
    click.option("--timing", is_flag=True, help="Show, after the report, which phase took how long."),
    click.option("--pictures", is_flag=True, help="Draw the first divergence: reference, candidate, difference."),
    click.option(
        "--filter",
        "filters",
        multiple=True,
        metavar="TEXT|VERDICT",
        help="Show the pairs with this verdict, or with these words in names, ops, modules, sources; repeatable. "
        "Holds for the terminal, CSV and Markdown.",
    ),
    click.option(
        "--sort",
        type=click.Choice(SORTS),
        metavar="COLUMN",
        help=f"Sort these pairs, the largest errors first, by {', '.join(SORTS[:-1])} or {SORTS[-1]}; times: how far "
        "beyond the bound.",
    ),
)


def selection(given: dict[str, Any]) -> Selection:
    """The pairs that a command line asks for."""
    from aligner.report.selection import Selection

    return Selection(tuple(given.get("filters") or ()), given.get("sort"))
