"""A part of an OpenVINO model as a model of its own, with a script that runs it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from aligner.adapters.openvino_adapter.cutting import cut_model
from aligner.adapters.openvino_adapter.engine import Engine
from aligner.adapters.openvino_adapter.grids import STORED
from aligner.adapters.openvino_adapter.library import openvino
from aligner.adapters.openvino_adapter.program import read_program
from aligner.adapters.rewriting import Extracted
from aligner.operations.operation import Unsupported
from aligner.records.array import Array
from aligner.records.graph import Quantization

_FILE = "part.xml"


def extract(model: Any, engine: Engine, inputs: Mapping[str, Array], output: str, folder: Path) -> Extracted:
    """The layers between the inputs and one value, with the constants that they read; see ``Extracts``."""
    program = read_program(model)
    if not {output, *inputs} <= set(program.places):
        raise Unsupported("a value inside a body")
    places = {name: program.places[name] for name in inputs}
    own = {name: program.inputs.index(place) for name, place in places.items() if place in program.inputs}
    given = {(number, max(k, 0)): inputs[name].shape for name, (number, k) in places.items() if name not in own}
    part = cut_model(model, [program.places[output]], given)
    parameters = list(part.get_parameters())
    added = iter(parameters[len(program.inputs) :])
    fed = {name: parameters[own[name]] if name in own else next(added) for name in inputs}
    for sink in part.get_sinks():
        part.remove_sink(sink)
    kept = {one.get_name() for one in fed.values()}
    for other in (one for one in parameters if one.get_name() not in kept):
        part.remove_parameter(other)
    for name, (number, k) in places.items():
        if k == STORED:
            fed[name] = _read_back(part, fed[name], program.grids[number])
    library = openvino()
    for name, array in inputs.items():
        fed[name].set_partial_shape(library.PartialShape(list(array.shape)))
    try:
        part.validate_nodes_and_infer_types()
        order = [part.get_parameter_index(fed[name]) for name in inputs]
        library.save_model(part, str(folder / _FILE), compress_to_fp16=False)
    except RuntimeError as error:  # an input of the whole model that is read beside the region's, too
        raise Unsupported(f"the part is no valid model: {error}") from error
    return Extracted(_FILE, _SCRIPT.format(file=_FILE, order=order, device=engine.device))


def _read_back(model: Any, real: Any, grid: Quantization) -> Any:
    """An input of the numbers as they are stored, in the place of one of real numbers."""
    build = openvino("opset8")
    shape = [1] * len(real.get_partial_shape())
    if grid.axis is not None:
        shape[grid.axis] = -1
    zero, scale = (np.asarray(each, np.float32).reshape(shape) for each in (grid.zero_point, grid.scale))
    stored = build.parameter(real.get_partial_shape(), np.uint8)
    wide = build.multiply(build.subtract(build.convert(stored, "f32"), zero), scale)
    for reader in real.output(0).get_target_inputs():
        reader.replace_source_output(wide.output(0))
    model.remove_parameter(real)
    model.add_parameters([stored])
    return stored


_SCRIPT = """import openvino

part = openvino.Core().compile_model("{file}", "{device}")
got = np.array(part(dict(zip({order!r}, inputs)))[0])
runtime = "openvino " + openvino.__version__.split("-")[0]
"""
