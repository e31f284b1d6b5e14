"""``align vary``: a model against itself under the switches of its runtime."""

from __future__ import annotations

from typing import Any

import click

from aligner.cli.completion import files
from aligner.cli.guard import decided
from aligner.cli.options import input_options, open_options, preprocessing, runtime_options, tolerance_options
from aligner.cli.targets import FileCommand
from aligner.cli.work import check_writable, working


@click.command(cls=FileCommand, short_help="Compare a model with itself under its runtime's switches.")
@click.argument("model", shell_complete=files)
@click.option(
    "--over",
    metavar="SWITCH,…",
    help="Some of provider, optimization, precision, threads, batch, runs. [default: all that it has]",
)
@click.option("--json", "json_file", metavar="FILE", help="Write JSON; - for standard output alone.")
@click.option("--weights", type=click.Path(), help="Checkpoint for the model's factory.")
@tolerance_options
@input_options
@runtime_options
def vary(model: str, over: str | None, weights: str | None, **given: Any) -> int:
    """Say which setting of its runtime changes what a model computes, and at which node.

    Each setting is held against the plainest of its switch. Exit codes as for compare.
    """
    from pathlib import Path

    from aligner.api.options import CompareOptions
    from aligner.api.varying import SWITCHES
    from aligner.api.varying import vary as varied

    check_writable(given["json_file"])
    options = CompareOptions(
        atol=given["atol"],
        rtol=given["rtol"],
        reference_options=open_options(given, Path(weights) if weights else None),
        preprocessing=preprocessing(given),
        seed=given["seed"],
        memory_limit=given["memory_limit"],
    )
    with working(given["verbose"]) as work:
        found = varied(model, list(given["inputs"]), over=SWITCHES if over is None else over, options=options)
        decided(found.exit_code)
        if given["json_file"]:
            from aligner.report.document_file import write_document
            from aligner.report.variation_text import to_document

            write_document(to_document(found), work.target(given["json_file"]))
        if given["json_file"] != "-":
            from aligner.report.variation_text import print_variations

            print_variations(found, work.console)
    return found.exit_code
