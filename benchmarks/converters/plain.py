"""How far the outputs of two models lie apart, each run by its own runtime and by nothing of the tool's."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray
Feeds = Mapping[str, Array]


def apart(reference: Any, candidate: Any, given: Feeds | None = None) -> float | None:
    """The largest difference of outputs by the reference's peak; inf where one has no answer of its size, None unknown.

    Outputs are told by their numbers: files name and order them as they like. Without ``given`` both are fed the same
    random numbers, in the layout that each declares.
    """
    try:
        shapes = _declared(reference) or _declared(candidate)
        fed = given or {name: _drawn(shape) for name, shape in shapes.items()}
        one, other = (_outputs(model, [*fed.values()]) for model in (reference, candidate))
    except Exception:  # noqa: BLE001 - a model with memory, or with inputs that the other lacks
        return None
    return max(_nearest(output, other) for output in one)


def _nearest(output: Array, others: Sequence[Array]) -> float:
    peak = max(float(np.abs(output).max(initial=0)), 1e-30)
    answers = [
        np.abs(output - turned).max(initial=0) / peak
        for each in others
        for axes in (range(each.ndim), (0, 2, 3, 1), (0, 3, 1, 2))
        if len(axes) == each.ndim and (turned := each.transpose(*axes)).shape == output.shape
    ]
    return float(min(answers, default=np.inf))


def _drawn(shape: Sequence[int]) -> Array:
    return np.random.default_rng(sum(shape)).random(shape, dtype=np.float32)


def _declared(model: Any) -> dict[str, tuple[int, ...]]:
    """The shapes of a file's inputs, open sizes as one; empty where it declares none."""
    kind = Path(model).suffix if isinstance(model, str) else ""
    if kind == ".onnx":
        rows = [(each.name, each.shape) for each in _session(model).get_inputs()]
    elif kind == ".tflite":
        rows = [(each["name"], each["shape"]) for each in _interpreter(model).get_input_details()]
    else:
        rows = []
    return {name: tuple(int(size) if str(size).isdigit() else 1 for size in shape) for name, shape in rows}


def _outputs(model: Any, arrays: Sequence[Array]) -> list[Array]:
    kind = Path(model).suffix if isinstance(model, str) else ""
    run = {".onnx": _by_onnxruntime, ".tflite": _by_litert}.get(kind, _by_torch)
    return [np.asarray(each, np.float64) for each in run(model, arrays)]


def _by_onnxruntime(path: str, arrays: Sequence[Array]) -> Sequence[Any]:
    session = _session(path)
    rows = session.get_inputs()
    fitted = _fitted(arrays, [each.shape for each in rows])
    outputs: Sequence[Any] = session.run(None, {row.name: each for row, each in zip(rows, fitted, strict=True)})
    return outputs


def _session(path: str) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _by_litert(path: str, arrays: Sequence[Array]) -> list[Array]:
    interpreter = _interpreter(path)
    rows = interpreter.get_input_details()
    for row, each in zip(rows, _fitted(arrays, [row["shape"] for row in rows]), strict=True):
        scale, zero = row["quantization"]
        whole = np.iinfo(row["dtype"]) if scale else None
        coded = np.clip(np.round(each / scale + zero), whole.min, whole.max) if whole else each
        interpreter.set_tensor(row["index"], coded.astype(row["dtype"]))
    interpreter.invoke()
    outputs = []
    for row in interpreter.get_output_details():
        scale, zero = row["quantization"]
        value = interpreter.get_tensor(row["index"]).astype(np.float64)
        outputs.append((value - zero) * scale if scale else value)
    return outputs


def _interpreter(path: str) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(path, num_threads=1)
    interpreter.allocate_tensors()
    return interpreter


def _by_torch(model: Any, arrays: Sequence[Array]) -> list[Array]:
    """A module, or a TorchScript file, which declares no shapes: pictures are channels first."""
    import torch

    module = torch.jit.load(model) if isinstance(model, str) else model
    fitted = [
        np.ascontiguousarray(each.transpose(0, 3, 1, 2)) if each.ndim == 4 and each.shape[3] == 3 else each
        for each in arrays
    ]
    with torch.no_grad():
        got = module(*(torch.from_numpy(each) for each in fitted))
    return [each.numpy() for each in (got if isinstance(got, (tuple, list)) else [got])]


def _fitted(arrays: Sequence[Array], shapes: Sequence[Sequence[Any]]) -> list[Array]:
    """The arrays in the order and layout of the shapes that take them."""
    for order in itertools.permutations(arrays):
        fitted = [_laid_out(array, shape) for array, shape in zip(order, shapes, strict=True)]
        if all(each is not None for each in fitted):
            return [each for each in fitted if each is not None]
    raise ValueError("inputs of other shapes")


def _laid_out(array: Array, shape: Sequence[Any]) -> Array | None:
    for axes in (range(array.ndim), (0, 2, 3, 1), (0, 3, 1, 2)):
        if len(axes) != array.ndim or len(shape) != array.ndim:
            continue
        turned = array.transpose(*axes)
        if all(not str(size).isdigit() or int(size) == real for size, real in zip(shape, turned.shape, strict=True)):
            return np.ascontiguousarray(turned)
    return None
