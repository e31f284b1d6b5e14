"""``align compare``: two forms of one model, tensor by tensor."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from aligner.cli.completion import files
from aligner.cli.graph_commands import SAVE_MAP, save_map
from aligner.cli.next_step import with_next_step
from aligner.cli.options import (
    LEVEL,
    LOCAL,
    MODELS,
    input_options,
    open_options,
    preprocessing,
    runtime_options,
    tolerance_options,
    weights_options,
)
from aligner.cli.prompt import fed
from aligner.cli.report_options import check_report_targets, report_options
from aligner.cli.sizes import NamedSizes, SizesCommand
from aligner.cli.view_options import view_options
from aligner.cli.work import check_writable, working


@click.command(cls=SizesCommand, epilog=MODELS)
@click.argument("reference", shell_complete=files)
@click.argument("candidate", shell_complete=files)
@input_options
@click.option("--json", "json_file", metavar="FILE", help="Write the report as JSON; - for standard output alone.")
@tolerance_options
@click.option("--tolerance", type=float, help="One fixed tolerance at every node, in place of rounding bounds.")
@click.option("--map", "mapping", type=click.Path(path_type=Path), help="CSV or YAML of pairs that override pairing.")
@click.option(
    "--align-by",
    type=click.Choice(["auto", "name", "order", "weights", "structure"]),
    default="auto",
    show_default=True,
    help="How tensors are paired.",
)
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
@click.option("--prompt", help="Text whose tokens are fed, by --tokenizer.")
@click.option("--tokenizer", type=click.Path(path_type=Path), help="tokenizer.json, or the folder that holds it.")
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
    from aligner.api.comparing import CompareOptions, run_comparison
    from aligner.api.dumped import dump_options, parse_dump_of
    from aligner.execution.memory import keep_pages

    sides = dump_options(
        (reference, candidate),
        (open_options(given, given["reference_weights"]), open_options(given, given["candidate_weights"])),
        parse_dump_of(given["dump_of"]),
        given["dump_layout"],
    )
    words = [*(click.get_current_context().obj or sys.argv[1:])]
    options = CompareOptions(
        atol=given["atol"],
        rtol=given["rtol"],
        tolerance=given["tolerance"],
        mapping=given["mapping"],
        align_by=given["align_by"],
        local=given["local"],
        level=given["level"],
        noise_floor=given["noise_floor"],
        reference_options=sides[0],
        candidate_options=sides[1],
        preprocessing=preprocessing(given),
        seed=given["seed"],
        memory_limit=given["memory_limit"],
        probe=given["probe"],
        steps=given["steps"],
        shapes=dict(given["shapes"]) or None,
        command=shlex.join(["align", *words]),
    )
    check_writable(given["json_file"])
    check_writable(given["save_map"])
    check_report_targets(given)
    keep_pages()
    with working(given["verbose"]) as work:
        comparison = run_comparison(reference, candidate, fed(given), options)
        if given["save_map"]:
            save_map(comparison.mapping, given["save_map"], work)
        return work.report(with_next_step(comparison, words[1:], compare), given)
