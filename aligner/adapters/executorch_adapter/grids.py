"""The grids that integers lie on, as the instructions say that make them of real numbers, or these of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from aligner.adapters.executorch_adapter.operators import is_quantizing
from aligner.adapters.executorch_adapter.program import Program, Step
from aligner.records.array import Array
from aligner.records.graph import Quantization


def grids_of(program: Program, constant: Callable[[int], Array]) -> Mapping[int, Quantization]:
    """Value → its grid; ``constant`` gives the numbers of a stored tensor. A value of two grids has none."""
    found: dict[int, set[Quantization]] = {}
    for step in program.steps:
        if is_quantizing(step.op):
            grid = _grid(program, step, constant)
            place = step.arguments[0] if step.op.endswith("dequantize") else step.writes[0]
            if grid is not None:
                found.setdefault(place, set()).add(grid)
    return {place: next(iter(grids)) for place, grids in found.items() if len(grids) == 1}


def _grid(program: Program, step: Step, constant: Callable[[int], Array]) -> Quantization | None:
    """None where scales are computed as the program runs."""
    said = dict(zip(step.signature.names, step.arguments, strict=False))
    if "scales" in said:
        if said["scales"] not in program.weights:
            return None
        scales = constant(said["scales"])
        zeros = constant(said["zero_points"]) if said["zero_points"] in program.weights else scales * 0
        axis = int(program.values[said["axis"]].int_val)
        return Quantization(tuple(map(float, scales)), tuple(map(int, zeros)), axis)
    scale, zero = (program.values[said[name]] for name in ("scale", "zero_point"))
    if not (hasattr(scale, "double_val") and hasattr(zero, "int_val")):
        return None
    return Quantization((float(scale.double_val),), (int(zero.int_val),))
