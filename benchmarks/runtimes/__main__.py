"""``python -m benchmarks.runtimes``: clean pairs and planted faults, runtime by runtime, both directions."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import chain
from pathlib import Path

import click

from benchmarks.page import fill
from benchmarks.runtimes.cost import all_measured, cost_table
from benchmarks.runtimes.forms import ABSENT, FORMS
from benchmarks.runtimes.network import FAULTS
from benchmarks.runtimes.outcome import Outcome, compared
from benchmarks.runtimes.table import clean_table, fault_table


@click.command()
@click.option("--form", "forms", multiple=True, type=click.Choice(sorted(FORMS)), help="These forms alone.")
@click.option("--fault", "faults", multiple=True, type=click.Choice(sorted(FAULTS)), help="These faults alone.")
@click.option("--against", default="keras", show_default=True, help="The form of one side where faults are planted.")
@click.option("--clean/--no-clean", default=True, help="Whether clean pairs of all forms are compared.")
@click.option("--part", default="1/1", show_default=True, help="Which of how many equal parts: 2/4.")
@click.option("--out", type=click.Path(path_type=Path), help="Outcomes as JSON; those in it stay.")
@click.option("--read", multiple=True, type=click.Path(path_type=Path, exists=True), help="Add these outcomes.")
@click.option("--only-read", is_flag=True, help="Compare nothing.")
@click.option("--cost", is_flag=True, help="What comparing each form with the one of --against costs, and no more.")
@click.option("--page", type=click.Path(path_type=Path, exists=True), help="Put the tables into this page.")
def main(
    forms: Sequence[str],
    faults: Sequence[str],
    against: str,
    clean: bool,
    part: str,
    out: Path | None,
    read: Sequence[Path],
    only_read: bool,
    cost: bool,
    page: Path | None,
) -> None:
    """Compare, print each outcome as it comes and the tables at the end."""
    chosen = [name for name in FORMS if not forms or name in forms]
    if cost:
        with tempfile.TemporaryDirectory(prefix="runtimes-") as folder:
            _tell({"cost": cost_table(all_measured(against, chosen, Path(folder), out))}, page)
        return
    work = [] if only_read else _share(list(_pairs(chosen, faults or tuple(FAULTS), against, clean)), part)
    known = list(chain.from_iterable(map(_outcomes, read)))
    outcomes = _outcomes(out) if out is not None and out.exists() else []
    made = {(one.reference, one.candidate, one.fault) for one in outcomes}
    with tempfile.TemporaryDirectory(prefix="runtimes-") as folder:
        for pair in (pair for pair in work if pair not in made):
            outcomes.append(outcome := compared(*pair, Path(folder)))
            click.echo(_line(outcome), err=True)
            if out is not None:
                out.write_text(json.dumps([asdict(one) for one in outcomes], indent=1) + "\n")
    absent = () if forms else ABSENT
    _tell({"clean": clean_table(known + outcomes, absent), "faults": fault_table(known + outcomes, absent)}, page)


def _tell(tables: dict[str, str], page: Path | None) -> None:
    click.echo("\n\n".join(tables.values()))
    if page is not None:
        fill(page, "runtimes", tables)


def _pairs(
    forms: Sequence[str], faults: Sequence[str], against: str, clean: bool
) -> Iterator[tuple[str, str, str | None]]:
    if clean:
        yield from ((one, other, None) for one in forms for other in forms)
    for form in forms:
        for fault in faults:
            yield from dict.fromkeys([(against, form, fault), (form, against, fault)])


def _share(pairs: list[tuple[str, str, str | None]], part: str) -> list[tuple[str, str, str | None]]:
    number, parts = map(int, part.split("/"))
    return pairs[(number - 1) * len(pairs) // parts : number * len(pairs) // parts]


def _outcomes(path: Path) -> list[Outcome]:
    return [Outcome(**one | {"causes": tuple(one["causes"])}) for one in json.loads(path.read_text())]


def _line(one: Outcome) -> str:
    words = {True: "yes", False: "NO", None: "-"}
    told = f"located {words[one.located]} named {words[one.named]}" if one.fault else ""
    more = "" if one.right and one.named is not False and one.located is not False else f" {one.first} {one.causes}"
    pair = f"{one.reference} → {one.candidate}"
    return f"{pair:28} {one.fault or 'clean':16} {one.verdict:10} {told}{more} {one.seconds} s"


if __name__ == "__main__":
    main()
