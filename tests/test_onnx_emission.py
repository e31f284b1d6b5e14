"""Operations written as new ONNX nodes compute what the kernels do, whichever nodes a version of the standard has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.emitted_operations import EMITTED, numbers, taking
from tests.marks import requires_onnx

pytestmark = requires_onnx

_LAST = {"epsilon": 1e-3, "axis": 3, "axes": (3,)}
_STRIDED = {"strides": (2, 1), "dilations": (1, 1), "channels": "first"}
_FUNCTIONS = "square exp sqrt abs neg reciprocal floor ceil round sin cos trunc log_sigmoid tanhshrink expm1 exp2 isnan"
_SINCE = {"celu": 12}
MORE: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    *((word, {}, {}) for word in _FUNCTIONS.split()),
    ("relu", {"fused_activation": "relu6"}, {}),
    ("gelu", {"approximate": "tanh"}, {}),
    ("softplus", {"beta": 2.0}, {}),
    ("selu", {"alpha": 1.5, "scale": 1.1}, {}),
    ("celu", {"alpha": 0.7}, {}),
    ("shrink", {"lambd": 0.5, "bias": 0.25}, {}),
    ("cast", {"to": "int32"}, {}),
    ("norm", {"form": "layer", **_LAST}, {"scale": numbers(4), "shift": numbers(4)}),
    ("norm", {"form": "rms", **_LAST}, {"scale": numbers(4)}),
    ("norm", {"form": "group", "epsilon": 1e-3, "axis": 1, "groups": 2}, {"scale": numbers(4), "shift": numbers(4)}),
    ("norm", {"form": "batch", "epsilon": 1e-3, "axis": 1, "training": True}, {"scale": numbers(4)}),
    *(("reduce", {"form": form, "axes": (1, 3), "keep": True}, {}) for form in ("sum", "max", "l2", "std", "range")),
    ("cumsum", {"axis": 2, "exclusive": True, "reverse": True}, {}),
    ("argmax", {"axis": 1, "largest": False, "keep": False}, {}),
    ("sort", {"axis": 2, "largest": True, "count": 3}, {}),
    ("roll", {"axes": (2, 3), "shifts": (1, -2)}, {}),
    ("tile", {"repeats": (1, 2, 1, 3)}, {}),
    ("expand", {"shape": (3, 4, 6, 4)}, {}),
    ("index", {"index": (0, slice(None), slice(1, 5, 2))}, {}),
    ("split", {"axis": 1, "sizes": (1, 1, 1, 1), "drop": True}, {}),
    ("depth_to_space", {"block": 2, "order": "CRD", "inverse": False, "channels": "first"}, {}),
    ("stack", {"axis": 1}, {}),
    ("conv", {**_STRIDED, "pads": ((1, 1), (2, -1)), "padding_mode": "reflect"}, {"kernel": numbers(5, 4, 3, 3)}),
    (
        "conv_transpose",
        {**_STRIDED, "pads": ((1, 0), (0, 1)), "output_padding": (1, 0)},
        {"kernel": numbers(4, 3, 3, 3), "bias": numbers(3)},
    ),
    ("adaptive_avg_pool", {"output_size": (1, 1), "channels": "first"}, {}),
    ("adaptive_max_pool", {"output_size": (3, 2), "channels": "last"}, {}),
    ("matmul", {"scale": 2.0}, {"kernel": numbers(7, 4), "bias": numbers(7)}),
]


@pytest.mark.parametrize("opset", [11, 13, 20])
@pytest.mark.parametrize(("kind", "settings", "parameters"), [*EMITTED, *MORE])
def test_operation_is_written(kind: str, settings: Any, parameters: Any, opset: int, tmp_path: Path) -> None:
    import onnx
    import onnxruntime as ort
    from onnx import TensorProto, helper

    import aligner.operations.kernels  # noqa: F401 - registers what computes
    from aligner.adapters.onnx_adapter.rewriting import rewrite
    from aligner.adapters.rewriting import Recompute, Step
    from aligner.operations.operation import Operation, results

    if opset < _SINCE.get(kind, 0):
        pytest.skip(f"the standard has no {kind} of this kind before version {_SINCE[kind]}")
    x = taking(kind, settings)
    operation = Operation(kind, settings, (x,), parameters)
    wanted = results(operation)
    names = tuple(f"part{place}" for place in range(len(wanted)))
    steps = [Step(operation, ("x",), names, parameters)]
    if wanted[-1].dtype.kind != "f":  # the model says that its output is float32
        steps.append(Step(Operation("cast", {"to": "float32"}, (wanted[-1],)), (names[-1],), ("last",), {}))
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Abs", ["x"], ["y"])], "one", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=7)
    onnx.save(model, tmp_path / "given.onnx")
    edit = Recompute({"y": steps[-1].results[-1]}, tuple(steps))
    (said,) = rewrite(tmp_path / "given.onnx", [[edit]], tmp_path / "made.onnx")
    assert said is not None
    (found,) = ort.InferenceSession(tmp_path / "made.onnx", providers=["CPUExecutionProvider"]).run(None, {"x": x})
    np.testing.assert_allclose(found, wanted[-1], atol=2e-5, rtol=1e-4)
