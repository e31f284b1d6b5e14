"""``python -m benchmarks.converters run --seeds 0:100``, ``show SEED``, ``shrink SEED``, ``real --data DIR``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from benchmarks.converters.case import Case, case
from benchmarks.converters.faults import FAULTS, INSERTED, RARER
from benchmarks.converters.graph import Graph
from benchmarks.converters.networks import NETWORKS
from benchmarks.converters.networks.exported import EXPORTS
from benchmarks.converters.running import run
from benchmarks.converters.scoring import Outcome, judge, write
from benchmarks.converters.shrinking import shrink
from benchmarks.converters.table import failure, summary


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.converters", description=__doc__)
    names = [*NETWORKS, *EXPORTS, "exports"]
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run", help="make cases from seeds, compare, score")
    running.add_argument("--seeds", default="0:20", help="A:B, B not included, or one")
    running.add_argument("--clean", action="store_true", help="only pairs without a fault")
    running.add_argument("--faults", action="store_true", help="only pairs with one")
    running.add_argument("--networks", nargs="*", default=[], choices=names, metavar="NETWORK")
    running.add_argument(
        "--torch", default="", choices=["eager", "trace"], help="of exports: hold them against the module they are from"
    )
    running.add_argument("--inserted", action="store_true", help="of faults only nodes that are put in")
    running.add_argument("--rarer", action="store_true", help="with rarer rewrites among the others, and rarer faults")
    running.add_argument("--any-fault", action="store_true", help="with --rarer: any fault, not the rarer ones alone")
    running.add_argument("--json", type=Path, metavar="FILE", help="every outcome, a line each; read again by `table`")
    for name in ("show", "shrink"):
        one = commands.add_parser(name, help=f"{name} the case of a seed")
        one.add_argument("seed", type=int)
        one.add_argument("--clean", action="store_true", help="the pair without a fault")
        one.add_argument("--rarer", action="store_true", help="the case with rarer rewrites")
        one.add_argument("--networks", nargs="*", default=[], choices=names, metavar="NETWORK")
        one.add_argument("--out", type=Path, help="write ref.onnx, cand.onnx, in.npz and what is wrong there")
    table = commands.add_parser("table", help="the figures of runs that were kept with --json")
    table.add_argument("files", nargs="+", type=Path)
    few = commands.add_parser("quantized", help="clean pairs with a quantised candidate: none may be diverged")
    few.add_argument("--seeds", default="0:20", help="A:B, B not included")
    real = commands.add_parser("real", help="clean pairs of real models and exports: none may be diverged")
    real.add_argument("--data", type=Path, help="a folder of models, a folder for each")
    real.add_argument("--part", default="1/1", metavar="I/N", help="every N-th pair, from the I-th on")
    real.add_argument(
        "--out", type=Path, metavar="FILE", help="keep every row there; those that it holds are not redone"
    )
    chosen = parser.parse_args(arguments)
    if "exports" in getattr(chosen, "networks", ()):
        chosen.networks = [*EXPORTS]
    if chosen.command == "quantized":
        return _quantized(chosen)
    return {"run": _run, "show": _show, "shrink": _shrink, "table": _table, "real": _real}[chosen.command](chosen)


def _run(chosen: argparse.Namespace) -> int:
    first, _, last = chosen.seeds.partition(":")
    kinds = (
        [False]
        if chosen.clean and not chosen.faults
        else [True]
        if chosen.faults and not chosen.clean
        else [False, True]
    )
    outcomes = []
    planted = [*INSERTED] if chosen.inserted else [*FAULTS, *RARER] if chosen.any_fault else []
    given = {"networks": chosen.networks, "torch": chosen.torch, "planted": planted, "rarer": chosen.rarer}
    for outcome in run(range(int(first), int(last or int(first) + 1)), kinds=kinds, **given):
        outcomes.append(outcome)
        if chosen.json:
            with chosen.json.open("a") as file:
                file.write(json.dumps(outcome.as_dict()) + "\n")
        if kind := failure(outcome):
            print(f"{outcome.seed} {outcome.network} {outcome.fault or 'clean'}: {kind}; {_what(outcome)}", flush=True)
    print(summary(outcomes))
    return int(any(failure(each) for each in outcomes))


def _what(outcome: Outcome) -> str:
    return "; ".join(
        [
            *outcome.violations,
            *outcome.wrong_pairs[:3],
            *([f"first {outcome.first}, planted {outcome.detail}"] if outcome.fault else []),
        ]
    )


def _table(chosen: argparse.Namespace) -> int:
    rows = [json.loads(line) for path in chosen.files for line in path.read_text().splitlines()]
    print(summary([Outcome(**row) for row in rows]))
    return 0


def _show(chosen: argparse.Namespace) -> int:
    made = case(chosen.seed, faulty=not chosen.clean, networks=chosen.networks, rarer=chosen.rarer)
    if made is None:
        print("no case: the fault finds no place")
        return 2
    _print(made, chosen.out)
    return 0


def _shrink(chosen: argparse.Namespace) -> int:
    made = case(chosen.seed, faulty=not chosen.clean, networks=chosen.networks, rarer=chosen.rarer)
    if made is None:
        print("no case: the fault finds no place")
        return 2
    _print(shrink(made), chosen.out)
    return 0


def _print(made: Case, folder: Path | None) -> None:
    outcome = judge(made)
    lines = [
        f"seed {made.recipe.seed}, {made.recipe.network}: {' '.join(made.applied)}",
        f"{outcome.fault or 'clean'}: {outcome.detail}; {failure(outcome) or 'passes'}: {_what(outcome)}",
    ]
    print("\n".join([*lines, "reference", *_nodes(made.reference), "candidate", *_nodes(made.candidate)]))
    if folder:
        write(made, folder)
        (folder / "what.txt").write_text("\n".join(lines) + "\n")


def _nodes(graph: Graph) -> list[str]:
    lines = []
    for node in graph.ordered():
        shapes = [graph.shape(name) for name in node.outputs if name in graph.values]
        read, made = ", ".join(node.inputs), ", ".join(node.outputs)
        lines.append(f"  {node.name}: {node.op} {read} → {made} {shapes} {node.attributes or ''}")
    return lines


def _quantized(chosen: argparse.Namespace) -> int:
    from benchmarks.converters.quantized import table

    first, _, last = chosen.seeds.partition(":")
    return table(range(int(first), int(last)))


def _real(chosen: argparse.Namespace) -> int:
    from benchmarks.converters.real import table

    part, _, parts = chosen.part.partition("/")
    return table(chosen.data, part=(int(part) - 1, int(parts)), kept=chosen.out)


if __name__ == "__main__":
    sys.exit(main())
