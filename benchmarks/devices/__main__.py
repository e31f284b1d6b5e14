"""``python -m benchmarks.devices run --count 40 --seed 0 --json FILE``, ``table FILE``."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import click

from benchmarks.devices.device import GROUPS
from benchmarks.devices.table import line, render


@click.group()
def main() -> None:
    """Compare models with dumps of simulated devices."""


@main.command()
@click.option("--count", default=20, show_default=True, help="Cases of the fault bench, drawn by the seed.")
@click.option("--devices", default=2, show_default=True, help="Devices drawn for each case, besides a plain dump.")
@click.option("--seed", default=0, show_default=True)
@click.option("--only", multiple=True, metavar="CASE", help="This case of the fault bench; may be repeated.")
@click.option("--groups", multiple=True, default=GROUPS, type=click.Choice(GROUPS), help="What cases are drawn from.")
@click.option("--json", "out", type=click.Path(path_type=Path), help="Every record, a line each.")
@click.option("--work", type=click.Path(path_type=Path), help="Keep what is built here.")
def run(
    count: int,
    devices: int,
    seed: int,
    only: tuple[str, ...],
    groups: tuple[str, ...],
    out: Path | None,
    work: Path | None,
) -> None:
    """Build, run, dump, compare, score."""
    from benchmarks.devices.running import chosen
    from benchmarks.devices.running import run as run_all
    from benchmarks.faults.bench import warm_up

    warm_up()
    records: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="devices-") as temporary:
        for record in run_all(chosen(seed, count, only, groups), work or Path(temporary), seed, devices):
            records.append(record)
            click.echo(line(record))
            if out is not None:
                with out.open("a") as file:
                    file.write(json.dumps(record) + "\n")
    click.echo(render(records))


@main.command()
@click.argument("files", nargs=-1, type=click.Path(exists=True, path_type=Path))
def table(files: tuple[Path, ...]) -> None:
    """The figures of records that were kept."""
    records = [json.loads(text) for file in files for text in file.read_text().splitlines()]
    click.echo(render(records))


if __name__ == "__main__":
    main()
