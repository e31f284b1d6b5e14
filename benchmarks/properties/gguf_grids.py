"""How much of its limit each GGUF format uses, quantised by llama.cpp itself; above 1 a clean file would be an alarm.

python -m benchmarks.properties.gguf_grids LIBRARY

LIBRARY exports ``quantize_row_q4_K_reference`` and its likes, as ggml of 2023 does (lib/basic/libctransformers.so of
the package ctransformers). What it lacks is quantised by the package gguf.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any

import click
import gguf
import numpy as np
from gguf import GGMLQuantizationType, quants

from aligner.parameters.grids import GRIDS

Numbers = np.ndarray[Any, Any]

_SHAPE = 200, 1024


@click.command()
@click.argument("library", type=click.Path(exists=True))
def main(library: str) -> None:
    """The largest share of a limit, for each format and distribution."""
    loaded = ctypes.CDLL(library)
    for kind, grid in GRIDS.items():
        shares = []
        for name, numbers in _distributions():
            try:
                raw = _quantised(loaded, kind, numbers)
            except NotImplementedError:
                continue
            error = numbers.astype(np.float64) - quants.dequantize(raw, GGMLQuantizationType[kind])
            together = np.sqrt(np.square(error).reshape(-1, grid.together).mean(1))
            shares.append(f"{name} {np.nanmax(together / grid.limits(numbers), initial=0):.2f}")
        print(kind, ", ".join(shares) or "no quantiser")


def _quantised(library: Any, kind: str, numbers: Numbers) -> Numbers:
    own = getattr(library, f"quantize_row_{kind.replace('Q', 'q')}_reference", None)
    if own is None or not kind.endswith("_K"):
        return np.asarray(quants.quantize(numbers, GGMLQuantizationType[kind]))
    block, size = gguf.GGML_QUANT_SIZES[GGMLQuantizationType[kind]]
    raw = np.zeros((numbers.shape[0], numbers.shape[1] // block * size), np.uint8)
    own(*(one.ctypes.data_as(ctypes.c_void_p) for one in (numbers, raw)), ctypes.c_int(numbers.size))
    return raw


def _distributions() -> Iterator[tuple[str, Numbers]]:
    generator = np.random.default_rng(0)
    normal = generator.standard_normal(_SHAPE)
    outliers = normal * 0.02
    outliers[:, ::97] *= 50
    rows, groups = np.exp(3 * generator.standard_normal((200, 1))), np.exp(2 * generator.standard_normal((200, 64)))
    made = {
        "normal": normal * 0.02,
        "t of 3": generator.standard_t(3, _SHAPE) * 0.02,
        "t of 1": generator.standard_t(1, _SHAPE) * 0.02,
        "uniform": generator.uniform(-1, 1, _SHAPE),
        "positive": generator.uniform(0, 1, _SHAPE),
        "far from zero": generator.uniform(10, 11, _SHAPE),
        "far below zero": -generator.uniform(10, 11, _SHAPE),
        "sparse": normal * (generator.random(_SHAPE) < 0.05),
        "outliers": outliers,
        "rows apart": normal * rows,
        "groups apart": normal * np.repeat(groups, 16, 1),
        "nothing": np.zeros(_SHAPE),
        "next to nothing": normal * 1e-7,
        "signs": np.sign(normal) * 0.02,
    }
    for name, numbers in made.items():
        yield name, np.ascontiguousarray(numbers, np.float32)


if __name__ == "__main__":
    main()
