"""How unevenly rounding leaves the outputs of a weight: what one output that stands out of the others is no sign of.

python -m benchmarks.properties.rows --seeds A:B

Weights with outputs of unlike sizes get a step for each, as their largest number asks for; four and eight bits. They
are rounded to the nearest code, and by error feedback, each column's error put on those that follow by the inputs'
covariance (GPTQ: Frantar et al., arXiv:2210.17323), for inputs of which some features are nearly others. Held against
them: one output times 1.5. Printed: root mean squares in steps, and the most an output that is off by more than a step
has of the middle one: what is off by less is told by nothing.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np

from benchmarks.converters.graph import Array

_SHAPES = ((16, 9), (64, 27), (64, 64), (128, 256))
_DAMPING = 0.01
"""Share of the mean variance that GPTQ adds to each feature's."""


def _inputs(features: int, rng: np.random.Generator) -> Array:
    hidden = rng.standard_normal((4 * features, max(features // 4, 1)))
    mixed: Array = hidden @ rng.standard_normal((hidden.shape[1], features))
    return mixed + 0.1 * rng.standard_normal(mixed.shape)


def _fed_back(weight: Array, steps: Array, inputs: Array, most: int) -> Array:
    """Codes of a weight, column by column."""
    covariance = inputs.T @ inputs
    covariance += np.eye(len(covariance)) * _DAMPING * np.trace(covariance) / len(covariance)
    factor = np.linalg.cholesky(np.linalg.inv(covariance)).T
    left, codes = weight.copy(), np.empty_like(weight)
    for column in range(weight.shape[1]):
        codes[:, column] = np.clip(np.rint(left[:, column] / steps), -most, most)
        error = (left[:, column] - codes[:, column] * steps) / factor[column, column]
        left[:, column:] -= np.outer(error, factor[column, column:])
    return codes


def _spreads(seed: int) -> Iterator[tuple[str, float, float]]:
    """By way of rounding: the root mean square of all, and how often the middle one's the largest output's is."""
    rng = np.random.default_rng(seed)
    for shape in _SHAPES:
        weight = rng.standard_normal(shape) * 2 ** rng.uniform(-3, 3, (shape[0], 1))
        for most in (7, 127):
            steps = np.abs(weight).max(1) / most
            nearest = np.rint(weight / steps[:, None])
            scaled = weight * np.where(np.arange(shape[0]) == rng.integers(shape[0]), 1.5, 1.0)[:, None]
            column, codes = steps[:, None], f"{2 * most + 1} codes"
            ways = {
                f"nearest, {codes}": weight - nearest * column,
                f"fed back, {codes}": weight - _fed_back(weight, steps, _inputs(shape[1], rng), most) * column,
                f"one output times 1.5, {codes}": scaled - nearest * column,
            }
            for way, error in ways.items():
                off = np.sqrt(((error / steps[:, None]) ** 2).mean(1))
                yield way, float(np.sqrt((off**2).mean())), float(off.max() / np.median(off)) if off.max() > 1 else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", default="0:400", help="first:after the last")
    first, last = map(int, parser.parse_args().seeds.split(":"))
    found: dict[str, list[tuple[float, float]]] = {}
    for seed in range(first, last):
        for way, off, spread in _spreads(seed):
            found.setdefault(way, []).append((off, spread))
    for way, each in found.items():
        offs, spreads = zip(*each, strict=True)
        off, spread = (f"{min(numbers):.2f} to {max(numbers):.2f}" for numbers in (offs, spreads))
        print(f"{way:34} steps {off}; largest over middle {spread}")


if __name__ == "__main__":
    main()
