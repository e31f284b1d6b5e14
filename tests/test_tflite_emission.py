"""Operations written as new TFLite operators compute what the kernels do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.emitted_operations import EMITTED, taking
from tests.marks import requires_tflite
from tests.tflite_models import ModelBuilder

pytestmark = requires_tflite


@pytest.mark.parametrize(("kind", "settings", "parameters"), EMITTED)
def test_operation_is_written(kind: str, settings: Any, parameters: Any, tmp_path: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter

    import aligner.operations.kernels  # noqa: F401 - registers what computes
    from aligner.adapters.rewriting import Recompute, Step
    from aligner.adapters.tflite_adapter.rewriting import rewrite
    from aligner.operations.operation import Operation, results

    builder, x = ModelBuilder(), taking(kind, settings)
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
