"""Pairs made by tools, not by us: ``python -m benchmarks.converters.tools --seeds A:B [--json FILE]``.

A network in another library's style, or an architecture that no other bench has, is exported twice; one export goes
through one to three tools (onnxruntime's optimisers and quantisation, onnxslim, onnxscript, onnx-ir, the opset
converter, onnx2tf where its Python is named by FAULT_BENCH_ONNX2TF, TorchScript's freezing, torch.export), with a fault
of ``benchmarks.converters.faults`` before or behind them, or without one.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from benchmarks.converters.blind.conversions import FEWER_BITS, LITE, TOOLS
from benchmarks.converters.blind.drawing import Blind, draw
from benchmarks.converters.blind.judging import judge
from benchmarks.converters.scoring import Outcome
from benchmarks.converters.table import failure, summary

LIMIT = 240
"""Seconds after which a pair counts as stuck."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.converters.tools", description=__doc__)
    parser.add_argument("--seeds", default="0:20", help="A:B, B not included")
    parser.add_argument("--clean", action="store_true", help="only pairs without a fault")
    parser.add_argument("--faults", action="store_true", help="only pairs with one")
    parser.add_argument("--networks", nargs="*", default=[], metavar="NETWORK")
    parser.add_argument("--tools", nargs="*", default=[], choices=[*TOOLS, *FEWER_BITS, *LITE], metavar="TOOL")
    parser.add_argument("--json", type=Path, metavar="FILE", help="every outcome, a line each")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="leave the files of the pairs there")
    chosen = parser.parse_args(arguments)
    first, _, last = chosen.seeds.partition(":")
    kinds = [False] * (not chosen.faults) + [True] * (not chosen.clean)
    outcomes = []
    for case, outcome in _outcomes(range(int(first), int(last)), kinds, chosen):
        outcomes.append(outcome)
        if chosen.json:
            with chosen.json.open("a") as file:
                file.write(json.dumps(outcome.as_dict()) + "\n")
        said = failure(outcome) or "ok"
        more = f"; {_what(outcome)}" if said != "ok" else ""
        steps = " ".join(case.steps)
        print(f"{said:18} {outcome.seed} {outcome.network} [{steps}] {outcome.fault or 'clean'}{more}", flush=True)
    print(summary(outcomes))
    return int(any(failure(each) for each in outcomes))


def _outcomes(seeds: range, kinds: list[bool], chosen: argparse.Namespace) -> Iterator[tuple[Blind, Outcome]]:
    networks = _networks(chosen.networks)
    for seed in seeds:
        with tempfile.TemporaryDirectory(prefix="blind") as name, _limited():
            folder = chosen.keep / str(seed) if chosen.keep else Path(name)
            folder.mkdir(parents=True, exist_ok=True)
            try:
                drawn = [*draw(seed, folder, networks, kinds=kinds, tools=tuple(chosen.tools))]
                if len(drawn) < len(kinds):
                    print(f"not made           {seed}: {len(kinds) - len(drawn)} of {len(kinds)} pairs", flush=True)
                for case in drawn:
                    yield case, judge(case)
            except TimeoutError:
                print(f"stuck              {seed}", flush=True)
            except Exception:  # noqa: BLE001 - a pair that cannot be made is not the engine's
                print(f"not made           {seed}: {traceback.format_exc(limit=-2)[-300:]!r}", flush=True)


class _limited:  # noqa: N801 - a context manager
    def __enter__(self) -> None:
        def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
            raise TimeoutError

        self.former = signal.signal(signal.SIGALRM, stop)
        signal.alarm(LIMIT)

    def __exit__(self, *_: object) -> None:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, self.former)


def _networks(names: list[str]) -> dict[str, Any]:
    from benchmarks.converters.blind.branching import BRANCHING
    from benchmarks.converters.blind.library import LIBRARY
    from benchmarks.converters.blind.pictures import PICTURES
    from benchmarks.converters.blind.rarer import RARER
    from benchmarks.converters.blind.sequences import SEQUENCES

    rows: dict[str, Any] = {**PICTURES, **SEQUENCES, **LIBRARY, **RARER, **BRANCHING}
    return {name: row for name, row in rows.items() if not names or name in names}


def _what(outcome: Outcome) -> str:
    planted = [f"first {outcome.first}, planted {outcome.detail}"] if outcome.fault else []
    return "; ".join([*outcome.violations, *outcome.wrong_pairs[:3], *planted])


if __name__ == "__main__":
    sys.exit(main())
