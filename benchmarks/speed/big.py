"""A stack like a transformer's, its weights in one sparse file beside two graphs with no name in common.

python -m benchmarks.speed.big FOLDER PARAMETERS float16|float32
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

WIDTH, TOKENS = 2048, 16
_OF_A_LAYER = 12 * WIDTH**2
_TOLD = 1024
"""Numbers of each weight that are not zero, so that no two are the same; the rest is a hole in the file."""
DATA = "weights.bin"


class _Stack:
    """A graph under construction; each weight knows its place in the data file."""

    def __init__(self, dtype, names):
        self.dtype, self._names = np.dtype(dtype), names
        self.type = helper.np_dtype_to_tensor_dtype(self.dtype)
        self.nodes, self.weights, self.size = [], [], 0

    def weight(self, *shape):
        tensor = TensorProto(name=self._names("weight", len(self.weights)), data_type=self.type, dims=shape)
        tensor.data_location = TensorProto.EXTERNAL
        length = int(np.prod(shape)) * self.dtype.itemsize
        for key, value in (("location", DATA), ("offset", self.size), ("length", length)):
            tensor.external_data.add(key=key, value=str(value))
        self.size += length
        self.weights.append(tensor)
        return tensor.name

    def node(self, operator, *inputs, output=None):
        place = len(self.nodes)
        output = output or self._names("value", place)
        self.nodes.append(helper.make_node(operator, inputs, [output], name=self._names("node", place)))
        return output

    def layer(self, x):
        kept = x
        x = self.node("LayerNormalization", x, self.weight(WIDTH), self.weight(WIDTH))
        for _ in range(4):
            x = self.node("Add", self.node("MatMul", x, self.weight(WIDTH, WIDTH)), self.weight(WIDTH))
        x = kept = self.node("Add", x, kept)
        x = self.node("LayerNormalization", x, self.weight(WIDTH), self.weight(WIDTH))
        x = self.node("Add", self.node("MatMul", x, self.weight(WIDTH, 4 * WIDTH)), self.weight(4 * WIDTH))
        x = self.node("Gelu", x)
        x = self.node("Add", self.node("MatMul", x, self.weight(4 * WIDTH, WIDTH)), self.weight(WIDTH))
        return self.node("Add", x, kept)


def _stack(layers, dtype, names):
    stack = _Stack(dtype, names)
    value = "x"
    for _ in range(layers):
        value = stack.layer(value)
    stack.node("Identity", value, output="y")
    ends = [[helper.make_tensor_value_info(name, stack.type, [1, TOKENS, WIDTH])] for name in ("x", "y")]
    graph = helper.make_graph(stack.nodes, "stack", *ends, stack.weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), stack


def build(folder, parameters, dtype):
    """Write a.onnx, b.onnx and the data file that both read."""
    layers = max(round(parameters / _OF_A_LAYER), 1)
    model, stack = _stack(layers, dtype, lambda word, place: f"{word}{place}")
    onnx.save(model, folder / "a.onnx")
    onnx.save(_stack(layers, dtype, lambda word, place: f"{word[::-1]}/{place}")[0], folder / "b.onnx")
    rng = np.random.default_rng(0)
    with (folder / DATA).open("wb") as file:
        file.truncate(stack.size)
        for tensor in stack.weights:
            file.seek(int(next(entry.value for entry in tensor.external_data if entry.key == "offset")))
            file.write(rng.normal(size=_TOLD).astype(stack.dtype).tobytes())


if __name__ == "__main__":
    build(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
