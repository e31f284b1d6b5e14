"""How many of 256 codes a sample fills, where ranges were measured on others: what ``range-too-wide`` is no fault of.

python -m benchmarks.properties.ranges --seeds A:B

Each network's tensors get the range of 24 samples of one kind, as a MinMax calibration gives it, and a further one is
coded in it. Samples are the network's input in another order, up to twice or half as large: light and loud ones. Held
against them: the input's codes where numbers were divided after the calibration, as a preparation done twice does.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np

from aligner.judgement.pair_facts import QUANTIZED_RELATIVE
from aligner.regions.inner_tensors import CODES
from benchmarks.converters.graph import Array, Graph, run
from benchmarks.converters.networks import NETWORKS

_SAMPLES = 24
_BOUNDS = (64, 32, 16, 8, 4, 2)
_DIVIDED = (16.0, 127.0, 255.0)


def _sample(feeds: dict[str, Array], rng: np.random.Generator) -> dict[str, Array]:
    scale = 2 ** rng.uniform(-1, 1)
    mixed = {name: rng.permutation(array.reshape(-1)).reshape(array.shape) for name, array in feeds.items()}
    return {
        name: (array * scale).astype(array.dtype) if array.dtype.kind == "f" else array for name, array in mixed.items()
    }


def _seen(graph: Graph, rng: np.random.Generator) -> dict[str, Array]:
    graph.feeds = _sample(graph.feeds, rng)
    seen = run(graph, everything=True)
    return {name: array for name, array in seen.items() if array.dtype.kind == "f" and array.size > 1}


def _cost(array: Array, step: float) -> float:
    coded = step * np.rint(array / step)
    return float(np.sqrt(np.mean((coded - array) ** 2) / np.mean(array**2)))


def costly(seed: int) -> Iterator[float]:
    """For each tensor of a further sample its codes; inf where they cost no more than eight bits may, or always do."""
    rng = np.random.default_rng([seed, 95])
    graph = NETWORKS[[*NETWORKS][seed % len(NETWORKS)]](np.random.default_rng([seed, 5]))
    first = graph.feeds
    seen: list[dict[str, tuple[float, float]]] = []
    for _ in range(_SAMPLES):
        seen.append({name: (float(one.min()), float(one.max())) for name, one in _seen(graph, rng).items()})
        graph.feeds = first
    for name, array in _seen(graph, rng).items():
        wide = max(0.0, *(one[name][1] for one in seen)) - min(0.0, *(one[name][0] for one in seen))
        own = float(array.max() - array.min())
        if 0 < wide < np.inf and 0 < own < np.inf:
            cost = _cost(array.astype(np.float64), wide / CODES)
            told = cost > QUANTIZED_RELATIVE >= cost * own / wide
            yield own / wide * CODES if told else np.inf


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.properties.ranges", description=__doc__)
    parser.add_argument("--seeds", default="0:50", help="A:B, B not included")
    first, _, last = parser.parse_args().seeds.partition(":")
    found = np.array([one for seed in range(int(first), int(last)) for one in costly(seed)])
    print(f"{found.size} tensors of {int(last) - int(first)} networks; their range costs a further sample too much in")
    for bound in _BOUNDS:
        print(f"less than {bound:3d} codes: {int((found < bound).sum())}, {float((found < bound).mean()):.2%}")
    for factor in _DIVIDED:
        print(f"an input divided by {factor:g} is left {CODES / factor:.1f}")


if __name__ == "__main__":
    main()
