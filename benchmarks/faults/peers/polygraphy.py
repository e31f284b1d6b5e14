"""Polygraphy on the pairs it can take: two ONNX files whose values go by the same names."""

from __future__ import annotations

from typing import Any

from benchmarks.faults.baselines import MAX_ABS
from benchmarks.faults.built import Built
from benchmarks.faults.scoring import Blamed


def takes(built: Built) -> bool:
    """Whether both sides are ONNX files that are fed the same and share names beyond the model's outputs."""
    files = [side.file or "" for side in (built.reference, built.candidate)]
    if not all(file.endswith(".onnx") for file in files) or any("." in name for name in built.feeds):
        return False
    return bool(_inner_names(files[0]) & _inner_names(files[1]))


def differing(built: Built) -> list[Blamed]:
    """The values of equal name that it calls different, in the reference's order.

    Names alone pair: Polygraphy's own second guess, by part of a name or by place, would mix values up.
    """
    from polygraphy.comparator import Comparator, SimpleCompareFunc

    runners = [_runner(side.file) for side in (built.reference, built.candidate)]
    (_, (reference,)), (_, (candidate,)) = Comparator.run(runners, data_loader=[built.feeds])
    compare = SimpleCompareFunc(
        atol=MAX_ABS,
        rtol=0.0,
        check_error_stat="max",
        find_output_func=lambda name, _, found: [name] if name in found else [],
    )
    return [Blamed((name,)) for name, agrees in compare(reference, candidate).items() if not agrees]


def _runner(file: str | None) -> Any:
    from polygraphy import constants
    from polygraphy.backend.onnx import BytesFromOnnx, ModifyOutputs, OnnxFromPath
    from polygraphy.backend.onnxrt import OnnxrtRunner, SessionFromOnnx

    observed = ModifyOutputs(OnnxFromPath(file), outputs=constants.MARK_ALL)
    return OnnxrtRunner(SessionFromOnnx(BytesFromOnnx(observed)))


def _inner_names(file: str) -> set[str]:
    import onnx

    graph = onnx.load(file, load_external_data=False).graph
    return {name for node in graph.node for name in node.output if name} - {value.name for value in graph.output}
