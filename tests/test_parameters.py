"""What a stored weight is: one canonical form, one fold, one factor for each output, one fingerprint read once."""

from __future__ import annotations

import gc
from dataclasses import replace

import numpy as np
import pytest

from aligner.adapters import registry
from aligner.alignment.weight_audit import audit
from aligner.operations.operation import Operation
from aligner.operations.settings import LayerNorm
from aligner.parameters import known
from aligner.parameters.canonical import canonical, stored_axis
from aligner.parameters.fingerprint import fingerprint, fingerprint_of
from aligner.parameters.folding import as_affine, output_axis, output_factors, scaled
from aligner.parameters.remembered import Remembered
from aligner.records.graph import Graph, Node, Value, Weight

RNG = np.random.default_rng(5)
WINDOW = {"strides": (1, 1), "dilations": (1, 1), "pads": ((0, 0), (0, 0)), "channels": "last"}
SETTINGS = {"conv": WINDOW, "conv_transpose": WINDOW | {"output_padding": (0, 0)}}


def weight(name, array, reads=None):
    def load():
        if reads is not None:
            reads.append(name)
        return array

    return Weight(name, array.shape, str(array.dtype), load)


def graph(kernel, op="Conv", kind="conv", channels="first", **attributes):
    shape = (1, 4, 8, 8) if channels == "first" else (1, 8, 8, 4)
    node = Node(0, "layer", op, kind, ("x", "k"), ("y",), ("k",), attributes)
    values = {"x": Value("x", "x", shape), "y": Value("y", "y", None)}
    framework = "onnx" if channels == "first" else "tflite"
    return Graph(framework, (node,), values, {"k": weight("k", kernel)}, ("x",), ("y",), channels)


def shape_of(model):
    return lambda name: model.values[name].shape if name in model.values else None


def test_two_layouts_have_one_canonical_form():
    kernel = RNG.normal(size=(6, 4, 3, 3)).astype(np.float32)
    plain, last = graph(kernel), graph(kernel.transpose(0, 2, 3, 1), "CONV_2D", channels="last")
    forms = [canonical(model, model.nodes[0], shape_of(model)) for model in (plain, last)]
    assert np.array_equal(forms[0].parameters["kernel"], forms[1].parameters["kernel"])
    assert stored_axis(kernel.transpose(3, 2, 1, 0), kernel, 0) == 3
    assert stored_axis(kernel.transpose(1, 2, 3, 0)[:, :, :, ::-1], kernel, 0) is None


def test_parameters_that_nodes_compute_are_read_too():
    matrix = RNG.normal(size=(5, 3)).astype(np.float32)
    nodes = (
        Node(0, "turn", "Transpose", "transpose", ("w",), ("wt",), ("w",), {"perm": (1, 0)}),
        Node(1, "product", "MatMul", "matmul", ("x", "wt"), ("y",)),
    )
    values = {name: Value(name, name, shape) for name, shape in (("x", (2, 3)), ("wt", (3, 5)), ("y", (2, 5)))}
    model = Graph("onnx", nodes, values, {"w": weight("w", matrix)}, ("x",), ("y",))
    assert np.array_equal(canonical(model, nodes[1], shape_of(model)).parameters["kernel"], matrix)


class LastAdapter:
    """A framework that keeps its kernels [height, width, in, out]."""

    name = "hwio"

    @staticmethod
    def translate(call):
        """Convolutions and normalisations by stored statistics."""
        if call.node.kind == "norm":
            names = ("scale", "shift", "mean", "variance")
            vectors = {name: call.need(place) for place, name in enumerate(names, 1)}
            return Operation("norm", {"form": "batch", "epsilon": 1e-5, "axis": 3}, (call.need(0),), vectors)
        return Operation("conv", SETTINGS["conv"], (call.need(0),), {"kernel": call.need(1).transpose(3, 2, 0, 1)})


@pytest.mark.parametrize("layout", [(0, 1, 2, 3), (2, 3, 1, 0)], ids=["first", "last"])
def test_a_fold_is_found_whatever_the_layout(monkeypatch, layout):
    """Kernels of 3 × 3 × 3 × 3, which say nothing of what lies along which axis."""
    known = registry.adapters()
    monkeypatch.setattr(registry, "adapters", lambda: (*known, LastAdapter()))
    kernel, vectors = RNG.normal(size=(3, 3, 3, 3)), [RNG.uniform(0.5, 2, 3) for _ in range(4)]
    scale = vectors[0] / np.sqrt(vectors[3] + 1e-5)
    plain = layout == (0, 1, 2, 3)
    names = ("k", "gamma", "beta", "mean", "variance")
    nodes = (
        Node(0, "conv", "Conv", "conv", ("x", "k"), ("h",), ("k",)),
        Node(1, "norm", "BatchNormalization", "norm", ("h", *names[1:]), ("y",), names[1:], {"epsilon": 1e-5}),
    )
    values = {name: Value(name, name, (1, 3, 3, 3)) for name in ("x", "h", "y")}
    weights = {
        name: weight(name, array) for name, array in zip(names, (kernel.transpose(layout), *vectors), strict=True)
    }
    framework, channels = ("onnx", "first") if plain else ("hwio", "last")
    whole = Graph(framework, nodes, values, weights, ("x",), ("y",), channels)
    folded = [kernel * scale[:, None, None, None], vectors[1] - vectors[2] * scale]
    node = Node(0, "both", "Conv", "conv", ("x", "k", "b"), ("y",), ("k", "b"))
    stored = {name: weight(name, array) for name, array in zip("kb", folded, strict=True)}
    one = Graph("onnx", (node,), {name: values[name] for name in "xy"}, stored, ("x",), ("y",))
    matches = audit(whole, one)
    assert {match.status for match in matches} == {"matched"} and len(matches) == 5
    assert all("BN-folded" in match.transforms for match in matches)


