"""A framework that keeps its channels last and its kernels [height, width, in, out], and its twin that does not."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from aligner.adapters.base import Adapter, OpenOptions, Session
from aligner.errors import InputError, listing
from aligner.operations.call import Call
from aligner.operations.operation import Operation, compute
from aligner.records.graph import Graph, InputSpec, Node, Signature, Value, Weight
from aligner.records.tensor import CapturedTensor

if TYPE_CHECKING:
    from aligner.adapters.base import Feeds, Injection

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Convolutions:
    """Two convolutions with a ReLU between them; kernels are given as [out, in, height, width]."""

    kernels: tuple[Array, Array]
    pads: tuple[tuple[int, int], ...] = ((1, 1), (1, 1))
    last: bool = False
    """Whether channels stand last, and kernels are kept [height, width, in, out]."""
    half: bool = False
    """Whether kernels pass through float16."""
    name: str = field(default="")


class ConvolutionAdapter(Adapter):
    """Opens ``Convolutions``; it says where its kernels have their axes, and nobody else has to know."""

    name: ClassVar[str] = "hwio"
    extra: ClassVar[str] = ""
    modules: ClassVar[tuple[str, ...]] = ("numpy",)
    reads: ClassVar[str] = "Convolutions"

    def claims(self, target: object) -> bool:
        """By type."""
        return isinstance(target, Convolutions)

    def open(self, target: object, options: OpenOptions) -> ConvolutionSession:
        """Nothing to load."""
        assert isinstance(target, Convolutions)
        return ConvolutionSession(target)

    def translate(self, call: Call) -> Operation:
        """The words of this framework: "Convolve" and "Ramp"."""
        if call.node.op == "Ramp":
            return Operation("relu", {}, (call.need(0),))
        kernel = call.need(1)
        kernel = kernel.transpose(3, 2, 0, 1) if call.channels == "last" else kernel
        settings = {"strides": (1, 1), "dilations": (1, 1), "groups": 1, "channels": call.channels}
        return Operation("conv", settings | {"pads": call.attributes["pads"]}, (call.need(0),), {"kernel": kernel})


class ConvolutionSession(Session):
    """Computes with float32 sums of its own: a kernel that is not the replay's."""

    framework: ClassVar[str] = "hwio"

    def __init__(self, model: Convolutions) -> None:
        self._model = model
        kernels = [k.astype(np.float16).astype(np.float32) if model.half else k for k in model.kernels]
        stored = [k.transpose(2, 3, 1, 0) if model.last else k for k in kernels]
        self._weights = {f"kernel{n}": k.copy() for n, k in enumerate(stored)}
        for array in self._weights.values():
            array.flags.writeable = False
        pads = MappingProxyType({"pads": model.pads, "strides": (1, 1)})
        self._nodes = (
            Node(0, "conv0", "Convolve", "conv", ("x", "kernel0"), ("a",), ("kernel0",), pads),
            Node(1, "ramp", "Ramp", "relu", ("a",), ("b",)),
            Node(2, "conv1", "Convolve", "conv", ("b", "kernel1"), ("y",), ("kernel1",), pads),
        )

    @property
    def runtime(self) -> str:
        """Name and version."""
        return f"numpy {np.__version__}"

    @property
    def signature(self) -> Signature:
        """One picture."""
        channels = self._model.kernels[0].shape[1]
        shape = (1, 9, 7, channels) if self._model.last else (1, channels, 9, 7)
        return Signature((InputSpec("x", shape, "float32"),), ("y",))

    def graph(self, feeds: Feeds | None) -> Graph:
        """Shapes follow from a run."""
        values = {"x": Value("x", "x", self.signature.inputs[0].shape, "float32")}
        values |= {name: Value(name, name) for node in self._nodes for name in node.outputs}
        weights = {n: Weight(n, a.shape, "float32", lambda a=a: a) for n, a in self._weights.items()}  # type: ignore[misc]
        channels: Any = "last" if self._model.last else "first"
        return Graph("hwio", self._nodes, MappingProxyType(values), MappingProxyType(weights), ("x",), ("y",), channels)

    def predict(self, feeds: Feeds) -> tuple[CapturedTensor, ...]:
        """The last of what a run yields."""
        return (list(self.run(feeds))[-1],)

    def run(
        self, feeds: Feeds, observe: Collection[str] | None = None, inject: Injection | None = None
    ) -> Iterator[CapturedTensor]:
        """Node after node."""
        if set(feeds) != {"x"}:
            raise InputError("the feeds do not fit", found=f"fed {listing(sorted(feeds))}", hint="feed x")
        known: dict[str, Array] = dict(self._weights)
        for name, array in [("x", np.asarray(feeds["x"])), *((node.outputs[0], None) for node in self._nodes)]:
            computed = self._computed(name, known) if array is None else array
            computed = computed.astype(np.float32)
            computed.flags.writeable = False
            known[name] = (inject or {}).get(name, computed)
            if observe is None or name in observe:
                yield CapturedTensor(name, computed, "float32")

    def _computed(self, name: str, known: Mapping[str, Array]) -> Array:
        node = next(node for node in self._nodes if name in node.outputs)
        operands = [known[value] for value in node.inputs]
        channels = "last" if self._model.last else "first"
        return compute(ConvolutionAdapter().translate(Call(node, operands, [False, True], channels)))
