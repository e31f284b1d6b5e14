"""align explain: what a cause means, how it is shown, what helps."""

from __future__ import annotations

import click

from aligner.cli.work import working

_WIDEST = 30
"""Characters of the longest id."""


@click.command(short_help="Say what a cause means and what helps.")
@click.argument("cause", required=False)
def explain(cause: str | None) -> int:
    """Say what a cause means, how it is shown, what helps, with an example; without CAUSE list them all."""
    with working(verbose=False) as work:
        from aligner.causes.catalogue import catalogue, entry, paragraphs
        from aligner.report.page import Page

        page = Page.of(work.console)
        if cause is None:
            page.print(page.facts([(one.id, page.prose(" ".join(one.what))) for one in catalogue()], _WIDEST))
        else:
            page.print(page.facts([(head, page.prose(words)) for head, words in paragraphs(entry(cause))], 15))
    return 0
