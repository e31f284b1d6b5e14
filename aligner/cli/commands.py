"""The commands. Heavy imports happen inside them, so that ``align --help`` answers in a blink."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from aligner import __version__
from aligner.cli.completion import completion, files
from aligner.cli.demo import demo
from aligner.cli.explain import explain
from aligner.cli.fix import fix
from aligner.cli.graph_commands import SAVE_MAP, register, save_map
from aligner.cli.next_step import with_next_step
from aligner.cli.options import (
    LEVEL,
    LOCAL,
    input_options,
    open_options,
    preprocessing,
    runtime_options,
    tolerance_options,
    weights_options,
)
from aligner.cli.report_options import check_report_targets, report_options, wanted
from aligner.cli.repro import repro
from aligner.cli.sensitivity import sensitivity
from aligner.cli.sweep_commands import merge, sweep
from aligner.cli.targets import FileCommand
from aligner.cli.view_options import view_options
from aligner.cli.work import check_writable, working

_MODELS = """MODEL is a file (.onnx, .tflite, TorchScript .pt, a recording .npz or .safetensors) or a factory,
file.py:function or package.module:function, that returns an nn.Module."""


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="align")
def cli() -> None:
    """Say which node of a converted model diverges first, and why.

    Exit codes: 0 aligned, 1 diverged, 2 could not compare, 3 inconclusive.
    """


@cli.command(cls=FileCommand, epilog=_MODELS)
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
        command=shlex.join(["align", *words]),
    )
    check_writable(given["json_file"])
    check_writable(given["save_map"])
    check_report_targets(given)
    keep_pages()
    with working(given["verbose"]) as work:
        comparison = run_comparison(reference, candidate, list(given["inputs"]), options)
        if given["save_map"]:
            save_map(comparison.mapping, given["save_map"], work)
        return work.report(with_next_step(comparison, words[1:], compare), given)


@cli.command(cls=FileCommand, epilog=_MODELS, short_help="List every node of a model.")
@click.argument("model", shell_complete=files)
@input_options
@click.option("--json", "json_file", metavar="FILE", help="Write the graph as JSON; - for standard output alone.")
@click.option("--weights", type=click.Path(path_type=Path), help="Checkpoint to load into a factory's module.")
@runtime_options
def inspect(model: str, **given: Any) -> int:
    """List every node of a model: names, shapes, dtypes, attributes, source lines."""
    from aligner.api.inspecting import inspect as inspect_model

    check_writable(given["json_file"])
    with working(given["verbose"]) as work:
        found = inspect_model(
            model,
            list(given["inputs"]),
            options=open_options(given, given["weights"]),
            preprocessing=preprocessing(given),
            seed=given["seed"],
        )
        if given["json_file"]:
            from aligner.report import graph_document
            from aligner.report.document_file import write_document

            document = graph_document.to_document(found.graph, found.signature, found.path, found.runtime)
            write_document(document, work.target(given["json_file"]))
        if given["json_file"] != "-":
            from aligner.report.graph_table import print_graph

            print_graph(found.graph, found.signature, work.console, path=found.path, runtime=found.runtime)
            work.notes(tuple(note for note in found.notes if note not in found.graph.notes))
    return 0


@cli.command(cls=FileCommand, epilog=_MODELS, short_help="Record every tensor of one run.")
@click.argument("model", shell_complete=files)
@input_options
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="run.npz or run.safetensors")
@click.option(
    "--format",
    "dump_format",
    type=click.Choice(["npy", "polygraphy", "onnx-test-data"]),
    help="Write what other tools read instead: a folder of .npy, Polygraphy's JSON, inputs and outputs as .pb.",
)
@click.option("--weights", type=click.Path(path_type=Path), help="Checkpoint to load into a factory's module.")
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

    check_report_targets(given)
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


register(cli)
cli.add_command(completion)
cli.add_command(demo)
cli.add_command(explain)
cli.add_command(fix)
cli.add_command(repro)
cli.add_command(sensitivity)
cli.add_command(sweep)
cli.add_command(merge)
