"""``align sensitivity``: which nodes of a coarser twin cost how much, and what restoring them buys."""

from __future__ import annotations

from typing import Any

import click

from aligner.cli.options import compare_options, contract_options, input_options, json_option, runtime_options
from aligner.cli.run_file import REFERENCE_CANDIDATE_OR_RUN, RunCommand
from aligner.cli.work import working


@click.command(cls=RunCommand, short_help="Rank a quantised model's nodes by what they cost.")
@REFERENCE_CANDIDATE_OR_RUN
@click.option("--keep", type=click.IntRange(min=0), help="Nodes to keep in floating point. [default: half the error]")
@click.option("--full", is_flag=True, help="Show every node.")
@input_options
@json_option()
@click.option("--html", "html_file", metavar="FILE", help="Write one HTML page with the curve.")
@contract_options
@runtime_options
def sensitivity(reference: str, candidate: str, keep: int | None, full: bool, **given: Any) -> int:
    """Say which nodes of a quantised or half-precision model cost how much at its outputs, and which to leave float.

    REFERENCE is the model before, CANDIDATE after. The reference runs once for each noisy node, with its noise alone.
    Exit codes: 0 measured, 2 could not be.
    """
    from aligner.api.sensing import sensitivity as measured

    with working(given["verbose"]) as work:
        options, inputs = compare_options(given), list(given["inputs"])
        found = measured(reference, candidate, inputs, options=options, run=given.get("run"))
        from aligner.report.sensitivity_text import lines, to_document

        words = work.wrote(given, lambda: to_document(found, keep))
        if given["html_file"]:
            from aligner.report.sensitivity_page import write_sensitivity_html

            write_sensitivity_html(found, work.target(given["html_file"]), keep)
        if words and given["html_file"] != "-":
            work.print("\n".join(lines(found, full=full, keep=keep)), wrap=False)
    return 0
