"""Layers as exporters write them, drawn onto a graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.converters.graph import Array, Graph

ACTIVATIONS = (
    "relu",
    "relu6",
    "leaky",
    "prelu",
    "silu",
    "hardswish",
    "gelu",
    "gelu_tanh",
    "elu",
    "mish",
    "tanh",
    "sigmoid",
)


class Builder:
    """Weights as training leaves them: no bias is zero and no norm is the identity."""

    def __init__(self, rng: np.random.Generator, feeds: dict[str, Array], opset: int | None = None) -> None:
        self.rng = rng
        self.graph = Graph(feeds, opset=opset or int(rng.choice([17, 17, 18, 20])))

    def pick(self, *among: Any) -> Any:
        return among[int(self.rng.integers(len(among)))]

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def normal(self, *shape: int, scale: float = 1.0) -> Array:
        return (self.rng.standard_normal(shape) * scale).astype(np.float32)

    def keep(self, array: Any, stem: str = "const") -> str:
        return self.graph.keep(array, stem)

    def op(self, op: str, *inputs: str, **attributes: Any) -> str:
        return self.graph.add(op, *inputs, **attributes)

    def finish(self, *outputs: str) -> Graph:
        """Outputs get names of their own."""
        for number, name in enumerate(outputs):
            node = self.graph.producer(name)
            assert node is not None
            public = f"output{number or ''}"
            node.outputs = [public if each == name else each for each in node.outputs]
            for reader in self.graph.nodes:
                reader.inputs = [public if each == name else each for each in reader.inputs]
            self.graph.outputs.append(public)
        self.graph.prune()
        self.graph.changed()
        return self.graph

    # --- layers

    def conv(
        self,
        x: str,
        wide: tuple[int, int],
        *,
        kernel: int = 3,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = True,
        pads: Sequence[int] | None = None,
        rank: int = 2,
    ) -> str:
        inner, outer = wide
        fan = inner // groups * kernel**rank
        weight = self.keep(self.normal(outer, inner // groups, *[kernel] * rank, scale=(1.6 / fan) ** 0.5), "weight")
        inputs = [x, weight] + ([self.keep(self.normal(outer, scale=0.2), "bias")] if bias else [])
        around = dilation * (kernel - 1) // 2
        return self.op(
            "Conv",
            *inputs,
            kernel_shape=[kernel] * rank,
            strides=[stride] * rank,
            dilations=[dilation] * rank,
            group=groups,
            pads=list(pads) if pads is not None else [around] * (2 * rank),
        )

    def batch_norm(self, x: str, width: int) -> str:
        rng = self.rng
        arrays = (
            rng.uniform(0.5, 1.5, width),
            rng.normal(0, 0.3, width),
            rng.normal(0, 0.3, width),
            rng.uniform(0.3, 1.5, width),
        )
        names = [self.keep(array, stem) for array, stem in zip(arrays, ("gamma", "beta", "mean", "var"), strict=True)]
        return self.op("BatchNormalization", x, *names, epsilon=self.pick(1e-5, 1e-3))

    def layer_norm(self, x: str, width: int) -> str:
        gamma = self.keep(self.rng.uniform(0.5, 1.5, width), "gamma")
        beta = self.keep(self.rng.normal(0, 0.2, width), "beta")
        epsilon = self.pick(1e-5, 1e-6, 1e-12)
        if self.chance(0.5):
            return self.op("LayerNormalization", x, gamma, beta, axis=-1, epsilon=epsilon)
        centred = self.op("Sub", x, self.mean(x, [-1]))
        square = self.op("Pow", centred, self.keep(np.float32(2)))
        spread = self.op("Sqrt", self.op("Add", self.mean(square, [-1]), self.keep(np.float32(epsilon))))
        scaled = self.op("Mul", self.op("Div", centred, spread), gamma)
        return self.op("Add", scaled, beta)

    def rms_norm(self, x: str, width: int) -> str:
        gamma = self.keep(self.rng.uniform(0.5, 1.5, width), "gamma")
        square = self.op("Pow", x, self.keep(np.float32(2)))
        spread = self.op("Sqrt", self.op("Add", self.mean(square, [-1]), self.keep(np.float32(1e-6))))
        unit = self.op("Mul", x, self.op("Reciprocal", spread)) if self.chance(0.5) else self.op("Div", x, spread)
        return self.op("Mul", gamma, unit)

    def mean(self, x: str, axes: Sequence[int], *, keepdims: int = 1) -> str:
        if self.graph.opset >= 18:
            return self.op("ReduceMean", x, self.keep(np.array(axes, np.int64), "axes"), keepdims=keepdims)
        return self.op("ReduceMean", x, axes=list(axes), keepdims=keepdims)

    def linear(self, x: str, wide: tuple[int, int], *, bias: bool = True, gemm: bool = False) -> str:
        weight = self.normal(*wide, scale=(1.2 / wide[0]) ** 0.5)
        offset = self.normal(wide[1], scale=0.2)
        if gemm and bias:
            return self.op("Gemm", x, self.keep(weight.T, "weight"), self.keep(offset, "bias"), transB=1)
        out = self.op("MatMul", x, self.keep(weight, "weight"))
        if not bias:
            return out
        name = self.keep(offset, "bias")
        return self.op("Add", *((out, name) if self.chance(0.5) else (name, out)))

    def reshape(self, x: str, *sizes: int) -> str:
        return self.op("Reshape", x, self.keep(np.array(sizes, np.int64), "shape"))

    def transpose(self, x: str, *perm: int) -> str:
        return self.op("Transpose", x, perm=list(perm))

    def scalar(self, op: str, x: str, number: float) -> str:
        return self.op(op, x, self.keep(np.float32(number)))

    def slice(self, x: str, axis: int, start: int, stop: int) -> str:
        bounds = [self.keep(np.array([each], np.int64), "bound") for each in (start, stop, axis)]
        return self.op("Slice", x, *bounds)

    def activation(self, x: str, kind: str, width: int = 0, trailing: int = 2) -> str:
        """One of ACTIVATIONS; ``width`` channels with ``trailing`` axes behind them, for a slope for each."""
        if kind == "relu":
            return self.op("Relu", x)
        if kind == "relu6":
            return self.op("Clip", x, self.keep(np.float32(0)), self.keep(np.float32(6)))
        if kind == "leaky":
            return self.op("LeakyRelu", x, alpha=self.pick(0.01, 0.1, 0.2))
        if kind == "prelu" and width:
            return self.op("PRelu", x, self.keep(self.rng.uniform(0.05, 0.4, (width, *[1] * trailing)), "slope"))
        if kind == "silu":
            return self.op("Mul", x, self.op("Sigmoid", x))
        if kind == "hardswish":
            return self.op("HardSwish", x)
        if kind == "gelu":
            return self.gelu(x)
        if kind == "gelu_tanh":
            cube = self.scalar("Mul", self.scalar("Pow", x, 3), 0.044715)
            inner = self.scalar("Mul", self.op("Add", x, cube), (2 / np.pi) ** 0.5)
            return self.op("Mul", self.scalar("Mul", x, 0.5), self.scalar("Add", self.op("Tanh", inner), 1))
        if kind == "elu":
            return self.op("Elu", x, alpha=1.0)
        if kind == "mish":
            return self.op("Mul", x, self.op("Tanh", self.op("Softplus", x)))
        return self.op("Sigmoid" if kind == "sigmoid" else "Tanh", x)

    def gelu(self, x: str) -> str:
        if self.graph.opset >= 20 and self.chance(0.5):
            return self.op("Gelu", x)
        inner = self.scalar("Add", self.op("Erf", self.scalar("Div", x, 2**0.5)), 1)
        return self.scalar("Mul", self.op("Mul", x, inner), 0.5)

    def squeeze_excite(self, x: str, width: int, inner: int) -> str:
        pooled = self.op("GlobalAveragePool", x) if self.chance(0.5) else self.mean(x, [2, 3])
        narrow = self.activation(self.conv(pooled, (width, inner), kernel=1), self.pick("relu", "silu"))
        gate = self.conv(narrow, (inner, width), kernel=1)
        gate = self.op("HardSigmoid", gate, alpha=1 / 6, beta=0.5) if self.chance(0.3) else self.op("Sigmoid", gate)
        return self.op("Mul", x, gate)
