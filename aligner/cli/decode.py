"""``align decode``: one decoder against itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from aligner.cli.completion import files
from aligner.cli.guard import decided
from aligner.cli.options import MODELS, input_options, open_options, runtime_options
from aligner.cli.prompt import fed
from aligner.cli.targets import FileCommand
from aligner.cli.work import check_writable, working


@click.command(cls=FileCommand, epilog=MODELS, short_help="Check one decoder's cache against itself.")
@click.argument("model", shell_complete=files)
@input_options
@click.option("--steps", type=click.IntRange(min=1), default=2, show_default=True, help="Tokens to go on by.")
@click.option("--prompt", help="Text whose tokens are fed, by --tokenizer.")
@click.option("--tokenizer", type=click.Path(path_type=Path), help="tokenizer.json, or the folder that holds it.")
@click.option("--weights", type=click.Path(path_type=Path), help="Checkpoint to load into a factory's module.")
@click.option("--json", "json_file", metavar="FILE", help="Write JSON; - for standard output alone.")
@runtime_options
def decode(model: str, **given: Any) -> int:
    """Whether n tokens at once give what n − 1 give and one more by the cache: 0 yes, 1 no, and where not."""
    from aligner.api.self_check import decode as check

    check_writable(given["json_file"])
    options = open_options(given, given["weights"])
    with working(given["verbose"]) as work:
        found = check(model, fed(given) or None, steps=given["steps"], options=options, seed=given["seed"])
        decided(found.exit_code)
        if given["json_file"]:
            from aligner.report.document_file import write_document
            from aligner.report.series_table import self_check_document

            write_document(self_check_document(found), work.target(given["json_file"]))
        if given["json_file"] != "-":
            from aligner.report.series_table import print_self_check

            print_self_check(found, work.console)
        return found.exit_code
