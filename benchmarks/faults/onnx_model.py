"""An ONNX model under the knife: who makes a value, who reads it, and edits that keep the rest intact."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from benchmarks.faults.architectures import Feeds
from benchmarks.faults.forms import run_onnx

Node = Any
PASSING = frozenset({"Identity", "Cast", "QuantizeLinear", "DequantizeLinear"})
"""Operations whose output is the same tensor in other clothes."""
MOVING = frozenset({"Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Expand", "Dropout"})
"""Operations that move numbers about and compute nothing."""


class OnnxModel:
    """A loaded model with its look-ups; an edit that adds or removes nodes refreshes them."""

    def __init__(self, proto: Any, feeds: Feeds) -> None:
        self.proto, self.feeds = proto, feeds
        self._fresh = 0
        self.divided = False
        """A constant that several nodes read was replaced for one of them."""

    @classmethod
    def read(cls, path: Path, feeds: Feeds) -> OnnxModel:
        return cls(onnx.load(path), feeds)

    def copy(self) -> OnnxModel:
        proto = onnx.ModelProto()
        proto.CopyFrom(self.proto)
        return OnnxModel(proto, self.feeds)

    @property
    def nodes(self) -> list[Node]:
        return list(self.proto.graph.node)

    @property
    def outputs(self) -> list[str]:
        return [value.name for value in self.proto.graph.output]

    def producer(self, name: str) -> Node | None:
        return next((node for node in self.nodes if name in node.output), None) if name else None

    def consumers(self, name: str) -> list[Node]:
        return [node for node in self.nodes if name in node.input]

    def readers(self, name: str) -> list[Node]:
        """Where a value shows: its consumers, and theirs where a consumer only moves the numbers about."""
        found = []
        for node in self.consumers(name):
            found.append(node)
            if node.op_type in MOVING | PASSING:
                found += self.readers(node.output[0])
        return found

    def made_of(self, name: str) -> list[str]:
        """The values that the consumers of one compute."""
        return [output for node in self.consumers(name) for output in node.output if output]

    def sole_consumer(self, name: str) -> Node | None:
        found = self.consumers(name)
        return found[0] if len(found) == 1 and name not in self.outputs else None

    def pick(self, rng: np.random.Generator, wanted: Callable[[Node], Any]) -> Node | None:
        """One of the nodes that are wanted, at any depth."""
        found = [node for node in self.nodes if wanted(node)]
        return found[int(rng.integers(len(found)))] if found else None

    def constant(self, name: str) -> np.ndarray | None:
        """The array behind a name that does not depend on the inputs; None otherwise."""
        for initializer in self.proto.graph.initializer:
            if initializer.name == name:
                return np.array(numpy_helper.to_array(initializer))
        node = self.producer(name)
        if node is not None and node.op_type == "Constant":
            return np.array(numpy_helper.to_array(node.attribute[0].t)) if node.attribute[0].name == "value" else None
        if node is not None and node.op_type == "Identity":
            return self.constant(node.input[0])
        return None

    def set_input(self, node: Node, place: int, array: np.ndarray) -> None:
        """Give one input of one node a constant of its own."""
        self.divided |= len(self.consumers(node.input[place])) > 1
        name = self.fresh("edited")
        self.proto.graph.initializer.append(numpy_helper.from_array(np.array(array, order="C"), name))
        node.input[place] = name

    def set_constant(self, name: str, array: np.ndarray) -> None:
        """Overwrite an initializer for everybody who reads it."""
        for initializer in self.proto.graph.initializer:
            if initializer.name == name:
                initializer.CopyFrom(numpy_helper.from_array(np.array(array, order="C"), name))
                return
        for node in self.consumers(name):
            self.set_input(node, list(node.input).index(name), array)

    def fresh(self, stem: str) -> str:
        self._fresh += 1
        return f"{stem}_{self._fresh}_{len(self.proto.graph.node)}"

    def attribute(self, node: Node, name: str, default: Any = None) -> Any:
        for attribute in node.attribute:
            if attribute.name == name:
                value = onnx.helper.get_attribute_value(attribute)
                return value.decode() if isinstance(value, bytes) else value
        return default

    def set_attribute(self, node: Node, name: str, value: Any) -> None:
        kept = [attribute for attribute in node.attribute if attribute.name != name]
        del node.attribute[:]
        node.attribute.extend(kept)
        if value is not None:
            node.attribute.append(onnx.helper.make_attribute(name, value))

    def insert_before(self, node: Node, place: int, op: str, *more: np.ndarray, **attributes: Any) -> Node:
        """Put an operation between one input of a node and the node."""
        return self._insert(node, node.input[place], op, more, attributes, lambda name: self._point(node, place, name))

    def insert_after(self, name: str, op: str, *more: np.ndarray, **attributes: Any) -> Node:
        """Put an operation between a value and all who read it; a graph output keeps its name for the edited value."""
        after = self.producer(name)
        readers = self.consumers(name)
        anchor = readers[0] if readers else None
        if name in self.outputs:
            raw = self.fresh(name)
            for place, output in enumerate(after.output):
                if output == name:
                    after.output[place] = raw
            return self._insert(None, raw, op, more, attributes, lambda _: None, output=name)

        def point(new: str) -> None:
            for reader in readers:
                for place, each in enumerate(reader.input):
                    if each == name:
                        reader.input[place] = new

        return self._insert(anchor, name, op, more, attributes, point)

    def _insert(
        self,
        before: Node | None,
        source: str,
        op: str,
        more: Iterable[np.ndarray],
        attributes: dict[str, Any],
        point: Callable[[str], None],
        output: str = "",
    ) -> Node:
        names = []
        for array in more:
            names.append(self.fresh("constant"))
            self.proto.graph.initializer.append(numpy_helper.from_array(np.asarray(array), names[-1]))
        output = output or self.fresh(op.lower())
        made = onnx.helper.make_node(op, [source, *names], [output], name=self.fresh(f"inserted_{op}"), **attributes)
        place = self._index(before) if before is not None else len(self.proto.graph.node)
        point(output)
        self.proto.graph.node.insert(place, made)
        return self.proto.graph.node[place]

    def _index(self, node: Node) -> int:
        return next(i for i, other in enumerate(self.proto.graph.node) if other.output[:] == node.output[:])

    @staticmethod
    def _point(node: Node, place: int, name: str) -> None:
        node.input[place] = name

    def remove(self, node: Node, stand_in: str) -> None:
        """Take a node out; whoever read its output reads ``stand_in``."""
        output = node.output[0]
        for reader in self.consumers(output):
            for place, name in enumerate(reader.input):
                if name == output:
                    reader.input[place] = stand_in
        self.proto.graph.node.remove(node)

    @cached_property
    def tensors(self) -> dict[str, np.ndarray]:
        """Every value of one run of the model as it was when first asked."""
        promoted = self.copy().proto
        known = set(self.outputs)
        names = [output for node in self.nodes if not self._bfloat(node) for output in node.output if output]
        for name in names:
            if name not in known:
                promoted.graph.output.append(onnx.ValueInfoProto(name=name))
        everything = [*self.outputs, *(name for name in names if name not in known)]
        return dict(zip(everything, run_onnx(promoted, self.feeds, everything), strict=True)) | dict(self.feeds)

    def _bfloat(self, node: Node) -> bool:
        """numpy has no word for it."""
        return node.op_type == "Cast" and self.attribute(node, "to") == onnx.TensorProto.BFLOAT16

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a value or constant; () where it is not known."""
        if name in self.tensors:
            return tuple(self.tensors[name].shape)
        constant = self.constant(name)
        return () if constant is None else tuple(constant.shape)

    def computed(self, name: str) -> bool:
        """Whether a value depends on the inputs of the model."""
        return self.constant(name) is None and (name in self.feeds or name in self._dependent)

    @cached_property
    def _dependent(self) -> frozenset[str]:
        reached = set(self.feeds)
        for node in self.nodes:
            if node.op_type != "Shape" and any(name in reached for name in node.input):
                reached.update(node.output)
        return frozenset(reached)
