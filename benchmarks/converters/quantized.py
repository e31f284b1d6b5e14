"""Clean random pairs with the candidate quantised by onnxruntime: few bits and rewrites at once are no fault.

But for ranges that leave a tensor no codes (``lost_ranges``), which calibration by extremes chooses for masked scores:
those are faults, whose place is known.
"""

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
from benchmarks.converters.graph import Array, run, to_proto
from benchmarks.converters.lost_ranges import lost_ranges

SPREAD = 0.3
"""Calibration feeds: the case's own, and that with noise of this share of its deviation."""
FEEDS = 6
RIGHT = {False: ("aligned",), True: ("diverged",)}
"""What is right, by whether a range is lost."""
UNTOLD = ("inconclusive", "refused", "no pair")


def table(seeds: Sequence[int]) -> int:
    """Compare a pair for each seed, a row each; 1 where one is diverged and clean, or not at a range that is lost.

    In the form of QuantizeLinear and DequantizeLinear: kernels on integers saturate on processors without VNNI.
    """
    verdicts = []
    for seed in seeds:
        made = case(seed, faulty=False)
        if made is None:
            continue
        began = time.perf_counter()
        verdict, why, lost = _compared(made)
        right = verdict in RIGHT[bool(lost)] and (not lost or any(name in why for name in lost))
        told = verdict if right or verdict in UNTOLD else f"{verdict}, WRONG"
        verdicts.append(f"{told} ({'a range is lost' if lost else 'clean'})" if verdict not in UNTOLD else verdict)
        seconds = time.perf_counter() - began
        print(f"{told:12} {seconds:5.1f} s  {seed} {made.recipe.network}  {why} {' '.join(lost)}", flush=True)
    print(f"{len(verdicts)} pairs: " + ", ".join(f"{verdicts.count(each)} {each}" for each in sorted(set(verdicts))))
    return int(any("WRONG" in each for each in verdicts))


def _compared(made: Case) -> tuple[str, str, list[str]]:
    """The verdict, why, and the nodes whose range is lost."""
    import aligner
    from aligner.errors import AlignerError

    with tempfile.TemporaryDirectory(prefix="converters") as name:
        folder = Path(name)
        (folder / "reference.onnx").write_bytes(to_proto(made.reference).SerializeToString())
        (folder / "candidate.onnx").write_bytes(to_proto(made.candidate).SerializeToString())
        try:
            quantise(folder / "candidate.onnx", folder / "quantised.onnx", dict(made.reference.feeds), made)
        except Exception as error:  # noqa: BLE001 - a tool that refuses a model makes no pair
            return "no pair", str(error).replace("\n", " ")[:100], []
        lost = lost_ranges(folder / "quantised.onnx", dict(made.reference.feeds), run(made.candidate))
        try:
            feeds = dict(made.reference.feeds)
            report = aligner.compare(folder / "reference.onnx", folder / "quantised.onnx", feeds).to_json()
        except AlignerError as error:
            return "refused", str(error).replace("\n", " ")[:160], lost
    return report["verdict"], report["reason"] if report["verdict"] != "aligned" else "", lost


def quantise(plain: Path, path: Path, feeds: Mapping[str, Array], made: Case) -> None:
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