def test_what_is_not_understood_is_none():
    model = graph(RNG.normal(size=(6, 4, 3, 3)).astype(np.float32), "ConvInteger")
    assert canonical(model, model.nodes[0], shape_of(model)) is None


def test_a_normalisation_is_a_factor_and_a_summand():
    scale, shift, mean, variance = (RNG.uniform(0.5, 2, 3) for _ in range(4))
    norm = Operation(
        "norm",
        {"form": "batch", "epsilon": 1e-3, "axis": 1},
        (),
        {"scale": scale, "shift": shift, "mean": mean, "variance": variance},
    )
    x = RNG.normal(size=(10, 3))
    factor, summand = as_affine(norm)
    assert np.allclose(x * factor + summand, (x - mean) / np.sqrt(variance + 1e-3) * scale + shift)
    assert as_affine(norm.with_settings(training=True)) is None
    assert as_affine(replace(norm, settings=LayerNorm(epsilon=1e-3, axis=1, axes=(1,)))) is None
    assert as_affine(Operation("norm", norm.settings, (), {"scale": scale})) is None
    bare = Operation("norm", norm.settings, (), {"mean": mean, "variance": variance})
    assert np.allclose(as_affine(bare)[0], 1 / np.sqrt(variance + 1e-3))


def test_the_factor_for_each_output_is_found_or_denied():
    kernel, factors = RNG.normal(size=(4, 3, 2, 2)), RNG.uniform(0.5, 2, 4)
    assert np.allclose(output_factors(kernel, scaled(kernel, factors, 0), 0), factors)
    assert output_factors(kernel, kernel[::-1], 0) is None
    assert output_factors(kernel[:, :1, :1, :1], kernel[:, :1, :1, :1] * 2, 0) is None
    assert output_factors(kernel, kernel[:, :2], 0) is None


@pytest.mark.parametrize(
    ("kind", "groups", "axis"), [("conv", 2, 0), ("conv_transpose", 1, 1), ("conv_transpose", 2, None)]
)
def test_outputs_lie_along_one_axis(kind, groups, axis):
    assert output_axis(Operation(kind, SETTINGS[kind] | {"groups": groups}, ()), np.zeros((4, 2, 3, 3))) == axis


def test_a_weight_is_read_once_and_forgotten_with_it():
    reads = []
    one, other = (weight("w", np.arange(9.0) * k, reads) for k in (1, 2))
    assert one == other  # all that their records say
    assert fingerprint_of(one) == fingerprint_of(one) != fingerprint_of(other)
    assert reads == ["w", "w"]
    known = Remembered()
    assert known.of(one, lambda: 1) == known.of(one, lambda: 2) == 1
    del one, other
    gc.collect()
    assert not known._answers


def test_ways_back_through_residuals_are_gone_once(monkeypatch):
    """What the inputs decide is not known, and 2^40 ways lead back to them."""
    nodes = []
    for number in range(40):
        made = (("relu", f"r{number}", (f"x{number}",)), ("add", f"x{number + 1}", (f"x{number}", f"r{number}")))
        nodes += [
            Node(len(nodes) + at, out, kind.title(), kind, ins, (out,)) for at, (kind, out, ins) in enumerate(made)
        ]
    values = {name: Value(name, name, (1,)) for node in nodes for name in (*node.inputs, *node.outputs)}
    model = Graph("onnx", tuple(nodes), values, {}, ("x0",), ("x40",))
    calls, plain = [], known.call_of
    monkeypatch.setattr(known, "call_of", lambda *given: (calls.append(given), plain(*given))[1])
    assert known.Known(model, shape_of(model)).array("x40") is None
    assert len(calls) < 64 * len(nodes)
    seen = known.Known(model, shape_of(model), {"x10": np.ones(1, np.float32)})
    assert [seen.array(name).item() for name in ("x12", "x40", "r39")] == [4.0, 2.0**30, 2.0**29]


def test_a_fingerprint_sees_no_order():
    array = RNG.normal(size=(4, 6))
    assert fingerprint(array).distance(fingerprint(array.T[::-1])) < 1e-12
    assert fingerprint(np.array([np.nan])) is None and fingerprint(np.array(["a"])) is None


def test_bytes_that_two_models_share_are_read_once():
    reads, array = [], RNG.normal(size=64).astype(np.float16)
    ours, theirs, other = (
        replace(weight(name, array, reads), place=lambda offset=offset: ("weights.bin", offset))
        for name, offset in (("ours", 0), ("theirs", 0), ("other", 128))
    )
    assert fingerprint_of(ours) is fingerprint_of(theirs) and reads == ["ours"]
    assert fingerprint_of(other) == fingerprint_of(ours) and reads == ["ours", "other"]


def test_half_precision_is_told_from_what_it_stands_for_by_rounding_alone():
    array = RNG.normal(size=5000).astype(np.float16)
    assert fingerprint(array).distance(fingerprint(array.astype(np.float64))) < 1e-6
    array[4000] = np.inf
    assert fingerprint(array) is None
