"""A copy of a model that shows what it computes inside, and whose layers read what they are given instead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aligner.adapters.openvino_adapter.library import openvino
from aligner.adapters.openvino_adapter.program import Place
from aligner.adapters.openvino_adapter.types import holder_of, word_of
from aligner.errors import ModelError
from aligner.records.graph import Shape


def cut_model(model: Any, shown: Sequence[Place], given: Mapping[Place, tuple[int, ...]]) -> Any:
    """Results for what is shown; inputs of these shapes, behind the model's own, where something is given.

    What is given is still computed where it is shown as well. Outputs that are not shown are not computed.
    """
    copy, ops = _copied(model)
    build = openvino("opset8")
    results = list(copy.get_results())
    added = []
    for number, result in given:
        output = ops[number].output(result)
        readers = output.get_target_inputs()
        parameter, source = _input_like(build, output, given[number, result])
        if ops[number].get_type_name() == "FakeQuantize":  # stays: without it the plugin computes in other types
            limits = (ops[number].input_value(place) for place in range(1, 5))
            source = build.fake_quantize(source, *limits, ops[number].get_attributes()["levels"]).output(0)
        added.append(parameter)
        for reader in readers:
            reader.replace_source_output(source)
    for one in results:
        copy.remove_result(one)
    copy.add_parameters(added)
    copy.add_results([build.result(ops[number].output(max(result, 0))) for number, result in shown])
    copy.validate_nodes_and_infer_types()
    return copy


def _copied(model: Any) -> tuple[Any, list[Any]]:
    """A copy and its layers, which stand in the order of the model's."""
    copy = model.clone()
    ops = list(copy.get_ordered_ops())
    kinds = [[(op.get_type_name(), op.get_friendly_name()) for op in each] for each in (model.get_ordered_ops(), ops)]
    if kinds[0] != kinds[1]:
        raise ModelError(
            "OpenVINO orders the layers of a copy of the model otherwise",
            found=f"{len(kinds[0])} layers, {len(kinds[1])} in the copy",
            hint="report this message with the model",
        )
    return copy, ops


def _input_like(build: Any, output: Any, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """An input that stands for a layer's result, and what its readers read."""
    element = output.get_element_type()
    holder = holder_of(word_of(element))
    assert holder is not None
    plain = word_of(element) == holder.name
    parameter = build.parameter(list(shape), element if plain else holder.type)
    return parameter, (parameter if plain else build.convert(parameter, element.get_type_name())).output(0)


def shapes_for(model: Any, shapes: Sequence[tuple[int, ...]]) -> dict[Place, Shape | None]:
    """What every layer computes of inputs of these shapes, as far as shapes alone tell."""
    from aligner.adapters.openvino_adapter.graph import shape_of

    copy, ops = _copied(model)
    library = openvino()
    copy.reshape({port: library.PartialShape(list(shape)) for port, shape in zip(copy.inputs, shapes, strict=True)})
    return {(number, k): shape_of(op.output(k)) for number, op in enumerate(ops) for k in range(op.get_output_size())}
