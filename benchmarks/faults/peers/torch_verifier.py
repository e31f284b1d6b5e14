"""PyTorch's own verifier on the pairs it can take: a live program, and the file the dynamo exporter made of it."""

from __future__ import annotations

from typing import Any

from benchmarks.faults.architectures import ARCHITECTURES
from benchmarks.faults.baselines import MAX_ABS
from benchmarks.faults.built import Built
from benchmarks.faults.forms import EAGER
from benchmarks.faults.scoring import Blamed

NAME = "torch verify_onnx_program, max abs > 1e-5"


def takes(built: Built) -> bool:
    """Whether the pair is a live module and a dynamo export that is fed the same."""
    live = built.reference.form == EAGER and built.candidate.form == "dynamo"
    return live and all("." not in name for name in built.feeds)


def verified(built: Built) -> list[Blamed]:
    """The values it calls different, in its order."""
    import torch
    from torch.onnx.verification import verify_onnx_program

    program = exported(built)
    with torch.no_grad():
        found = verify_onnx_program(program, probes(built), compare_intermediates=True)
    return [Blamed((info.name,)) for info in found if not info.max_abs_diff <= MAX_ABS]


def exported(built: Built) -> Any:
    """The exporter's own program beside the candidate's file: it was not kept, so the module is exported again."""
    import onnx_ir
    import torch

    architecture = ARCHITECTURES[built.architecture]
    traced = tuple(torch.from_numpy(array) for array in architecture.feeds(built.case.seed).values())
    names = {"input_names": list(architecture.shapes), "output_names": list(architecture.outputs)}
    with torch.no_grad():
        program = torch.onnx.export(built.reference.open(), traced, dynamo=True, verbose=False, **names)
    assert program is not None
    program.model = onnx_ir.load(built.candidate.file or "")
    return program


def probes(built: Built) -> tuple[Any, ...]:
    """What both sides are fed, as tensors."""
    import torch

    return tuple(torch.from_numpy(array) for array in built.feeds.values())
