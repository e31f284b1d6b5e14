"""One bounded kernel between two layers, in two spellings, with numbers of any size: what no rounding may excuse.

A softmax, a sigmoid or a normalised tensor has a range of its own; a bound that is as wide says nothing. Faults are the
kernel's own: another axis, a factor, statistics over other axes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SHOWS = 1e-2
"""A fault counts that moves the kernel's output by more than this share of its range."""
RANGES = {"softmax": 1.0, "sigmoid": 1.0, "tanh": 2.0, "hardsigmoid": 1.0, "layernorm": 2.0, "rms": 2.0, "unit": 1.0}
"""How far the output of each may reach; of normalised tensors, two standard deviations."""
_MASKS = (None, None, -1e4, -65504.0, -1e9, float(np.finfo(np.float32).min), -np.inf)
_FAULTS = ("axis", "factor", "none")
Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Kernel:
    """Two models of an input ``x``, the candidate with a fault or none; ``told`` says which."""

    seed: int
    kind: str
    told: str
    reference: onnx.ModelProto
    candidate: onnx.ModelProto
    x: Array
    shows: bool
    """Whether the fault shows where the kernel's own output is looked at; False without a fault."""


class _Writer:
    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, Array] = {}

    def op(self, op: str, *inputs: str, **attributes: Any) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, [*inputs], [name], name=f"n{len(self.nodes)}", **attributes))
        return name

    def keep(self, array: Any) -> str:
        name = f"w{len(self.weights)}"
        self.weights[name] = np.asarray(array)
        return name

    def model(self, x: Array, out: str) -> onnx.ModelProto:
        self.nodes.append(helper.make_node("Identity", [out], ["y"], name="end"))
        given = helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)
        made = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
        stored = [numpy_helper.from_array(array, name) for name, array in self.weights.items()]
        graph = helper.make_graph(self.nodes, "kernel", [given], [made], stored)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def kernel(seed: int, *, faulty: bool) -> Kernel | None:
    """The case of a seed; None where its fault does not show."""
    rng = np.random.default_rng([seed, 91])
    kind = str(rng.choice([*RANGES]))
    side = int(rng.choice([8, 12]))
    x = rng.standard_normal((2, side, side)).astype(np.float32)
    weight = (rng.standard_normal((side, side)) * 10.0 ** rng.uniform(-3, 3)).astype(np.float32)
    mask = _MASKS[int(rng.integers(len(_MASKS)))] if kind == "softmax" else None
    fault = str(rng.choice(_FAULTS[:2])) if faulty else "none"
    amount = float(rng.choice([1.05, 1.5, 0.8]))
    spelled = [bool(rng.random() < 0.5) for _ in range(2)]
    after = (rng.standard_normal((side, side)) / side**0.5).astype(np.float32) if rng.random() < 0.7 else None

    def made(wrong: str, apart: bool) -> tuple[onnx.ModelProto, str]:
        write = _Writer()
        scores = write.op("MatMul", "x", write.keep(weight))
        if mask is not None:
            scores = write.op("Add", scores, write.keep(np.triu(np.full((side, side), mask, np.float32), 1)))
        axis = -2 if wrong == "axis" and kind in {"softmax", "layernorm", "rms", "unit"} else -1
        factor = amount if wrong == "factor" or (wrong == "axis" and axis == -1) else 1.0
        out = _SPELLINGS[kind](write, scores, axis, apart)
        if factor != 1.0:
            out = write.op("Mul", out, write.keep(np.float32(factor)))
        shown = out
        if after is not None:
            out = write.op("MatMul", out, write.keep(after))
        return write.model(x, out), shown

    reference, shown = made("none", spelled[0])
    candidate, other = made(fault, spelled[1])
    if not faulty:
        return Kernel(seed, kind, f"clean, mask {mask}", reference, candidate, x, False)
    moved = _largest_change((reference, shown), (candidate, other), x)
    told = f"{fault}, mask {mask}, off by {moved:.2g}"
    return Kernel(seed, kind, told, reference, candidate, x, True) if moved > SHOWS * RANGES[kind] else None


