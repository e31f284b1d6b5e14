"""An OpenVINO model as the framework-neutral graph."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from aligner.adapters.openvino_adapter.attributes import attributes_of
from aligner.adapters.openvino_adapter.constants import weight_of
from aligner.adapters.openvino_adapter.grids import STORED
from aligner.adapters.openvino_adapter.kinds import kind_of
from aligner.adapters.openvino_adapter.program import Place, Program, input_name, tensor_names
from aligner.adapters.openvino_adapter.types import word_of
from aligner.records.graph import Graph, InputSpec, Node, Shape, Signature, Value

_MODULE = "__module."
_FUSED = "fused_names_0"


def signature_of(program: Program) -> Signature:
    """Inputs by their tensors' names."""
    inputs = []
    for number, _ in program.inputs:
        output = program.ops[number].output(0)
        inputs.append(InputSpec(input_name(program.ops[number]), shape_of(output), word_of(output.get_element_type())))
    return Signature(tuple(inputs), tuple(program.name_of(place) for place in program.outputs))


def shape_of(output: Any) -> Shape | None:
    """The shape as far as it is known; None where not even the rank is."""
    shape = output.get_partial_shape()
    if not shape.rank.is_static:
        return None
    return tuple(size.get_length() if size.is_static else None for size in shape)


def build_graph(program: Program, shapes: Mapping[Place, Shape | None]) -> Graph:
    """The graph; ``shapes`` replaces declared shapes by those for certain inputs."""
    values = {name: _value(program, name, shapes, place) for place, name in program.ids.items()}
    weights = {name: weight_of(name, program.ops[place[0]]) for place, name in program.weights.items()}
    return Graph(
        framework="openvino",
        nodes=tuple(_nodes(program)),
        values=MappingProxyType(values),
        weights=MappingProxyType(weights),
        inputs=tuple(program.name_of(place) for place in program.inputs),
        outputs=tuple(program.name_of(place) for place in program.outputs),
    )


def _value(program: Program, name: str, shapes: Mapping[Place, Shape | None], place: Place) -> Value:
    output = program.output(place)
    number, result = place
    real = number, max(result, 0)
    shape = shapes[real] if real in shapes else shape_of(output)
    friendly: str = output.get_node().get_friendly_name()
    if result == STORED:
        return Value(name, name, shape, program.word(place), quantization=program.grids[number])
    aliases = tensor_names(output, name)
    if output.get_node().get_type_name() == "Parameter" and friendly != name:
        aliases = (friendly, *aliases)
    own = name if name.startswith(f"{friendly}.") else friendly
    return Value(name, own, shape, word_of(output.get_element_type()), aliases=aliases)


def _nodes(program: Program) -> list[Node]:
    inputs = {number for number, _ in program.inputs}
    stored = {name: _size(program, place) for place, name in program.weights.items()}
    nodes: list[Node] = []
    for number, op in enumerate(program.ops):
        outputs = tuple(program.ids.get((number, k), "") for k in range(op.get_output_size()))
        if not any(outputs) or number in inputs:
            continue
        operands = tuple(
            "" if _stands_for_nothing(op, k) else program.name_of(place)
            for k, place in enumerate(program.reads[number])
        )
        weights = tuple(name for name in operands if name in stored)
        word, friendly = op.get_type_name(), op.get_friendly_name()
        sizes = list(map(stored.get, operands))
        kind = kind_of(word, sizes)
        if number in program.grids:
            held = program.ids[number, STORED]
            nodes.append(Node(len(nodes), friendly, word, "quantize", operands, (held,), weights, attributes_of(op)))
            operands, weights, kind = (held,), (), "dequantize"
        nodes.append(
            Node(
                len(nodes),
                friendly,
                word,
                kind,
                operands,
                outputs,
                tuple(dict.fromkeys(weights)),
                attributes_of(op),
                scope_of(friendly),
                fused=_fused(op),
            )
        )
    return nodes


def _fused(op: Any) -> tuple[str, ...]:
    """The layers that OpenVINO's transformations made this one of: what runtimes call originalLayersNames.

    Live models have them after transformations, files where they were written before those names were cleaned up.
    """
    said = op.get_rt_info()
    if _FUSED not in said:
        return ()
    return tuple(dict.fromkeys(name.strip() for name in said[_FUSED].astype(str).split(",")))


def _size(program: Program, place: Place) -> int:
    return math.prod(program.ops[place[0]].output(0).get_shape())


def _stands_for_nothing(op: Any, place: int) -> bool:
    """An attention's mask that is a single number: the place has to be filled where a scale follows."""
    if (op.get_type_name(), place) != ("ScaledDotProductAttention", 3):
        return False
    source = op.input_value(place)
    return bool(source.get_node().get_type_name() in {"Constant", "Convert"} and source.get_partial_shape().rank == 0)


def scope_of(friendly: str) -> str | None:
    """ "__module.layer1.0.conv1/aten::_convolution/Add" is how PyTorch's front end writes "layer1.0.conv1"."""
    if not friendly.startswith(_MODULE):
        return None
    return friendly.removeprefix(_MODULE).split("/", 1)[0] or None
