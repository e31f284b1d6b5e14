"""How much a sound region makes of rounding in what it reads: what ``contradiction`` is told beyond.

python -m benchmarks.properties.contradictions --seeds A:B

Clean random pairs, rewritten, in float32. Of every pair of tensors that agrees alone and reads what agrees: how many
times its relative error is that of what it reads, and its largest error that of what it reads.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import Any

import aligner
from aligner.errors import AlignerError
from aligner.judgement import contradiction, verdicts
from aligner.records.graph import Graph
from aligner.records.measurement import Measured
from benchmarks.converters.case import case
from benchmarks.converters.graph import to_proto


def grown(seed: int) -> Iterator[tuple[float, float]]:
    """Growth of each tensor of a seed's clean pair: relative, and of the largest error."""
    made, found = case(seed, faulty=False), list[tuple[float, float]]()
    if made is None:
        return

    def noted(graph: Graph, measured: Sequence[Measured]) -> list[Any]:
        by_value = {item.pair.candidate: item for item in measured}
        for item in measured:
            fed = contradiction.agrees_alone(graph, item, by_value)
            if fed is not None and item.accumulated is not None and not item.accumulated.mismatched:
                found.append(
                    (item.accumulated.relative / fed.relative, item.accumulated.errors.max_abs / max(fed.size, 1e-30))
                )
        return []

    verdicts.contradicted, own = noted, verdicts.contradicted
    try:
        aligner.compare(to_proto(made.reference), to_proto(made.candidate), dict(made.reference.feeds))
    except AlignerError:
        pass
    finally:
        verdicts.contradicted = own
    yield from found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.properties.contradictions", description=__doc__)
    parser.add_argument("--seeds", default="0:50", help="A:B, B not included")
    first, _, last = parser.parse_args().seeds.partition(":")
    found = [one for seed in range(int(first), int(last)) for one in grown(seed)]
    print(f"{len(found)} tensors that agree alone and read what agrees")
    for place, words in ((0, "relative error"), (1, "largest error")):
        ranked = sorted(one[place] for one in found)
        shares = {share: ranked[max(int(share * len(ranked)) - 1, 0)] for share in (0.5, 0.99, 0.999, 1.0)}
        print(f"{words} over that of what is read: " + ", ".join(f"{s:.1%} up to {n:.3g}" for s, n in shares.items()))


if __name__ == "__main__":
    main()
