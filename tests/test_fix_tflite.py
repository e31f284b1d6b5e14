"""A TFLite candidate put right: constants, options, operators, and nodes that it lacks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.marks import requires_tflite
from tests.tflite_models import ModelBuilder

pytestmark = requires_tflite

X = np.random.default_rng(4).standard_normal((1, 8, 8, 3)).astype("f4")


def network(**changed: Any) -> bytes:
    """Convolution, leaky slope, a join, pooling, a mean, a dense layer, a softmax; ``changed`` is the fault."""
    rng, builder = np.random.default_rng(9), ModelBuilder()
    schema = builder.schema

    def given(name: str, plain: Any) -> Any:
        return changed.get(name, plain)

    kernel = builder.constant("kernel", (rng.standard_normal((4, 3, 3, 3)) / 5).astype("f4"))
    bias = builder.constant("bias", given("bias", rng.standard_normal(4).astype("f4")))
    x = builder.input("x", X.shape)
    conv = schema.Conv2DOptionsT(
        padding=given("padding", 0), strideW=1, strideH=1, dilationWFactor=1, dilationHFactor=1
    )
    conv.fusedActivationFunction = given("fused", 0)
    size = 8 if given("padding", 0) == 0 else 6
    a = builder.op("CONV_2D", [x, kernel, bias], [builder.tensor("conv", (1, size, size, 4))], conv)
    slope = schema.LeakyReluOptionsT(alpha=given("alpha", 0.2))
    b = (
        a
        if changed.get("bare")
        else builder.op("LEAKY_RELU", [a], [builder.tensor("leaky", (1, size, size, 4))], slope)
    )
    pool = schema.Pool2DOptionsT(padding=1, strideW=2, strideH=2, filterWidth=2, filterHeight=2)
    both = schema.ConcatenationOptionsT(axis=3)
    joined = [(a, b)[place] for place in given("order", (0, 1))]
    j = builder.op("CONCATENATION", joined, [builder.tensor("joined", (1, size, size, 8))], both)
    c = builder.op(given("pool", "MAX_POOL_2D"), [j], [builder.tensor("pool", (1, size // 2, size // 2, 8))], pool)
    scale = builder.constant("scale", np.asarray(given("scale", 1.5), "f4"))
    d = builder.op("MUL", [c, scale], [builder.tensor("scaled", (1, size // 2, size // 2, 8))], schema.MulOptionsT())
    axes = builder.constant("axes", np.array(given("axes", [1, 2]), np.int32))
    reduce = schema.ReducerOptionsT(keepDims=False)
    e = builder.op("MEAN", [d, axes], [builder.tensor("mean", (1, 8))], reduce)
    weight = builder.constant("weight", (rng.standard_normal((5, 8)) / 2).astype("f4"))
    none = builder.constant("none", np.zeros(5, "f4"))
    dense = schema.FullyConnectedOptionsT(keepNumDims=False, fusedActivationFunction=given("dense", 0))
    f = builder.op("FULLY_CONNECTED", [e, weight, none], [builder.tensor("dense", (1, 5))], dense)
    soft = schema.SoftmaxOptionsT(beta=given("beta", 1.0))
    g = builder.op("SOFTMAX", [f], [builder.tensor("soft", (1, 5))], soft)
    return builder.build(*given("outputs", (g, d)))


FAULTS: dict[str, dict[str, Any]] = {
    "bias": {"bias": np.zeros(4, "f4")},
    "alpha": {"alpha": 0.01},
    "activation extra": {"fused": 1},
    "pooling": {"pool": "AVERAGE_POOL_2D"},
    "scale": {"scale": 3.0},
    "dense": {"dense": 3},
    "beta": {"beta": 2.0},
    "padding": {"padding": 1},
    "order": {"order": (1, 0)},
    "activation missing": {"bare": True},
}


def _outputs(path: Path) -> list[Any]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], X)
    interpreter.invoke()
    return [interpreter.get_tensor(each["index"]) for each in interpreter.get_output_details()]


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def made(name: str, **changed: Any) -> Path:
        (tmp_path / name).write_bytes(network(**changed))
        return tmp_path / name

    return made


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_undone(fault: str, tmp_path: Path, write: Callable[..., Path]) -> None:
    from aligner.api.fixing import fix

    right, wrong = write("right.tflite"), write("wrong.tflite", **FAULTS[fault])
    before = wrong.read_bytes()
    found = fix(right, wrong, {"x": X}, output=tmp_path / "fixed.tflite")
    assert (found.before, found.after) == ("diverged", "aligned"), found
    for one, other in zip(_outputs(right), _outputs(tmp_path / "fixed.tflite"), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    assert wrong.read_bytes() == before and all(patch.lines for patch in found.patches)


def test_several_at_once(tmp_path: Path, write: Callable[..., Path]) -> None:
    from aligner.api.fixing import fix

    wrong = write("wrong.tflite", alpha=0.01, scale=3.0, bias=np.zeros(4, "f4"))
    found = fix(write("right.tflite"), wrong, {"x": X}, output=tmp_path / "fixed.tflite")
    assert found.after == "aligned" and len(found.patches) >= 3


@pytest.mark.parametrize("fault", ["alpha", "padding"])
def test_fault_is_cut_out(fault: str, tmp_path: Path, write: Callable[..., Path]) -> None:
    from aligner.api.reproducing import reproduce

    found = reproduce(
        write("right.tflite"), write("wrong.tflite", **FAULTS[fault]), {"x": X}, output=tmp_path / "repro"
    )
    assert len(found.operations) <= 2 and "part.tflite" in found.files
    if fault == "alpha":
        assert np.load(tmp_path / "repro" / "expected.npy").size < 8 * 8 * 4


def _two_layers(step: float | None, *, rolled: bool = False) -> bytes:
    """Two convolutions in float32, or in eight bits with this step between them; ``rolled``: a weight's steps are."""
    rng, builder = np.random.default_rng(5), ModelBuilder()
    schema, shape = builder.schema, (1, 8, 8, 4)
    source, scale = builder.input("x", X.shape), 4 / 127
    if step is not None:
        stored = builder.tensor("q", X.shape, "int8", quantized=(scale, 0, 0))
        source = builder.op("QUANTIZE", [source], [stored], schema.QuantizeOptionsT())
    for number, (channels, out) in enumerate(((3, step), (4, 6 / 127))):
        sizes = np.array([0.05, 0.1, 0.2, 0.3])[:, None, None, None]
        kernel, bias = rng.standard_normal((4, 3, 3, channels)) * sizes, rng.standard_normal(4)
        if step is None:
            k, b = (builder.constant(f"{name}{number}", one.astype("f4")) for name, one in (("k", kernel), ("b", bias)))
            made = builder.tensor(f"c{number}", shape)
        else:
            steps = np.abs(kernel).reshape(4, -1).max(1) / 127
            whole = np.rint(kernel / steps[:, None, None, None]).astype(np.int8)
            told = np.roll(steps, 1) if rolled and not number else steps
            k = builder.constant(f"k{number}", whole, quantized=(told, np.zeros(4, np.int64), 0))
            # stored in steps of the range that the tensor before should have had
            steps = steps * (scale if not number else 5 / 127)
            whole = np.rint(bias / steps).astype(np.int32)
            b = builder.constant(f"b{number}", whole, quantized=(steps, np.zeros(4, np.int64), 0))
            made = builder.tensor(f"c{number}", shape, "int8", quantized=(out, 0, 0))
        options = schema.Conv2DOptionsT(padding=0, strideW=1, strideH=1, dilationWFactor=1, dilationHFactor=1)
        source = builder.op("CONV_2D", [source, k, b], [made], options)
    if step is not None:
        source = builder.op("DEQUANTIZE", [source], [builder.tensor("y", shape)], schema.DequantizeOptionsT())
    return builder.build(source)


@pytest.mark.parametrize(("step", "rolled"), [(1 / 127, False), (5 / 127, True)], ids=["range", "weight's steps"])
def test_steps_are_put_right(step: float, rolled: bool, tmp_path: Path) -> None:
    from aligner.api.fixing import fix

    right, wrong = tmp_path / "right.tflite", tmp_path / "wrong.tflite"
    right.write_bytes(_two_layers(None))
    wrong.write_bytes(_two_layers(step, rolled=rolled))
    found = fix(right, wrong, {"x": X}, output=tmp_path / "fixed.tflite")
    assert (found.before, found.after) == ("diverged", "aligned"), found
    errors = [
        np.abs(a - b).max()
        for a, b in ((_outputs(right)[0], _outputs(path)[0]) for path in (wrong, tmp_path / "fixed.tflite"))
    ]
    assert errors[1] < errors[0] / 8
