"""A part of an ONNX model as a model of its own, with a script that runs it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from aligner.adapters.onnx_adapter.branches import inline_taken_branches, is_branching
from aligner.adapters.onnx_adapter.names import defined_names, reads, subgraphs
from aligner.adapters.onnx_adapter.order import sort_nodes
from aligner.adapters.rewriting import Extracted
from aligner.operations.operation import Unsupported
from aligner.records.array import Array

_FILE = "part.onnx"


def extract(path: Path, inputs: Mapping[str, Array], output: str, folder: Path) -> Extracted:
    """The nodes between the inputs and one value, with the constants that they read; see ``Extracts``."""
    import onnx
    from onnx import checker, helper, inliner

    from aligner.adapters.onnx_adapter.file import read_onnx

    read_onnx(path)  # checks where external data may lie
    model = onnx.load(path)
    if model.functions:
        model = inliner.inline_local_functions(model)
    model = _opened(model, {output, *inputs})
    sort_nodes(model.graph)
    nodes = _between(model.graph, inputs, output)
    read = {name for node in nodes for name in reads(node)}
    # of two under one name the runtime takes the last
    held = {one.name: one for one in model.graph.initializer if one.name in read and one.name not in inputs}
    fed = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in inputs.items()
    ]
    graph = helper.make_graph(nodes, "part", fed, [onnx.ValueInfoProto(name=output)], [*held.values()])
    part = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    known = {one.name: one for one in onnx.shape_inference.infer_shapes(part).graph.output}
    if output in known and known[output].type.WhichOneof("value"):
        part.graph.output[0].CopyFrom(known[output])
    try:
        checker.check_model(part)
    except checker.ValidationError as error:
        raise Unsupported(f"the part is no valid model: {error}") from error
    onnx.save(part, folder / _FILE)
    return Extracted(_FILE, _SCRIPT.format(file=_FILE, names=list(inputs)))


_SCRIPT = """import onnxruntime

session = onnxruntime.InferenceSession("{file}", providers=["CPUExecutionProvider"])
got = session.run(None, dict(zip({names!r}, inputs)))[0]
runtime = "onnxruntime " + onnxruntime.__version__
"""


def _opened(model: Any, wanted: Collection[str]) -> Any:
    """The model with each If replaced by the branch in which values that are asked for stand."""

    def decide(model: Any, conditions: list[str]) -> dict[str, bool]:
        found: dict[str, bool] = {}
        for position, node in enumerate(model.graph.node):
            for branch, graph in subgraphs(node) if node.op_type == "If" and node.input[0] in conditions else ():
                owner = node.name or f"If_{position}"  # as names that clash are spelled when branches are moved
                if any(name in wanted or f"{owner}/{name}" in wanted for name in defined_names(graph)):
                    found[node.input[0]] = branch == "then_branch"
        return found

    return inline_taken_branches(model, decide).model if is_branching(model) else model


def _between(graph: Any, inputs: Collection[str], output: str) -> list[Any]:
    """Nodes that the value depends on, not looking behind the inputs; raises Unsupported where one is missing."""
    producers = {name: node for node in graph.node for name in node.output}
    constants = {one.name for one in graph.initializer} | {one.values.name for one in graph.sparse_initializer}
    wanted, found = [output], dict[int, Any]()
    while wanted:
        name = wanted.pop()
        if not name or name in inputs or name in constants:
            continue
        node = producers.get(name)
        if node is None:
            raise Unsupported(f"{name} is not computed in the main graph")
        if id(node) not in found:
            found[id(node)] = node
            wanted += reads(node)
    return [node for node in graph.node if id(node) in found]
