"""``python -m benchmarks.runtimes``: clean pairs and planted faults, runtime by runtime, both directions."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import click

from benchmarks.runtimes.forms import EXACT, FIRST, FORMS
from benchmarks.runtimes.network import FAULTS, build, feeds


@dataclass(frozen=True)
class Outcome:
    """One comparison: ``right`` is the verdict, ``located`` the place, ``named`` the cause among the first three."""

    reference: str
    candidate: str
    fault: str | None
    verdict: str
    right: bool
    located: bool | None = None
    named: bool | None = None
    first: str | None = None
    causes: tuple[str, ...] = ()
    seconds: float = 0.0


@click.command()
@click.option("--form", "forms", multiple=True, type=click.Choice(sorted(FORMS)), help="These forms alone.")
@click.option("--fault", "faults", multiple=True, type=click.Choice(sorted(FAULTS)), help="These faults alone.")
@click.option("--against", default="keras", show_default=True, help="The form of one side where faults are planted.")
@click.option("--clean/--no-clean", default=True, help="Whether clean pairs of all forms are compared.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the outcomes as JSON.")
def main(forms: tuple[str, ...], faults: tuple[str, ...], against: str, clean: bool, out: Path | None) -> None:
    """Compare, print each outcome as it comes and the tables at the end."""
    chosen = [name for name in FORMS if not forms or name in forms]
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="runtimes-") as folder:
        for pair in _pairs(chosen, faults or tuple(FAULTS), against, clean):
            outcomes.append(outcome := compared(*pair, Path(folder)))
            click.echo(_line(outcome), err=True)
    click.echo(table(outcomes))
    if out is not None:
        out.write_text(json.dumps([asdict(outcome) for outcome in outcomes], indent=1) + "\n")


def _pairs(
    forms: list[str], faults: tuple[str, ...], against: str, clean: bool
) -> Iterator[tuple[str, str, str | None]]:
    if clean:
        yield from ((one, other, None) for one in forms for other in forms)
    for form in forms:
        if form in EXACT:
            for fault in faults:
                yield from dict.fromkeys([(against, form, fault), (form, against, fault)])


def compared(reference: str, candidate: str, fault: str | None, folder: Path) -> Outcome:
    """Compare the clean network in one form with the faulty one in another."""
    import aligner

    begun = time.perf_counter()
    options: dict[str, Any] = {"preprocessing": None}
    given = feeds(seed=1)
    if {reference, candidate} & FIRST:
        from aligner.inputs import Preprocessing

        options["preprocessing"] = Preprocessing(layout="nhwc")
    result = aligner.compare(made(reference, None, folder), made(candidate, fault, folder), given, **options)
    seconds = round(time.perf_counter() - begun, 2)
    first = result.first_divergence
    causes = tuple(finding.id for finding in result.causes[:3])
    if fault is None:
        return Outcome(reference, candidate, None, result.verdict, result.verdict == "aligned", seconds=seconds)
    truth = FAULTS[fault]
    return Outcome(
        reference,
        candidate,
        fault,
        result.verdict,
        result.verdict == "diverged",
        first is not None and any(_is_of(first, layer) for layer in truth.layers),
        bool(set(causes) & set(truth.causes)),
        first and f"{first.reference.name} → {first.candidate.name}",
        causes,
        seconds,
    )


def _is_of(pair: Any, layer: str) -> bool:
    """Whether a pair is of a layer, by a path or a name of either side, or by those that one node of a side fuses."""
    texts = [text for side in (pair.reference, pair.candidate) for text in (side.scope or "", side.name, *side.names)]
    for nodes, others in ((pair.reference_nodes, pair.candidate_nodes), (pair.candidate_nodes, pair.reference_nodes)):
        texts += nodes if len(others) <= 1 else ()
    words = [word for text in texts for word in text.replace(";", "/").replace(".", "/").split("/")]
    return any(word.split(":")[0] in (layer, f"{layer}_1") for word in words)


@cache
def _model(fault: str | None) -> Any:
    return build(fault)


@cache
def made(form: str, fault: str | None, folder: Path) -> Any:
    """The network in a form, made once."""
    place = folder / f"{form}-{fault or 'clean'}"
    place.mkdir()
    return FORMS[form](_model(fault), place)


def _line(one: Outcome) -> str:
    words = {True: "yes", False: "NO", None: "-"}
    told = f"located {words[one.located]} named {words[one.named]}" if one.fault else ""
    more = "" if one.right and one.named is not False and one.located is not False else f" {one.first} {one.causes}"
    pair = f"{one.reference} → {one.candidate}"
    return f"{pair:28} {one.fault or 'clean':16} {one.verdict:10} {told}{more} {one.seconds} s"


def table(outcomes: list[Outcome]) -> str:
    """Clean pairs as a matrix, and what became of the faults for each pair of forms."""
    lines = []
    clean = {(one.reference, one.candidate): one for one in outcomes if one.fault is None}
    forms = list(dict.fromkeys(pair[0] for pair in clean))
    if clean:
        lines += [f"| reference ↓ candidate → | {' | '.join(forms)} |", "|---" * (len(forms) + 1) + "|"]
        lines += [f"| {row} | {' | '.join(clean[row, column].verdict for column in forms)} |" for row in forms]
        lines.append("")
    faulty = [one for one in outcomes if one.fault]
    if faulty:
        lines += ["| pair | faults | diverged | located | cause among three |", "|---|---|---|---|---|"]
    for pair in dict.fromkeys((one.reference, one.candidate) for one in faulty):
        group = [one for one in faulty if (one.reference, one.candidate) == pair]
        counts = [sum(bool(getattr(one, name)) for one in group) for name in ("right", "located", "named")]
        lines.append(f"| {pair[0]} → {pair[1]} | {len(group)} | {' | '.join(map(str, counts))} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
