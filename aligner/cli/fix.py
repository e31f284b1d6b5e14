"""``align fix``: the candidate's file written again, put right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from aligner.cli.guard import decided
from aligner.cli.options import compare_options, contract_options, input_options, json_option, runtime_options
from aligner.cli.run_file import REFERENCE_CANDIDATE_OR_RUN, RunCommand
from aligner.cli.work import working


@click.command(cls=RunCommand, short_help="Write the candidate again, put right.")
@REFERENCE_CANDIDATE_OR_RUN
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The file to write; not the candidate itself.")
@click.option("--dry-run", is_flag=True, help="Say what would be changed, and write nothing.")
@input_options
@json_option("Write what was done as JSON")
@contract_options
@runtime_options
def fix(reference: str, candidate: str, output: Path | None, dry_run: bool, **given: Any) -> int:
    """Put a converted file right: what was proven to be wrong is edited, and compared again before it is written.

    REFERENCE and CANDIDATE as in compare, or the report of a comparison, RUN.json.

    Exit codes: 0 right now (or right before), 1 not right and nothing written, 2 nothing that could be put right.
    """
    from aligner.api.fixing import fix as fix_model

    if output is None and not dry_run:
        raise click.UsageError("name the file to write with -o, or say --dry-run")
    with working(given["verbose"]) as work:
        found = fix_model(
            reference,
            candidate,
            list(given["inputs"]),
            output=None if dry_run else output,
            options=compare_options(given),
            run=given.get("run"),
        )
        decided(found.exit_code)
        from aligner.report.repair_text import lines, to_document

        if work.wrote(given, lambda: to_document(found)):
            work.print("\n".join(lines(found)), wrap=False)
        return found.exit_code
