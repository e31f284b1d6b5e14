"""onnx-diagnostic's side by side run of an exported program and its ONNX file, paired by the exporter's names."""

from __future__ import annotations

from benchmarks.faults.baselines import MAX_ABS
from benchmarks.faults.built import Built
from benchmarks.faults.peers.torch_verifier import exported, probes
from benchmarks.faults.scoring import Blamed


def unaligned(built: Built) -> list[Blamed]:
    """The values of the file that it finds different, in its order.

    It is used as its documentation shows. Where names and shapes tell it which of the program's weights one in the file
    is, it runs the file with the program's: a fault in that weight is hidden, and a bias that the exporter folded a
    normalisation into is undone, which then differs on clean pairs.
    """
    import onnx
    import torch
    from onnx_diagnostic.reference import OnnxruntimeEvaluator
    from onnx_diagnostic.torch_onnx.sbs import run_aligned

    program = exported(built).exported_program
    model = onnx.load(built.candidate.file or "")
    with torch.no_grad():
        found = list(run_aligned(program, model, OnnxruntimeEvaluator, probes(built), use_tensor=True, exc=False))
    different = [record for record in found if record.err_abs is not None and not record.err_abs <= MAX_ABS]
    return [Blamed((record.onnx_name,)) for record in different if record.onnx_name]