def _largest_change(one: tuple[onnx.ModelProto, str], other: tuple[onnx.ModelProto, str], x: Array) -> float:
    """How far the kernel's two outputs are apart; 0 where either is not a number."""
    import onnxruntime as ort

    found = []
    for model, name in (one, other):
        shown = onnx.ModelProto()
        shown.CopyFrom(model)
        shown.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
        session = ort.InferenceSession(shown.SerializeToString(), providers=["CPUExecutionProvider"])
        found.append(np.asarray(session.run([name], {"x": x})[0], np.float64))
    apart = np.abs(found[0] - found[1])
    return float(apart.max()) if np.isfinite(apart).all() else 0.0


def _softmax(write: _Writer, x: str, axis: int, apart: bool) -> str:
    if not apart:
        return write.op("Softmax", x, axis=axis)
    axes = write.keep(np.array([axis], np.int64))
    raised = write.op("Exp", write.op("Sub", x, write.op("ReduceMax", x, axes)))
    return write.op("Div", raised, write.op("ReduceSum", raised, axes))


def _sigmoid(write: _Writer, x: str, axis: int, apart: bool) -> str:  # noqa: ARG001
    if not apart:
        return write.op("Sigmoid", x)
    half = write.keep(np.float32(0.5))
    return write.op("Add", write.op("Mul", write.op("Tanh", write.op("Mul", x, half)), half), half)


def _tanh(write: _Writer, x: str, axis: int, apart: bool) -> str:  # noqa: ARG001
    if not apart:
        return write.op("Tanh", x)
    two, one = write.keep(np.float32(2)), write.keep(np.float32(1))
    return write.op("Sub", write.op("Mul", write.op("Sigmoid", write.op("Mul", x, two)), two), one)


def _hardsigmoid(write: _Writer, x: str, axis: int, apart: bool) -> str:  # noqa: ARG001
    if not apart:
        return write.op("HardSigmoid", x, alpha=1 / 6, beta=0.5)
    line = write.op("Add", write.op("Mul", x, write.keep(np.float32(1 / 6))), write.keep(np.float32(0.5)))
    return write.op("Clip", line, write.keep(np.float32(0)), write.keep(np.float32(1)))


def _layernorm(write: _Writer, x: str, axis: int, apart: bool) -> str:
    if not apart and axis == -1:
        size = len(write.weights["w0"])
        return write.op("LayerNormalization", x, write.keep(np.ones(size, np.float32)), axis=axis, epsilon=1e-5)
    axes = write.keep(np.array([axis], np.int64))
    centred = write.op("Sub", x, write.op("ReduceMean", x, axes))
    spread = write.op("ReduceMean", write.op("Mul", centred, centred), axes)
    return write.op("Div", centred, write.op("Sqrt", write.op("Add", spread, write.keep(np.float32(1e-5)))))


def _rms(write: _Writer, x: str, axis: int, apart: bool) -> str:
    axes = write.keep(np.array([axis], np.int64))
    square = write.op("Mul", x, x) if apart else write.op("Pow", x, write.keep(np.float32(2)))
    size = write.op("Sqrt", write.op("Add", write.op("ReduceMean", square, axes), write.keep(np.float32(1e-6))))
    return write.op("Div", x, size) if apart else write.op("Mul", x, write.op("Reciprocal", size))


def _unit(write: _Writer, x: str, axis: int, apart: bool) -> str:
    if not apart:
        return write.op("LpNormalization", x, axis=axis, p=2)
    return write.op("Div", x, write.op("ReduceL2", x, write.keep(np.array([axis], np.int64))))


_SPELLINGS = {
    "softmax": _softmax,
    "sigmoid": _sigmoid,
    "tanh": _tanh,
    "hardsigmoid": _hardsigmoid,
    "layernorm": _layernorm,
    "rms": _rms,
    "unit": _unit,
}


def violations(case: Kernel) -> list[str]:
    """The properties that a comparison of the case breaks, in words."""
    import aligner

    result = aligner.compare(case.reference, case.candidate, case.x)
    found = []
    if case.shows and result.verdict != "diverged":
        found.append(f"false peace: {result.verdict} ({result.comparison.rule})")
    if not case.shows and result.verdict != "aligned":
        found.append(f"false alarm: {result.verdict} ({result.comparison.rule})")
    for pair in result.comparison.pairs:
        numbers = pair.reference.statistics
        peak = max(abs(numbers.min or 0.0), abs(numbers.max or 0.0))
        if pair.verdict == "aligned" and pair.local and pair.bound and peak and pair.bound >= peak:
            found.append(
                f"empty bound: {pair.bound:.2g} for {pair.candidate.name} ({pair.candidate.op}) up to {peak:.2g}"
            )
    return found
