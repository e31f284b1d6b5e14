"""Operations written as new TFLite operators compute what the kernels do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.marks import requires_tflite
from tests.tflite_models import ModelBuilder

pytestmark = requires_tflite

_RNG = np.random.default_rng(8)


def _numbers(*shape: int) -> Any:
    return _RNG.standard_normal(shape).astype("f4")


_WINDOW = {"strides": (2, 2), "dilations": (1, 1), "channels": "first"}
_PLAIN = {"strides": (1, 1), "dilations": (1, 1), "pads": ((0, 0), (0, 0))}
_RESIZED = {"mode": "linear", "rounding": "floor", "shape": (1, 4, 9, 8), "channels": "first"}
_LAYER = {"form": "layer", "epsilon": 1e-3, "axis": 1, "axes": (1,)}
_BATCH = {name: np.abs(_numbers(4)) + 0.1 for name in ("scale", "shift", "mean", "variance")}

OPERATIONS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("relu", {}, {}),
    ("relu", {"fused_activation": "tanh"}, {}),
    ("sigmoid", {}, {}),
    ("silu", {}, {}),
    ("mish", {}, {}),
    ("softplus", {}, {}),
    ("gelu", {"approximate": "none"}, {}),
    ("gelu", {"approximate": "quick"}, {}),
    ("hardswish", {"alpha": 1 / 6, "beta": 0.5}, {}),
    ("hardsigmoid", {"alpha": 0.2, "beta": 0.5}, {}),
    ("clip", {"min": -0.5, "max": 0.25}, {}),
    ("leaky_relu", {"alpha": 0.2}, {}),
    ("elu", {"alpha": 1.0}, {}),
    ("prelu", {"axis": 1}, {"slope": _numbers(4)}),
    ("softmax", {"axis": 1, "beta": 2.0}, {}),
    ("log_softmax", {"axis": 3}, {}),
    ("reduce", {"form": "mean", "axes": (2, 3), "keep": False}, {}),
    ("transpose", {"perm": (0, 2, 3, 1)}, {}),
    ("reshape", {"shape": (1, 96), "before": (0, 2, 3, 1)}, {}),
    ("slice", {"places": ((2, 1, 2**63 - 1, 2), (-1, -3, -1, 1))}, {}),
    ("pad", {"pads": ((0, 0), (1, 0), (0, 2), (1, 1)), "value": 1.5}, {}),
    ("pad", {"pads": ((0, 0), (0, 0), (1, 1), (2, 2)), "mode": "reflect"}, {}),
    ("flip", {"axes": (1,)}, {}),
    ("split", {"axis": 1, "sizes": (1, 3), "drop": False}, {}),
    ("resize", {**_RESIZED, "coordinates": "half_pixel"}, {}),
    ("resize", {**_RESIZED, "coordinates": "align_corners"}, {}),
    ("resize", {**_RESIZED, "coordinates": "asymmetric", "mode": "nearest"}, {}),
    ("max_pool", {**_WINDOW, "kernel": (3, 3), "pads": ((1, 1), (1, 1))}, {}),
    ("avg_pool", {**_WINDOW, "kernel": (2, 2), "pads": ((1, 1), (0, 0)), "include_pad": True}, {}),
    ("conv", {**_WINDOW, "pads": ((1, 1), (2, 0))}, {"kernel": _numbers(5, 4, 3, 3), "bias": _numbers(5)}),
    ("conv", {**_PLAIN, "channels": "last", "groups": 4}, {"kernel": _numbers(8, 1, 3, 3)}),
    ("matmul", {}, {"kernel": _numbers(7, 4), "bias": _numbers(7)}),
    ("norm", _LAYER, {"scale": _numbers(4), "shift": _numbers(4)}),
    ("norm", {"form": "batch", "epsilon": 1e-3, "axis": 1}, _BATCH),
    ("norm", {"form": "instance", "epsilon": 1e-3, "axis": 1}, {}),
]


@pytest.mark.parametrize(("kind", "settings", "parameters"), OPERATIONS)
def test_operation_is_written(kind: str, settings: Any, parameters: Any, tmp_path: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter

    import aligner.operations.kernels  # noqa: F401 - registers what computes
    from aligner.adapters.rewriting import Recompute, Step
    from aligner.adapters.tflite_adapter.rewriting import rewrite
    from aligner.operations.operation import Operation, results

    builder, last = ModelBuilder(), settings.get("channels") == "last" or kind == "matmul"
    x = _numbers(1, 6, 4, 4) if last else _numbers(1, 4, 6, 4)
    operation = Operation(kind, settings, (x,), parameters)
    wanted = results(operation)
    builder.op("ABS", [builder.input("x", x.shape)], [builder.tensor("y", x.shape)])
    (tmp_path / "given.tflite").write_bytes(builder.build(1))
    names = tuple(f"part{place}" for place in range(len(wanted)))
    edit = Recompute({"y": names[-1]}, (Step(operation, ("x",), names, parameters),))
    (said,) = rewrite(tmp_path / "given.tflite", [[edit]], tmp_path / "made.tflite")
    assert said is not None and said[0] == "- ABS y" and said[1].startswith("+ ")
    made = Interpreter(str(tmp_path / "made.tflite"))
    made.allocate_tensors()
    made.set_tensor(made.get_input_details()[0]["index"], x)
    made.invoke()
    (told,) = made.get_output_details()
    assert told["name"] == "y"
    np.testing.assert_allclose(made.get_tensor(told["index"]), wanted[-1], atol=2e-5, rtol=1e-5)
