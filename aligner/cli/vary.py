"""``align vary``: a model against itself under the switches of its runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from aligner.cli.completion import files
from aligner.cli.guard import decided
from aligner.cli.options import compare_options, input_options, json_option, runtime_options, tolerance_options
from aligner.cli.targets import FileCommand
from aligner.cli.work import working


@click.command(cls=FileCommand, short_help="Compare a model with itself under its runtime's switches.")
@click.argument("model", shell_complete=files)
@click.option(
    "--over",
    metavar="SWITCH,…",
    help="Some of provider, optimization, precision, threads, batch, runs. [default: all that it has]",
)
@json_option()
@click.option("--weights", type=click.Path(path_type=Path), help="Checkpoint for the model's factory.")
@tolerance_options
@input_options
@runtime_options
def vary(model: str, over: str | None, **given: Any) -> int:
    """Say which setting of its runtime changes what a model computes, and at which node.

    Each setting is held against the plainest of its switch. Exit codes as for compare.
    """
    from aligner.api.varying import SWITCHES
    from aligner.api.varying import vary as varied

    with working(given["verbose"]) as work:
        options = compare_options(given)
        found = varied(model, list(given["inputs"]), over=SWITCHES if over is None else over, options=options)
        decided(found.exit_code)
        from aligner.report.variation_text import print_variations, to_document

        if work.wrote(given, lambda: to_document(found)):
            print_variations(found, work.console)
    return found.exit_code
