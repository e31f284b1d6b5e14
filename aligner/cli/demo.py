"""``align demo``: a real bug, found in seconds, and the command that mends it."""

from __future__ import annotations

import shlex
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aligner.cli.options import json_option
from aligner.cli.report_options import report_options, to_stdout
from aligner.cli.targets import FileCommand
from aligner.cli.view_options import view_options
from aligner.cli.work import working
from aligner.errors import OutputError

if TYPE_CHECKING:
    from aligner.records.comparison import Comparison

_KEPT = Path("aligner-demo")


@click.command(cls=FileCommand, short_help="Find a real bug in seconds.")
@json_option("Write the report as JSON")
@click.option(
    "--keep", "output", type=click.Path(path_type=Path), help="Keep the model and the picture in this folder."
)
@view_options
@report_options
def demo(output: Path | None, **given: Any) -> int:
    """Find a real bug in seconds: a face restorer whose exported weights were never loaded.

    The bug is found every time, so this exits 0; compare exits 1 where two models diverge. The last line is the command
    that puts the face right; the files that it needs are kept with --keep.
    """
    with working(verbose=False) as work, _folder(output) as folder:
        from aligner.api.comparing import CompareOptions, run_comparison
        from aligner.demo.scenario import prepare
        from aligner.inputs import Preprocessing

        scenario = prepare(folder)
        if not to_stdout(given):
            work.print(scenario.story + "\n")
        candidate, image = scenario.candidate, scenario.image
        if output is not None:
            image = Path(shutil.copy(image, folder))
        comparison = run_comparison(
            scenario.reference,
            candidate,
            [f"{image}"],
            CompareOptions(preprocessing=Preprocessing(**dict[str, Any](scenario.preprocessing))),
        )
        if output is None:
            comparison = _without_folder(comparison, {str(candidate): candidate.name, str(image): image.name})
        next_step = _mending(scenario.reference, output or _KEPT, (candidate.name, image.name), kept=output is not None)
        return work.report(replace(comparison, next_step=next_step), given, code=0)


@contextmanager
def _folder(wanted: Path | None) -> Iterator[Path]:
    """The folder to keep, or one that vanishes."""
    if wanted is None:
        with tempfile.TemporaryDirectory(prefix="aligner-demo-") as folder:
            yield Path(folder)
        return
    try:
        wanted.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError.of(f"cannot write into {wanted}", error, "name a new folder") from error
    yield wanted


def _mending(reference: str, folder: Path, files: tuple[str, str], *, kept: bool) -> str:
    """The command that puts the candidate right; where the files are about to vanish, it makes them again."""
    candidate, image = (folder / name for name in files)
    words = ["align", "fix", reference, str(candidate), "--input", str(image), "-o", str(folder / "fixed.onnx")]
    again = shlex.join(["align", "demo", "--quiet", "--keep", str(folder)])
    return shlex.join(words) if kept else f"{again} && {shlex.join(words)}"


def _without_folder(comparison: Comparison, names: dict[str, str]) -> Comparison:
    """The demo's files live in a folder that is about to vanish: call them by their bare names."""
    inputs = tuple(
        replace(fed, source=names.get(fed.source, Path(fed.source).name if fed.source in names else fed.source))
        for fed in comparison.inputs
    )
    path = names.get(comparison.candidate.path, comparison.candidate.path)
    return replace(comparison, candidate=replace(comparison.candidate, path=path), inputs=inputs)
