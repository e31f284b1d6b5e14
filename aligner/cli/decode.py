"""``align decode``: one decoder against itself."""

from __future__ import annotations

from typing import Any

import click

from aligner.cli.completion import files
from aligner.cli.guard import decided
from aligner.cli.options import MODELS, WEIGHTS, input_options, json_option, open_options, runtime_options, text_options
from aligner.cli.prompt import fed
from aligner.cli.targets import FileCommand
from aligner.cli.work import working


@click.command(cls=FileCommand, epilog=MODELS, short_help="Check one decoder's cache against itself.")
@click.argument("model", shell_complete=files)
@input_options
@click.option("--steps", type=click.IntRange(min=1), default=2, show_default=True, help="Tokens to go on by.")
@text_options
@WEIGHTS
@json_option()
@runtime_options
def decode(model: str, **given: Any) -> int:
    """Whether n tokens at once give what n − 1 give and one more by the cache: 0 yes, 1 no, and where not."""
    from aligner.api.self_check import decode as check

    options = open_options(given, given["weights"])
    with working(given["verbose"]) as work:
        found = check(model, fed(given) or None, steps=given["steps"], options=options, seed=given["seed"])
        decided(found.exit_code)
        from aligner.report.series_table import print_self_check, self_check_document

        if work.wrote(given, lambda: self_check_document(found)):
            print_self_check(found, work.console)
        return found.exit_code
