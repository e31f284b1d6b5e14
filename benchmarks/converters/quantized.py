"""Clean random pairs with the candidate quantised by onnxruntime: few bits and rewrites at once are no fault."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.converters.case import Case, case
from benchmarks.converters.graph import Array, to_proto

SPREAD = 0.3
"""Calibration feeds: the case's own, and that with noise of this share of its deviation."""
FEEDS = 6


def table(seeds: Sequence[int]) -> int:
    """Compare a pair for each seed, a row each; 1 where one is diverged.

    In the form of QuantizeLinear and DequantizeLinear: kernels on integers saturate on processors without VNNI.
    """
    verdicts = []
    for seed in seeds:
        made = case(seed, faulty=False)
        if made is None:
            continue
        began = time.perf_counter()
        verdict, why = _compared(made)
        verdicts.append(verdict)
        seconds = time.perf_counter() - began
        print(f"{verdict:12} {seconds:5.1f} s  {seed} {made.recipe.network}  {why}", flush=True)
    print(f"{len(verdicts)} pairs: " + ", ".join(f"{verdicts.count(each)} {each}" for each in sorted(set(verdicts))))
    return int("diverged" in verdicts)


def _compared(made: Case) -> tuple[str, str]:
    import aligner
    from aligner.errors import AlignerError

    with tempfile.TemporaryDirectory(prefix="converters") as name:
        folder = Path(name)
        (folder / "reference.onnx").write_bytes(to_proto(made.reference).SerializeToString())
        (folder / "candidate.onnx").write_bytes(to_proto(made.candidate).SerializeToString())
        try:
            _quantise(folder / "candidate.onnx", folder / "quantised.onnx", dict(made.reference.feeds), made)
        except Exception as error:  # noqa: BLE001 - a tool that refuses a model makes no pair
            return "no pair", str(error).replace("\n", " ")[:100]
        try:
            feeds = dict(made.reference.feeds)
            report = aligner.compare(folder / "reference.onnx", folder / "quantised.onnx", feeds).to_json()
        except AlignerError as error:
            return "refused", str(error).replace("\n", " ")[:160]
    return report["verdict"], report["reason"] if report["verdict"] != "aligned" else ""


def _quantise(plain: Path, path: Path, feeds: Mapping[str, Array], made: Case) -> None:
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    logging.getLogger().setLevel(logging.ERROR)
    with contextlib.redirect_stdout(io.StringIO()):
        quantize_static(
            str(plain),
            str(path),
            _Calibration(feeds, np.random.default_rng([made.recipe.seed, 9])),
            quant_format=QuantFormat.QDQ,
            per_channel=bool(made.recipe.seed % 3),
            weight_type=QuantType.QInt8,
            activation_type=QuantType.QInt8,
        )


class _Calibration:
    """What onnxruntime asks for the numbers that ranges are taken from."""

    def __init__(self, feeds: Mapping[str, Array], rng: np.random.Generator) -> None:
        self._left: Iterator[Mapping[str, Any]] = iter([feeds, *(_noisy(feeds, rng) for _ in range(FEEDS))])

    def get_next(self) -> Mapping[str, Any] | None:
        return next(self._left, None)


def _noisy(feeds: Mapping[str, Array], rng: np.random.Generator) -> dict[str, Array]:
    return {
        name: (array + SPREAD * array.std() * rng.standard_normal(array.shape)).astype(array.dtype)
        if array.dtype.kind == "f"
        else array
        for name, array in feeds.items()
    }
