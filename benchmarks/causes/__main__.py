"""``python -m benchmarks.causes [FAULT …] --seeds 0:4``: plant, compare, and a table of what was said."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from benchmarks.causes.case import FORMS, case
from benchmarks.causes.faults import FAULTS
from benchmarks.causes.scoring import Outcome, judge
from benchmarks.causes.table import summary


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.causes", description=__doc__)
    parser.add_argument("faults", nargs="*", metavar="FAULT", help="names, or parts of them; all where none is given")
    parser.add_argument("--seeds", default="0:4", help="A:B, B not included")
    parser.add_argument("--form", choices=FORMS, help="of the candidate; turns with the seed where none is given")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every outcome")
    parser.add_argument("--list", action="store_true", help="the faults there are")
    chosen = parser.parse_args(arguments)
    names = [name for name in FAULTS if not chosen.faults or any(part in name for part in chosen.faults)]
    if chosen.list:
        print("\n".join(names))
        return 0
    first, _, last = chosen.seeds.partition(":")
    outcomes = []
    for outcome in _outcomes(names, range(int(first), int(last)), chosen.form):
        outcomes.append(outcome)
        if outcome.missed:
            print(f"{outcome.fault}/{outcome.seed} {outcome.form} {outcome.place}: {', '.join(outcome.missed)}")
            cause = f"{outcome.cause} at {outcome.node} ({outcome.evidence_class})"
            print(f"    {outcome.first} | {cause}: {outcome.evidence}", flush=True)
    if chosen.json:
        chosen.json.write_text(json.dumps([asdict(one) for one in outcomes], indent=1) + "\n")
    print(summary(outcomes))
    return 0


def _outcomes(names: list[str], seeds: range, form: str | None) -> Iterator[Outcome]:
    for name in names:
        for seed in seeds:
            with tempfile.TemporaryDirectory() as folder:
                yield judge(case(name, seed, Path(folder), form))


if __name__ == "__main__":
    raise SystemExit(main())
