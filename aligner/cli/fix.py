"""``align fix``: the candidate's file written again, put right."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aligner.cli.completion import files
from aligner.cli.options import (
    input_options,
    open_options,
    preprocessing,
    runtime_options,
    tolerance_options,
    weights_options,
)
from aligner.cli.run_file import RunCommand
from aligner.cli.work import check_writable, working

if TYPE_CHECKING:
    from aligner.api.options import CompareOptions


def contract_options(command: Any) -> Any:
    """The options of a comparison that decide what counts as right, and how tensors are paired."""
    mapping = click.option("--map", "mapping", type=click.Path(path_type=Path), help="CSV or YAML of pairs.")
    return tolerance_options(mapping(weights_options(command)))


@click.command(cls=RunCommand, short_help="Write the candidate again, put right.")
@click.argument("reference", metavar="REFERENCE|RUN.JSON", shell_complete=files)
@click.argument("candidate", required=False, shell_complete=files)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The file to write; not the candidate itself.")
@click.option("--dry-run", is_flag=True, help="Say what would be changed, and write nothing.")
@input_options
@click.option("--json", "json_file", metavar="FILE", help="Write what was done as JSON; - for standard output alone.")
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
    check_writable(given["json_file"])
    with working(given["verbose"]) as work:
        found = fix_model(
            reference,
            candidate,
            list(given["inputs"]),
            output=None if dry_run else output,
            options=compare_options(given),
            run=given.get("run"),
        )
        if given["json_file"]:
            from aligner.report.document_file import write_document
            from aligner.report.repair_text import to_document

            write_document(to_document(found), work.target(given["json_file"]))
        if given["json_file"] != "-":
            from aligner.report.repair_text import lines

            work.print("\n".join(lines(found)), wrap=False)
        return found.exit_code


_PLAIN = "atol rtol mapping seed memory_limit tolerance align_by local level noise_floor".split()
"""Options of a comparison that mean the same to the library."""


def compare_options(given: dict[str, Any]) -> CompareOptions:
    """What a command line, or the report that it names, asks of the comparison."""
    from aligner.api.comparing import CompareOptions

    return CompareOptions(
        **{name: given[name] for name in _PLAIN if given.get(name) is not None},
        reference_options=open_options(given, given["reference_weights"]),
        candidate_options=open_options(given, given["candidate_weights"]),
        preprocessing=preprocessing(given),
    )
