"""``align repro``: a fault, alone, to attach to an issue."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from aligner.cli.options import compare_options, contract_options, input_options, json_option, runtime_options
from aligner.cli.run_file import REFERENCE_CANDIDATE_OR_RUN, RunCommand
from aligner.cli.work import working


@click.command(cls=RunCommand, short_help="Cut the fault out, to show it alone.")
@REFERENCE_CANDIDATE_OR_RUN
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="A new folder.")
@input_options
@json_option("Write what was made as JSON")
@contract_options
@runtime_options
def repro(reference: str, candidate: str, output: Path, **given: Any) -> int:
    """Write the guilty part of a converted model, what it is fed and should give, a script, and an issue's text.

    The script needs the runtime and numpy alone; it has failed in a process of its own before anything is written.
    REFERENCE and CANDIDATE as in compare, or the report of a comparison, RUN.json.
    """
    from aligner.api.reproducing import reproduce

    with working(given["verbose"]) as work:
        options = compare_options(given)
        found = reproduce(
            reference, candidate, list(given["inputs"]), output=output, options=options, run=given.get("run")
        )
        from aligner.report.codec import encode

        if work.wrote(given, lambda: {"format": "aligner.reproduction/1", **encode(found)}):
            work.print(f"wrote {found.folder}: {', '.join(found.files)}")
            work.print(f"{', '.join(found.operations)} at {found.node} fails alone: {found.said}")
            work.print(f"run it: cd {found.folder} && python repro.py; ISSUE.md is the text to send with it")
    return 0
