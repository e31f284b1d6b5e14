"""ncnn's layers as the framework-neutral graph; every blob is shown with the axis of samples that ncnn leaves out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from aligner.adapters.ncnn_adapter.kinds import WINDOWED, kind_of
from aligner.adapters.ncnn_adapter.param_file import DEFAULT, Layer
from aligner.adapters.ncnn_adapter.weights import Stored
from aligner.records.graph import Attribute, Graph, Node, Shape, Value

_FUSED = {1: "relu", 2: "leaky_relu", 3: "clip", 4: "sigmoid", 5: "mish", 6: "hardswish"}
"""What parameter 9 of a layer puts behind it."""


class Program:
    """The layers that compute; a Split, which only lets several read one blob, is that blob under further names."""

    def __init__(self, layers: Sequence[Layer], stored: Stored) -> None:
        self.alias: dict[str, str] = {}
        self.inputs: list[str] = []
        self.constants: dict[str, str] = {}
        self.layers: list[Layer] = []
        read: set[str] = set()
        for layer in layers:
            read.update(map(self.real, layer.reads))
            if layer.type == "Input":
                self.inputs += layer.writes
            elif layer.type == "Split":
                self.alias |= dict.fromkeys(layer.writes, self.real(layer.reads[0]))
            elif layer.type == "MemoryData" and stored.of_layer.get(layer.name):
                self.constants[layer.writes[0]] = stored.of_layer[layer.name][0]
            else:
                self.layers.append(layer)
        self.stored = stored
        blobs = [blob for layer in layers if layer.type != "Split" for blob in layer.writes]
        ends = [blob for blob in blobs if blob not in read]
        self.outputs = tuple(blob for blob in ends if blob not in self.constants)
        self.whole_inputs = {
            self.real(blob) for layer in self.layers if layer.type == "Embed" for blob in layer.reads
        } & set(self.inputs)

    def real(self, blob: str) -> str:
        """The blob that a name stands for."""
        return self.alias.get(blob, blob)

    @property
    def blobs(self) -> tuple[str, ...]:
        """All that runs show, in order."""
        return (*self.inputs, *(blob for layer in self.layers for blob in layer.writes))

    def dtype(self, blob: str) -> str:
        """Indices are fed as whole numbers; everything else is computed in float32."""
        return "int32" if blob in self.whole_inputs else "float32"

    def graph(self, shapes: Mapping[str, Shape]) -> Graph:
        """The dataflow; shapes are those that a run has shown."""
        names: dict[str, list[str]] = {}
        for alias, blob in self.alias.items():
            names.setdefault(blob, []).append(alias)
        values = {
            blob: Value(blob, blob, shapes.get(blob), self.dtype(blob), aliases=tuple(names.get(blob, ())))
            for blob in self.blobs
        }
        return Graph(
            framework="ncnn",
            nodes=tuple(self._node(number, layer) for number, layer in enumerate(self.layers)),
            values=MappingProxyType(values),
            weights=MappingProxyType(dict(self.stored.weights)),
            inputs=tuple(self.inputs),
            outputs=self.outputs,
        )

    def _node(self, number: int, layer: Layer) -> Node:
        reads = tuple(self.constants.get(self.real(blob), self.real(blob)) for blob in layer.reads)
        own = self.stored.of_layer.get(layer.name, ())
        weights = (*(name for name in reads if name in self.stored.weights), *own)
        return Node(
            number,
            layer.name,
            layer.type,
            kind_of(layer),
            (*reads, *own),
            layer.writes,
            tuple(dict.fromkeys(weights)),
            MappingProxyType(attributes_of(layer)),
        )


def attributes_of(layer: Layer) -> dict[str, Attribute]:
    """Neutral names where a setting has one; every parameter under its number as well ("p0")."""
    found: dict[str, Attribute] = {f"p{number}": value for number, value in layer.said.items()}
    if layer.type in WINDOWED:
        found |= _window(layer)
    if layer.whole(9) in _FUSED and (layer.type in WINDOWED or layer.type == "InnerProduct"):
        found["fused_activation"] = _FUSED[layer.whole(9)]
        found["activation_params"] = layer.several(10)
    return found


def _window(layer: Layer) -> dict[str, Attribute]:
    rank = 1 if layer.type.endswith("1D") else 3 if layer.type.endswith("3D") else 2
    numbers = {"kernel": (21, 11, 1), "dilations": (22, 12, 2), "strides": (23, 13, 3)}
    found: dict[str, Attribute] = {}
    for name, places in numbers.items():
        last = layer.whole(places[2], 0 if name == "kernel" else 1)
        found[name] = tuple(layer.whole(place, last) for place in places[3 - rank :])
    left = layer.whole(4)
    if left in (DEFAULT, DEFAULT - 1):
        found["auto_pad"] = "same_upper" if left == DEFAULT else "same_lower"
    else:
        top, front = layer.whole(14, left), layer.whole(24, left)
        pads = ((front, layer.whole(17, front)), (top, layer.whole(16, top)), (left, layer.whole(15, left)))
        found["pads"] = pads[3 - rank :]
    found["groups"] = layer.whole(7, 1) if "DepthWise" in layer.type else 1
    if "Deconvolution" in layer.type:
        right = layer.whole(18)
        found["output_padding"] = (layer.whole(20), layer.whole(19, right), right)[3 - rank :]
    return found
