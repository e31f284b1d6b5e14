"""One case of a seed: a network, a fault in it, and the form in which the candidate is compared."""

from __future__ import annotations

import copy
import random
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.causes.faults import FAULTS, Fault
from benchmarks.causes.network import Network, Place, around, given, size, trained

_NOT_BY_TRACE = frozenset({"nearest_rounding"})
"""Faults of operations that the older exporter refuses."""
FORMS = ("onnx", "script", "dynamo", "eager")


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """``reference`` is right, ``candidate`` is the faulty one as a file, or as it is."""

    fault: Fault
    seed: int
    form: str
    place: Place
    reference: nn.Module
    candidate: Any
    x: Tensor


def case(name: str, seed: int, folder: Path, form: str | None = None) -> Case:
    """The case of a fault and a seed; the form turns with the seed where none is asked for."""
    fault = FAULTS[name]
    draw = random.Random(f"{name}/{seed}")
    of = size(draw, square=fault.square)
    place = draw.choice(fault.places)
    x = given(fault.domain, of, place, draw)
    before, after = around(fault.domain, of, place, draw)
    torch.manual_seed(draw.randrange(1 << 30))
    good, bad = fault.plant(draw, of)
    form = form or FORMS[seed % len(FORMS)]
    form = "dynamo" if form == "onnx" and name in _NOT_BY_TRACE else form
    networks = [Network(before, good, after).eval(), Network(copy.deepcopy(before), bad, copy.deepcopy(after)).eval()]
    with torch.no_grad():
        networks[0](x)  # tells the layers behind the step what they read
        trained(networks[0], draw)
        networks[1](x)
        for part in ("before", "after"):
            getattr(networks[1], part).load_state_dict(getattr(networks[0], part).state_dict())
    return Case(fault, seed, form, place, networks[0], exported(networks[1], x, folder, form, fault.opset), x)


def exported(module: nn.Module, x: Tensor, folder: Path, form: str, opset: int | None = None) -> Any:
    """The candidate in the form that is asked for."""
    import contextlib
    import io
    import logging

    if form == "eager":
        return module
    path = folder / f"candidate.{'ts' if form == 'script' else 'onnx'}"
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            if form == "script":
                torch.jit.trace(module, x, check_trace=False).save(str(path))
            elif form == "onnx":
                torch.onnx.export(module, (x,), str(path), dynamo=False, opset_version=opset or 18, input_names=["x"])
            else:
                torch.onnx.export(module, (x,), str(path), dynamo=True, input_names=["x"])
        finally:
            logging.disable(logging.NOTSET)
    return path
