"""``python -m benchmarks.faults``: run the bench, look at one case, render the table."""

from __future__ import annotations

import datetime
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click

from benchmarks.faults.cases import Case, all_cases
from benchmarks.faults.onnx2tf_form import VARIABLE

_PAGE = Path(__file__).parents[2] / "docs" / "fault-bench.md"
_work = click.option(
    "--work", type=click.Path(path_type=Path), help="Keep built files here; a temporary folder if not."
)
_seed = click.option("--seed", default=0, show_default=True, help="Architectures' weights, halves, places, draws.")


@click.group()
def main() -> None:
    """Plant faults, run aligner on them, count the right answers."""


@main.command()
@click.option("--only", multiple=True, metavar="TEXT", help="Cases whose name holds this text; may be repeated.")
@click.option("--half", type=click.Choice(["open", "held"]), help="One half of the architectures alone.")
@click.option("--quick", is_flag=True, help="A seeded sample of the cases.")
@click.option("--jobs", default=1, show_default=True, help="Cases at the same time.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the results as JSON.")
@click.option("--peers", is_flag=True, help="Ask other tools too, each on the pairs it can take.")
@click.option("--onnx2tf", metavar="PYTHON", help=f"The Python of an environment with onnx2tf; or {VARIABLE}=PYTHON.")
@click.option("--page", is_flag=True, help=f"Write the table to docs/{_PAGE.name} too.")
@click.option("--dumped", is_flag=True, help="Compare with a recording of each candidate in place of the model.")
@_seed
@_work
def run(
    only: tuple[str, ...],
    half: str | None,
    quick: bool,
    jobs: int,
    out: Path | None,
    peers: bool,
    onnx2tf: str | None,
    page: bool,
    dumped: bool,
    seed: int,
    work: Path | None,
) -> None:
    """Build, compare and score the cases; print the table."""
    _name(onnx2tf)
    cases = [case for case in all_cases(seed, quick=quick) if half in {None, case.half} and _wanted(case, only)]
    results = _run(cases, work, jobs, seed, peers=peers, dumped=dumped)
    if out is not None:
        out.write_text(json.dumps(results, indent=1) + "\n")
    from benchmarks.faults.table import render

    text = render(results)
    if page:
        _PAGE.write_text(text)
    click.echo(text)


@main.command()
@click.argument("results", type=click.Path(exists=True, path_type=Path))
def table(results: Path) -> None:
    """Render results that were kept."""
    from benchmarks.faults.table import render

    click.echo(render(json.loads(results.read_text())))


@main.command(name="list")
@_seed
def names(seed: int) -> None:
    """List the cases."""
    for case in all_cases(seed):
        click.echo(f"{case.name}  ({case.group}, {case.half})")


@main.command()
@click.argument("name")
@click.option("--full", is_flag=True, help="Show every pair.")
@click.option("--onnx2tf", metavar="PYTHON", help="The Python of an environment with onnx2tf.")
@_seed
@_work
def case(name: str, full: bool, onnx2tf: str | None, seed: int, work: Path | None) -> None:
    """Build one case and print the truth and the tool's own report."""
    _name(onnx2tf)
    found = [each for each in all_cases(seed) if each.name == name]
    if not found:
        raise click.UsageError(f"there is no case {name!r}; see python -m benchmarks.faults list")
    _show(found[0], work or Path(tempfile.mkdtemp(prefix="faults-")), full)


def _name(onnx2tf: str | None) -> None:
    """Tell the processes that build which environment has onnx2tf."""
    if onnx2tf:
        os.environ[VARIABLE] = str(Path(onnx2tf).absolute())


def _wanted(case: Case, only: tuple[str, ...]) -> bool:
    return not only or any(text in case.name for text in only)


def _run(
    cases: list[Case], work: Path | None, jobs: int, seed: int, *, peers: bool, dumped: bool = False
) -> dict[str, Any]:
    from benchmarks.faults.architectures import halves
    from benchmarks.faults.bench import ask_sample, run_cases, warm_up
    from benchmarks.faults.deployed import makers, missing
    from benchmarks.faults.keras_networks import keras_halves
    from benchmarks.faults.peers import states

    start = time.perf_counter()
    warm_up()
    records: list[dict[str, Any]] = []
    cases = [case for case in cases if missing(case.form) is None]
    with tempfile.TemporaryDirectory(prefix="faults-") as temporary:
        for record in run_cases(cases, work or Path(temporary), jobs, peers=peers, dumped=dumped):
            records.append(record)
            mark = "●" if record.get("exact") else record["status"] if record["status"] != "scored" else "○"
            click.echo(f"{len(records)}/{len(cases)} {record['name']} {mark}", err=True)
        records = ask_sample(records, work or Path(temporary), seed) if peers else records
    opened, held = (one | other for one, other in zip(halves(seed), keras_halves(seed), strict=True))
    return {
        "format": "aligner.fault-bench/1",
        "command": _command(),
        "seed": seed,
        "date": datetime.date.today().isoformat(),
        "seconds": round(time.perf_counter() - start, 1),
        "halves": {"open": sorted(opened), "held": sorted(held)},
        "forms": makers(),
        "peers": states(records, asked=peers),
        "cases": records,
    }


def _command() -> str:
    """The command without the folders and files of this run."""
    given, words = sys.argv[1:], []
    while given:
        word = given.pop(0)
        if word in {"--work", "--out", "--onnx2tf"}:
            del given[:1]
        else:
            words.append(word)
    return " ".join(["python -m benchmarks.faults", *words])


def _show(case: Case, work: Path, full: bool) -> None:
    import warnings

    warnings.simplefilter("ignore")
    from rich.console import Console

    from aligner.api.comparing import CompareOptions, run_comparison
    from aligner.report.terminal import print_comparison
    from benchmarks.faults.bench import build_case, warm_up
    from benchmarks.faults.built import Built
    from benchmarks.faults.process import run_apart

    warm_up()
    folder = work / "cases" / case.name
    made = run_apart(build_case, case, work, log=folder / "build.log", timeout=300)
    if made.status != "ok" or made.value is None:
        raise click.ClickException(str(made.value or "no architecture of this half has a place for it"))
    built = Built.read(folder)
    click.echo(f"{case.name} on {built.architecture}: {built.reference.form} → {built.candidate.form}, in {folder}")
    for key in ("planted", "blame", "exact", "near", "scopes", "near_scopes", "causes", "second"):
        click.echo(f"  {key}: {getattr(built.truth, key)}")
    comparison = run_comparison(built.reference.open(), built.candidate.open(), built.feeds, CompareOptions())
    print_comparison(comparison, Console(), full=full)


if __name__ == "__main__":
    main()
