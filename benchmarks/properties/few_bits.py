"""What eight bits leave of a region and of the outputs, and what faults make of it: where the limits stand.

python -m benchmarks.properties.few_bits --seeds A:B

Pairs of ``benchmarks.converters quantized``, those whose ranges leave each tensor codes. Three tables follow:
regions of clean pairs, by how far off they are over what rounding to their grids was simulated to leave
(``simulated_rounding._TIMES``) and over their tensor's own size (``_ORDINARY``); the same of the worst region where one
activation is read back with another step; and the outputs' error over the clean pair's where one activation's range is
too wide (``unfilled_ranges._FILLED``).
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

import aligner
from aligner.judgement import inner_nodes
from aligner.judgement.simulated_rounding import Simulated
from aligner.judgement.tolerance import region_numbers
from benchmarks.converters.case import Case, case
from benchmarks.converters.graph import run, to_proto
from benchmarks.converters.lost_ranges import lost_ranges
from benchmarks.converters.quantized import quantise

_READ_BACK = (1.02, 1.05, 1.1, 1.3)
_WIDER = (4.0, 8.0, 16.0, 32.0)
_PLACES = 3
"""Activations of each pair, one at a time."""
_SHARES = (0.5, 0.9, 0.99, 1.0)


@contextmanager
def _asked(found: list[tuple[float, float]]) -> Iterator[None]:
    """Every region in few bits is simulated, and its ratios noted: over what is expected, over the tensor's size."""
    simulated, may_exceed = inner_nodes.simulated, inner_nodes.may_exceed

    def noted(culprit: Any, answers: Any) -> Simulated | None:
        seen = simulated(culprit, answers)
        local = culprit.measured.local
        if seen is not None and seen.expected > 0 and local is not None and local.scale:
            found.append((seen.seen / seen.expected, local.errors.rmse / local.scale))
        return seen

    def always(graphs: Any, item: Any) -> bool:
        known = item.local is not None and not item.local.mismatched
        return known and region_numbers(graphs, item).quantized

    inner_nodes.simulated, inner_nodes.may_exceed = noted, always  # type: ignore[assignment]
    try:
        yield
    finally:
        inner_nodes.simulated, inner_nodes.may_exceed = simulated, may_exceed


def _ratios(made: Case, folder: Path, quantised: Any) -> list[tuple[float, float]]:
    found: list[tuple[float, float]] = []
    with _asked(found):
        aligner.compare(folder / "reference.onnx", quantised, dict(made.reference.feeds))
    return found


def _rescaled(model: Any, factor: float, place: float, *, made_so: bool) -> Any:
    """A copy in which one activation, at this share of all, is read back with another step, or made with it as well."""
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    stored = {one.name: one for one in copy.graph.initializer}
    makers = [node for node in copy.graph.node if node.op_type == "QuantizeLinear" and node.input[1] in stored]
    maker = makers[int(place * len(makers))]
    scale = onnx.numpy_helper.to_array(stored[maker.input[1]]) * np.float32(factor)
    copy.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(scale, np.float32), "rescaled"))
    for node in copy.graph.node:
        if (made_so and node is maker) or (node.op_type == "DequantizeLinear" and node.input[0] == maker.output[0]):
            node.input[1] = "rescaled"
    return copy


def _outputs(model: Any, feeds: Any) -> np.ndarray:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    given = session.run(None, {one.name: feeds[one.name] for one in session.get_inputs()})
    return np.concatenate([np.asarray(one, np.float64).reshape(-1) for one in given])


def _row(name: str, numbers: Sequence[float]) -> str:
    quantiles = (f"{np.quantile(numbers, share):9.3g}" for share in _SHARES)
    return f"{name:52}{len(numbers):6}" + "".join(quantiles)


def main() -> None:
    import onnx

    parser = argparse.ArgumentParser(prog="python -m benchmarks.properties.few_bits", description=__doc__)
    parser.add_argument("--seeds", default="995400:995412", help="A:B, B not included")
    first, _, last = parser.parse_args().seeds.partition(":")
    rows: dict[str, list[float]] = {}
    for seed in range(int(first), int(last)):
        made, places = case(seed, faulty=False), np.random.default_rng([seed, 17]).random(_PLACES)
        with tempfile.TemporaryDirectory() as name:
            folder, feeds = Path(name), dict(made.reference.feeds) if made is not None else {}
            if made is None or not _is_made(made, folder):
                continue
            clean = onnx.load(folder / "quantised.onnx")
            for times, share in _ratios(made, folder, folder / "quantised.onnx"):
                rows.setdefault("clean region: error over simulated", []).append(times)
                rows.setdefault("clean region: error over the tensor's size", []).append(share)
            for factor, place in itertools.product(_READ_BACK, places):
                faulty = _ratios(made, folder, _rescaled(clean, factor, place, made_so=False))
                worst = max((times for times, _ in faulty), default=0.0)
                rows.setdefault(f"read back × {factor:g}: worst region over simulated", []).append(worst)
            exact = _outputs(onnx.load(folder / "reference.onnx"), feeds)
            noise = np.linalg.norm(_outputs(clean, feeds) - exact)
            for factor, place in itertools.product(_WIDER, places):
                wide = _outputs(_rescaled(clean, factor, place, made_so=True), feeds)
                ratio = float(np.linalg.norm(wide - exact) / noise) if noise else 1.0
                rows.setdefault(f"range × {factor:g}: outputs' error over the clean pair's", []).append(ratio)
    print(f"{'':52}{'number':>6}" + "".join(f"{share:9.0%}" for share in _SHARES))
    for name, numbers in rows.items():
        print(_row(name, numbers))


def _is_made(made: Case, folder: Path) -> bool:
    """Whether the pair's candidate was quantised, and no range lost."""
    (folder / "reference.onnx").write_bytes(to_proto(made.reference).SerializeToString())
    (folder / "candidate.onnx").write_bytes(to_proto(made.candidate).SerializeToString())
    try:
        quantise(folder / "candidate.onnx", folder / "quantised.onnx", dict(made.reference.feeds), made)
    except Exception:  # noqa: BLE001 - a tool that refuses a model makes no pair
        return False
    return not lost_ranges(folder / "quantised.onnx", dict(made.reference.feeds), run(made.candidate))


if __name__ == "__main__":
    main()
