"""``python -m benchmarks.properties --seeds A:B``: each seed in a process of its own, violations by property."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable
from multiprocessing import get_context


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.properties", description=__doc__)
    parser.add_argument("--seeds", default="0:20", help="A:B, B not included")
    parser.add_argument(
        "--of",
        choices=[*_KINDS],
        nargs="*",
        default=[*_KINDS],
        help="rewritten models, kernels, mixtures, proven causes",
    )
    parser.add_argument("--jobs", type=int, default=1)
    chosen = parser.parse_args(arguments)
    first, _, last = chosen.seeds.partition(":")
    work = [(kind, seed, faulty) for seed in range(int(first), int(last)) for kind in chosen.of for faulty in (0, 1)]
    counted: Counter[str] = Counter()
    with get_context("fork").Pool(chosen.jobs, maxtasksperchild=64) as pool:
        for (kind, seed, faulty), told in zip(work, pool.imap(_one, work), strict=True):
            counted["cases"] += told is not None
            for words in told or ():
                counted[f"{kind}: {words.partition(':')[0]}"] += 1
                print(f"{kind} {seed} {'fault' if faulty else 'clean'}: {words}", flush=True)
    print(", ".join(f"{count} {name}" for name, count in counted.items()))
    return int(len(counted) > 1)


def _one(work: tuple[str, int, int]) -> list[str] | None:
    kind, seed, faulty = work
    try:
        return _KINDS[kind](seed, bool(faulty))
    except Exception as error:  # noqa: BLE001 - whatever is raised on a valid pair is a finding
        return [f"refused: {type(error).__name__}: {str(error)[:300]}"]


def _converted(seed: int, faulty: bool) -> list[str] | None:
    from benchmarks.converters.running import once

    outcome = once(seed, faulty=faulty)
    return None if outcome is None else outcome.violations


def _kernel(seed: int, faulty: bool) -> list[str] | None:
    from benchmarks.properties.kernels import kernel, violations

    case = kernel(seed, faulty=faulty)
    return None if case is None else [f"{words}; {case.kind} {case.told}" for words in violations(case)]


def _mixture(seed: int, faulty: bool) -> list[str] | None:
    from benchmarks.properties.mixtures import mixture, violations

    made = mixture(seed, faulty=faulty)
    if made is None:
        return None
    told = f"; {made.kind}, {made.case.recipe.network} {made.case.planted.detail if made.case.planted else ''}"
    return [words + told for words in violations(made)]


def _proof(seed: int, faulty: bool) -> list[str] | None:
    from benchmarks.properties.proofs import insufficient

    return insufficient(seed) if faulty else None


_KINDS: dict[str, Callable[[int, bool], list[str] | None]] = {
    "converted": _converted,
    "kernels": _kernel,
    "mixtures": _mixture,
    "proofs": _proof,
}

if __name__ == "__main__":
    sys.exit(main())
