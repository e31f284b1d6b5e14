"""Commands that look at two graphs without comparing their numbers: which tensors, which weights answer each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from aligner.cli.completion import files
from aligner.cli.guard import decided
from aligner.cli.options import (
    ALIGN_BY,
    MAP,
    REFERENCE_CANDIDATE,
    SAVE_MAP,
    compare_options,
    input_options,
    json_option,
    opening_options,
    runtime_options,
    weights_options,
)
from aligner.cli.targets import FileCommand
from aligner.cli.work import working


@click.command(cls=FileCommand)
@REFERENCE_CANDIDATE
@input_options
@json_option()
@ALIGN_BY
@MAP
@SAVE_MAP
@weights_options
@runtime_options
def match(reference: str, candidate: str, **given: Any) -> int:
    """Show which tensor answers which.

    Graphs known without running are paired as they stand. With --input, or where a side is a live module, both run.
    """
    from aligner.api.matching import match as match_models

    with working(given["verbose"]) as work:
        found = match_models(reference, candidate, list(given["inputs"]), options=compare_options(given))
        work.save_map(given, found.mapping)
        from aligner.report.match_table import print_match, to_document

        if work.wrote(given, lambda: to_document(found)) and given["save_map"] != "-":
            print_match(found, work.console)
    return 0


@click.command(cls=FileCommand)
@REFERENCE_CANDIDATE
@input_options
@json_option()
@ALIGN_BY
@weights_options
@click.option("--full", is_flag=True, help="Show every weight, matched ones too.")
@runtime_options
def weights(reference: str, candidate: str, **given: Any) -> int:
    """Show what became of each weight: matched, changed, missing, never loaded.

    Exit codes: 0 where every weight of the reference is in the candidate, in an order that its graph reads or undoes, 1
    where not, 2 could not compare.
    """
    from aligner.api.weighing import weigh

    with working(given["verbose"]) as work:
        found = weigh(reference, candidate, list(given["inputs"]), options=compare_options(given))
        decided(found.exit_code)
        from aligner.report.weight_table import print_weights, to_document

        if work.wrote(given, lambda: to_document(found)):
            print_weights(found, work.console, full=given["full"])
        return found.exit_code


def _tapped(ctx: click.Context, _: click.Parameter, output: Path | None) -> Path:
    model = Path(ctx.params.get("model") or "model")
    return output or Path(f"{model.stem}.tapped{model.suffix}")


@click.command(cls=FileCommand, short_help="Write a model that shows its inside.")
@click.argument("model", shell_complete=files)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    callback=_tapped,
    help="The file to write, in the model's own format. [default: MODEL.tapped.…, here]",
)
@click.option("--observe", multiple=True, metavar="NAME", help='A tensor to show, or "*conv*". [default: all]')
@click.option(
    "--recorder",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Also copy the C++ and JS recorders here.",
)
@opening_options
def instrument(model: str, output: Path, observe: tuple[str, ...], recorder: Path | None, **given: Any) -> int:
    """Write a model that gives its inner tensors back, to run on a device: ONNX, TFLite or TorchScript.

    What it gives there, saved in any format that compare reads, is a side: align compare REF DUMP --dump-of MODEL.
    """
    from aligner.api.instrumenting import instrument as instrument_model
    from aligner.api.instrumenting import write_recorders

    with working(given["verbose"]) as work:
        found = instrument_model(model, output, observe, trust=given["trust"])
        work.print(f"wrote {output}, which shows {len(found.shown)} inner tensors")
        copied = [f"recorder: {path}" for path in write_recorders(recorder)] if recorder is not None else []
        work.notes((*found.notes, *copied))
    return 0
