"""A command that takes a report of ``align compare`` in place of two models, and compares those again."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from aligner.cli.completion import files
from aligner.cli.options import together
from aligner.cli.targets import FileCommand, outputs_of
from aligner.errors import AlignerError, InputError, UntrustedFileError

_NEW = outputs_of() | {
    "dry_run",
    "verbose",
    "full",
    "github",
    "timeout",
    "process_memory",
    "dump_of",
    "dump_layout",
    "prefill",
}
"""Parameters that the report does not answer: what is written, what is shown, how much may be taken."""


REFERENCE_CANDIDATE_OR_RUN = together(
    click.argument("reference", metavar="REFERENCE|RUN.JSON", shell_complete=files),
    click.argument("candidate", required=False, shell_complete=files),
)


class RunCommand(FileCommand):
    """A command of REFERENCE and CANDIDATE, or of one RUN.JSON: the command line in it fills in what is not said."""

    def invoke(self, ctx: click.Context) -> Any:
        if ctx.params.get("candidate") is None:
            run = Path(str(ctx.params["reference"]))
            told = recorded(run)
            trusted = bool(ctx.params.get("trust"))
            _check_code(run, told, trusted=trusted)
            given = {name for name in ctx.params if _was_given(ctx, name)} - {"reference", "candidate"}
            ctx.params |= {name: value for name, value in told.items() if name not in given | _NEW}
            ctx.params |= {"trust": trusted, "run": run}
        return super().invoke(ctx)


def _was_given(ctx: click.Context, name: str) -> bool:
    return ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE


def recorded(run: Path) -> dict[str, Any]:
    """The parameters of the comparison that a report is of. Raises InputError."""
    from aligner.cli.compare import compare
    from aligner.report.json_document import read_json

    try:
        command = read_json(run).command
    except AlignerError as error:
        if run.suffix.lower() == ".json":
            raise
        raise InputError(
            f"{run} is no report of a comparison, and the only model",
            found="no CANDIDATE",
            hint="name both models, or the file of align compare … --json FILE",
        ) from error
    try:
        words = shlex.split(command or "")
    except ValueError:  # a quotation that does not end
        words = []
    if words[:2] != ["align", "compare"] or {"-h", "--help"} & set(words):
        raise InputError(
            f"{run} does not say how to compare again",
            found=command or "no command: the report was not made by align compare",
            hint="give both models and their input: REFERENCE CANDIDATE --input FILE",
        )
    try:
        return dict(compare.make_context("compare", words[2:]).params)
    except click.ClickException as error:
        raise InputError(
            f"the command in {run} is not understood", found=error.format_message(), hint="give both models instead"
        ) from error


def _check_code(run: Path, told: dict[str, Any], *, trusted: bool) -> None:
    """A file may not decide which code runs: the user says so anew."""
    from aligner.adapters.target import parse_target

    code = [str(told[name]) for name in ("reference", "candidate") if parse_target(told[name]).factory]
    if (code or told.get("trust")) and not trusted:
        raise UntrustedFileError(
            f"{run} asks to run code", found=code[0] if code else "--trust", hint="add --trust if the report is yours"
        )
