"""``align compare``: two forms of one model, tensor by tensor."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from typing import Any

import click

from aligner.cli.ahead import prepared_ahead
from aligner.cli.next_step import with_next_step
from aligner.cli.options import (
    ALIGN_BY,
    LEVEL,
    LOCAL,
    MAP,
    MODELS,
    REFERENCE_CANDIDATE,
    SAVE_MAP,
    compare_options,
    input_options,
    json_option,
    runtime_options,
    text_options,
    tolerance_options,
    weights_options,
)
from aligner.cli.prompt import fed
from aligner.cli.report_options import report_options
from aligner.cli.sizes import NamedSizes, SizesCommand
from aligner.cli.view_options import view_options
from aligner.cli.work import working


@click.command(cls=SizesCommand, epilog=MODELS)
@REFERENCE_CANDIDATE
@input_options
@json_option("Write the report as JSON")
@tolerance_options
@click.option("--tolerance", type=float, help="One fixed tolerance at every node, in place of rounding bounds.")
@MAP
@ALIGN_BY
@LOCAL
@LEVEL
@click.option("--probe", is_flag=True, help="Compare on further inputs made from the given one, too.")
@click.option(
    "--noise-floor/--no-noise-floor",
    default=None,
    help="Also run the reference in float64 and both sides from another seed. [default: where the verdict is doubtful]",
)
@weights_options
@click.option(
    "--dump-of",
    multiple=True,
    metavar="[SIDE=]MODEL",
    help="The model that a dump (a file or folder of tensors of another program) was made of.",
)
@click.option(
    "--dump-layout",
    type=click.Choice(["nchw", "nhwc"]),
    help="How a dump lies. [default: as its shapes or its model say]",
)
@click.option("--steps", type=click.IntRange(min=1), help="Take both as decoders: prefill, then so many tokens.")
@click.option(
    "--prefill",
    multiple=True,
    metavar="[SIDE=]MODEL",
    help="With --steps: the file that reads the prompt, of a candidate exported into two.",
)
@text_options
@click.option(
    "--shapes",
    multiple=True,
    type=NamedSizes(),
    metavar="NAME=N,N…",
    help="Compare at every combination of sizes: --shapes batch=1,4 seq=16,128.",
)
@SAVE_MAP
@view_options
@report_options
@runtime_options
def compare(reference: str, candidate: str, **given: Any) -> int:
    """Compare two forms of one model, tensor by tensor."""
    from aligner.api.comparing import run_comparison
    from aligner.api.dumped import dump_options
    from aligner.cli.sides import by_side, parse_dump_of
    from aligner.execution.memory import keep_pages

    asked = compare_options(given)
    sides = dump_options(
        (reference, candidate),
        (asked.reference_options, asked.candidate_options),
        parse_dump_of(given["dump_of"]),
        given["dump_layout"],
    )
    words = [*(click.get_current_context().obj or sys.argv[1:])]
    options = replace(
        asked,
        reference_options=sides[0],
        candidate_options=sides[1],
        probe=given["probe"],
        steps=given["steps"],
        prefill=by_side("--prefill", given["prefill"], unnamed="candidate"),
        shapes=dict(given["shapes"]) or None,
        command=shlex.join(["align", *words]),
    )
    keep_pages()
    with working(given["verbose"]) as work:
        with prepared_ahead():
            comparison = run_comparison(reference, candidate, fed(given), options)
        work.save_map(given, comparison.mapping)
        return work.report(with_next_step(comparison, words[1:], compare), given)
