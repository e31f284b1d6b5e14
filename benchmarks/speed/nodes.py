"""ONNX graphs of many small nodes, twice, with no name in common.

python -m benchmarks.speed.nodes FOLDER NODES
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

WIDTH = 16
_BLOCK = ("MatMul", "Add", "Tanh", "Mul", "Residual")


def graph(count, names):
    """``count`` nodes in blocks of five; ``names`` makes a name of a word and a number."""
    rng = np.random.default_rng(0)
    nodes, weights = [], []
    value = start = "x"
    for place in range(count):
        kind = _BLOCK[place % len(_BLOCK)]
        inputs = [value]
        if kind == "Residual":
            inputs.append(start)
        elif kind != "Tanh":
            shape = (WIDTH, WIDTH) if kind == "MatMul" else (WIDTH,)
            drawn = rng.normal(scale=WIDTH**-0.5, size=shape).astype(np.float32)
            weights.append(numpy_helper.from_array(drawn, names("weight", place)))
            inputs.append(weights[-1].name)
        value = names("value", place) if place + 1 < count else "y"
        operator = "Add" if kind == "Residual" else kind
        nodes.append(helper.make_node(operator, inputs, [value], name=names("node", place)))
        start = value if kind == "Residual" else start
    ends = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, [4, WIDTH])] for name in ("x", "y")]
    built = helper.make_graph(nodes, "nodes", *ends, weights)
    return helper.make_model(built, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def build(folder, count):
    """Write a.onnx, b.onnx and x.npy."""
    onnx.save(graph(count, lambda word, place: f"{word}{place}"), folder / "a.onnx")
    onnx.save(graph(count, lambda word, place: f"{word[::-1]}/{7 * count - place}"), folder / "b.onnx")
    np.save(folder / "x.npy", np.random.default_rng(0).normal(size=(4, WIDTH)).astype(np.float32))


if __name__ == "__main__":
    build(Path(sys.argv[1]), int(sys.argv[2]))
