"""The commands. Heavy imports happen inside them, so that ``align --help`` answers in a blink."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from aligner import __version__
from aligner.cli.compare import compare
from aligner.cli.completion import completion, files
from aligner.cli.decode import decode
from aligner.cli.demo import demo
from aligner.cli.explain import explain
from aligner.cli.fix import fix
from aligner.cli.graph_commands import instrument, match, weights
from aligner.cli.options import (
    MODELS,
    WEIGHTS,
    input_options,
    json_option,
    open_options,
    preprocessing,
    runtime_options,
)
from aligner.cli.report_options import report_options, wanted
from aligner.cli.repro import repro
from aligner.cli.sensitivity import sensitivity
from aligner.cli.sweep_commands import merge, sweep
from aligner.cli.targets import FileCommand
from aligner.cli.vary import vary
from aligner.cli.view_options import view_options
from aligner.cli.work import working


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="align")
def cli() -> None:
    """Say which node of a converted model diverges first, and why.

    Exit codes: 0 aligned, 1 diverged, 2 could not compare, 3 inconclusive.
    """


@cli.command(cls=FileCommand, epilog=MODELS, short_help="List every node of a model.")
@click.argument("model", shell_complete=files)
@input_options
@json_option("Write the graph as JSON")
@WEIGHTS
@runtime_options
def inspect(model: str, **given: Any) -> int:
    """List every node of a model: names, shapes, dtypes, attributes, source lines."""
    from aligner.api.inspecting import inspect as inspect_model

    with working(given["verbose"]) as work:
        found = inspect_model(
            model,
            list(given["inputs"]),
            options=open_options(given, given["weights"]),
            preprocessing=preprocessing(given),
            seed=given["seed"],
        )
        from aligner.report.graph_document import to_document
        from aligner.report.graph_table import print_graph

        if work.wrote(given, lambda: to_document(found.graph, found.signature, found.path, found.runtime)):
            print_graph(found.graph, found.signature, work.console, path=found.path, runtime=found.runtime)
            work.notes(tuple(note for note in found.notes if note not in found.graph.notes))
    return 0


@cli.command(cls=FileCommand, epilog=MODELS, short_help="Record every tensor of one run.")
@click.argument("model", shell_complete=files)
@input_options
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="run.npz or run.safetensors")
@click.option(
    "--format",
    "dump_format",
    type=click.Choice(["npy", "polygraphy", "onnx-test-data"]),
    help="Write what other tools read instead: a folder of .npy, Polygraphy's JSON, inputs and outputs as .pb.",
)
@WEIGHTS
@runtime_options
def capture(model: str, output: Path, **given: Any) -> int:
    """Record every named intermediate of one run; a recording can stand on either side of compare."""
    from aligner.api.capturing import capture as capture_model

    with working(given["verbose"]) as work:
        found = capture_model(
            model,
            output,
            list(given["inputs"]),
            options=open_options(given, given["weights"]),
            preprocessing=preprocessing(given),
            seed=given["seed"],
            format=given["dump_format"],
        )
        size = _size(found.path)
        work.print(f"wrote {found.tensors} tensors to {found.path} ({size / 1e6:.1f} MB)")
        work.notes((*(f"fed {fed.name}: {fed.reference}" for fed in found.inputs), *found.notes))
    return 0


def _size(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    return sum(file.stat().st_size for file in (path.rglob("*") if path.is_dir() else [path]) if file.is_file())


@cli.command(cls=FileCommand, short_help="Make any report from a JSON one.")
@click.argument("run", metavar="RUN.JSON", type=click.Path(path_type=Path))
@view_options
@report_options
def report(run: Path, **given: Any) -> int:
    """Make any report from a JSON one, written with compare --json; the terminal's where no file is named."""
    from aligner.report.json_document import read_json

    comparison = read_json(run)
    with working(verbose=False) as work:
        work.report(comparison, given, printed=not wanted(given))
    return 0


@cli.command(short_help="Show which frameworks are installed.")
def adapters() -> int:
    """Show which frameworks are installed, which are missing, and how to get them."""
    from aligner.adapters.registry import adapter_status, broken
    from aligner.execution.confinement import support
    from aligner.report.adapter_table import print_adapters

    with working(verbose=False) as work:
        print_adapters(adapter_status(), work.console)
        work.notes(tuple(str(fault) for fault in broken()))
        work.print("\nwhat the working process of a command is left with:")
        for line in support():
            work.print(f"  {line}")
    return 0


for _command in (
    *(compare, completion, decode, demo, explain, fix, instrument),
    *(match, merge, repro, sensitivity, sweep, vary, weights),
):
    cli.add_command(_command)
