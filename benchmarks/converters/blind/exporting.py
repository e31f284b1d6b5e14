"""The forms that a PyTorch module is handed on in."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

Inputs = tuple[Tensor, ...]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """What exporters and optimisers print is not ours."""
    former = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(former)


def named(inputs: Inputs) -> list[str]:
    return [f"input_{place}" for place in range(len(inputs))]


def by_trace(net: nn.Module, inputs: Inputs, path: Path, rng: np.random.Generator) -> Path:
    """ONNX by the exporter on TorchScript."""
    path = path.with_suffix(".onnx")
    names = named(inputs)
    dynamic = {name: {0: "batch"} for name in names} if rng.random() < 0.3 else None
    torch.onnx.export(
        net,
        inputs,
        str(path),
        dynamo=False,
        opset_version=int(rng.integers(13, 19)),
        do_constant_folding=bool(rng.random() < 0.7),
        keep_initializers_as_inputs=bool(rng.random() < 0.2),
        input_names=names,
        dynamic_axes=dynamic,
    )
    return path


def by_dynamo(net: nn.Module, inputs: Inputs, path: Path, rng: np.random.Generator) -> Path:
    """ONNX by the exporter on torch.export."""
    path = path.with_suffix(".onnx")
    torch.onnx.export(
        net,
        inputs,
        str(path),
        dynamo=True,
        opset_version=int(rng.integers(18, 24)),
        optimize=bool(rng.random() < 0.7),
        external_data=bool(rng.random() < 0.3),
        input_names=named(inputs),
        verbose=False,
    )
    return path


def traced(net: nn.Module, inputs: Inputs, path: Path, rng: np.random.Generator) -> Path:  # noqa: ARG001
    return _saved(torch.jit.trace(net, inputs, check_trace=False), path)


def scripted(net: nn.Module, inputs: Inputs, path: Path, rng: np.random.Generator) -> Path:  # noqa: ARG001
    return _saved(torch.jit.script(net), path)


def frozen(net: nn.Module, inputs: Inputs, path: Path, rng: np.random.Generator) -> Path:
    made = torch.jit.script(net) if rng.random() < 0.3 else torch.jit.trace(net, inputs, check_trace=False)
    return _saved(torch.jit.freeze(made.eval()), path)


def optimised(net: nn.Module, inputs: Inputs, path: Path, rng: np.random.Generator) -> nn.Module:  # noqa: ARG001
    """In memory: PyTorch cannot load what it saves of it."""
    made: nn.Module = torch.jit.optimize_for_inference(torch.jit.trace(net, inputs, check_trace=False))
    return made


def fused(net: nn.Module, inputs: Inputs, path: Path, rng: np.random.Generator) -> nn.Module:  # noqa: ARG001
    """Convolutions with their normalisations folded in, by torch.fx."""
    from torch.fx.experimental.optimization import fuse

    return fuse(copy.deepcopy(net))


def program(net: nn.Module, inputs: Inputs, path: Path, rng: np.random.Generator) -> Path:
    """torch.export, decomposed to the core operations or as it is."""
    made = torch.export.export(net, inputs, strict=False)
    if rng.random() < 0.6:
        made = made.run_decompositions()
    path = path.with_suffix(".pt2")
    torch.export.save(made, path)
    return path


def channels_last(net: nn.Module, inputs: Inputs, path: Path, rng: np.random.Generator) -> nn.Module:  # noqa: ARG001
    return copy.deepcopy(net).to(memory_format=torch.channels_last)


def live(net: nn.Module, inputs: Inputs, path: Path, rng: np.random.Generator) -> nn.Module:  # noqa: ARG001
    return net


def _saved(made: Any, path: Path) -> Path:
    path = path.with_suffix(".pt")
    torch.jit.save(made, path)
    return path


Form = Callable[[nn.Module, Inputs, Path, np.random.Generator], "Path | nn.Module"]
REFERENCES: Mapping[str, Form] = {
    "live": live,
    "traced": traced,
    "scripted": scripted,
    "program": program,
    "by_trace": by_trace,
    "by_dynamo": by_dynamo,
}
SOURCES: Mapping[str, Form] = {"by_trace": by_trace, "by_dynamo": by_dynamo}
TORCH: Mapping[str, Form] = {
    "frozen": frozen,
    "optimised": optimised,
    "fused": fused,
    "program": program,
    "channels_last": channels_last,
    "scripted": scripted,
}
