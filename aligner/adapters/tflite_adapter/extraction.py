"""A part of a TFLite model as a model of its own, with a script that runs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from aligner.adapters.rewriting import Extracted
from aligner.adapters.tflite_adapter.schema import Operator
from aligner.operations.operation import Unsupported
from aligner.records.array import Array

_FILE = "part.tflite"


def extract(path: Path, inputs: Mapping[str, Array], output: str, folder: Path) -> Extracted:
    """The operators between the inputs and one value; see ``Extracts``. What is not read stays in the file, unused."""
    from aligner.adapters.tflite_adapter.graph import name_tensors
    from aligner.adapters.tflite_adapter.instrument import as_it_was
    from aligner.adapters.tflite_adapter.patch import Cut, Patcher
    from aligner.adapters.tflite_adapter.schema import read_model

    model = as_it_was(read_model(path.read_bytes()))
    names = name_tensors(model.main)
    places = names.indices
    if output not in places or any(name not in places for name in inputs):
        raise Unsupported("a tensor outside the main subgraph")
    patcher = Patcher(model, names.computed)
    if not patcher.divisible:
        raise Unsupported("a model with state or control flow")
    fed = tuple(places[name] for name in inputs)
    operators = _between(model.main.operators, fed, places[output])
    made = patcher.cut(Cut(fed, (places[output],), operators))
    (folder / _FILE).write_bytes(made)
    return Extracted(_FILE, _SCRIPT.format(file=_FILE))


_SCRIPT = """from importlib.metadata import version

from ai_edge_litert.interpreter import Interpreter

part = Interpreter("{file}")
for each, array in zip(part.get_input_details(), inputs):
    part.resize_tensor_input(each["index"], array.shape)
part.allocate_tensors()
for each, array in zip(part.get_input_details(), inputs):
    part.set_tensor(each["index"], array)
part.invoke()
told = part.get_output_details()[0]
got = part.get_tensor(told["index"])
scale, zero = told["quantization"]
got = (got.astype(np.float64) - zero) * scale if scale else got
runtime = "ai-edge-litert " + version("ai-edge-litert")
"""


def _between(operators: Sequence[Operator], inputs: Sequence[int], output: int) -> tuple[int, ...]:
    wanted, found = {output}, list[int]()
    for operator in reversed(operators):
        if wanted & set(operator.outputs) - set(inputs):
            found.append(operator.index)
            wanted |= set(operator.inputs)
    return tuple(found[::-1])
