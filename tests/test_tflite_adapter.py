from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from marks import requires_tflite
from tflite_models import (
    ModelBuilder,
    custom_network,
    namesakes,
    quantised_network,
    residual_network,
)

import aligner
from aligner.adapters.base import OpenOptions
from aligner.adapters.tflite_adapter.adapter import TFLiteAdapter
from aligner.errors import (
    InputError,
    ModelExecutionError,
    ModelFormatError,
    ModelNotFoundError,
    UnsupportedModelError,
)
from aligner.testing import AdapterConformance

pytestmark = requires_tflite
DATA = Path(__file__).parent / "data"


def opened(content, **options):
    return TFLiteAdapter().open(content, OpenOptions(**options))


def picture(*shape):
    return np.linspace(-2, 3, int(np.prod(shape)), dtype=np.float32).reshape(shape) ** 2 - 1


def by_id(tensors):
    return {tensor.value: tensor for tensor in tensors}


class TestResidual(AdapterConformance):
    adapter = TFLiteAdapter()
    options = OpenOptions()
    content: ClassVar = {"weight_type": "float32"}

    def make_session(self):
        return self.adapter.open(residual_network(**self.content), self.options)

    def make_feeds(self):
        return {"x": picture(1, 6, 5, 2)}

    def wrong_file(self, tmp_path):
        path = tmp_path / "cut.tflite"
        path.write_bytes(residual_network()[:777])
        return path


class TestHalfWeights(TestResidual):
    content: ClassVar = {"weight_type": "float16"}


class TestOneOperatorAtATime(TestHalfWeights):
    options = OpenOptions(memory_limit=1)


class TestLargerBatch(TestResidual):
    content: ClassVar = {"open_batch": True}

    def make_feeds(self):
        return {"x": picture(3, 6, 5, 2)}


class TestControlFlow(AdapterConformance):
    adapter = TFLiteAdapter()

    def make_session(self):
        return self.adapter.open(DATA / "nested_while.bin", OpenOptions())

    def make_feeds(self):
        return {"arg0": np.float32(0.637).reshape(())}

    def wrong_file(self, tmp_path):
        path = tmp_path / "text.tflite"
        path.write_text("not a model at all, whatever its name says")
        return path


def test_claims_by_suffix_and_magic(tmp_path):
    adapter = TFLiteAdapter()
    (tmp_path / "model.bin").write_bytes(residual_network())
    (tmp_path / "other.bin").write_bytes(b"something else")
    assert adapter.claims(tmp_path / "model.bin")
    assert adapter.claims("not_there.TFLITE")
    assert adapter.claims(residual_network())
    assert not adapter.claims(tmp_path / "other.bin")
    assert not adapter.claims(tmp_path)
    assert not adapter.claims(b"")
    assert not adapter.claims(object())


def test_attributes_are_explicit():
    graph = opened(residual_network()).graph(None)
    conv, relu, point, _, mean = graph.nodes
    assert conv.attributes["strides"] == (2, 2)
    assert conv.attributes["kernel"] == (3, 3)
    assert conv.attributes["groups"] == 1
    assert conv.attributes["pads"] == ((0, 1), (1, 1))  # 6 rows need one more, 5 columns need two
    assert "fused_activation" not in conv.attributes
    assert point.attributes["fused_activation"] == "relu6"
    assert mean.attributes["axes"] == (1, 2)
    assert mean.attributes["keepdims"] is False
    assert [node.kind for node in graph.nodes] == ["conv", "relu", "conv", "add", "reduce"]
    assert relu.inputs == ("conv",)
    assert conv.weights == ("kernel", "bias")
    assert graph.channels == "last"


def test_shapes_follow_the_feeds():
    session = opened(residual_network(open_batch=True))
    assert session.signature.inputs[0].shape == (None, 6, 5, 2)
    assert session.graph(None).values["sum"].shape == (None, 3, 3, 4)
    assert session.graph({"x": picture(3, 6, 5, 2)}).values["sum"].shape == (3, 3, 3, 4)


def test_weights_keep_name_index_and_content():
    graph = opened(residual_network(weight_type="float16")).graph(None)
    weight = graph.weights["kernel_half"]
    assert weight.dtype == "float16"
    assert weight.index == 1
    assert weight.load().shape == (4, 3, 3, 2)
    assert graph.values["kernel"].index == 2
    assert "kernel_half" not in graph.values


@pytest.mark.parametrize("weight_type", ["float32", "float16"])
@pytest.mark.parametrize("limit", [None, 1])
def test_injecting_what_was_computed_changes_nothing(weight_type, limit):
    session = opened(residual_network(weight_type=weight_type), memory_limit=limit)
    feeds = {"x": picture(1, 6, 5, 2)}
    own = {tensor.value: tensor.array for tensor in session.run(feeds)}
    injected = {tensor.value: tensor.array for tensor in session.run(feeds, None, own)}
    assert own.keys() == injected.keys()
    for name, array in own.items():
        np.testing.assert_array_equal(array, injected[name], err_msg=name)


@pytest.mark.parametrize("limit", [None, 1])
def test_an_injected_weight_is_seen(limit):
    session = opened(residual_network(weight_type="float16"), memory_limit=limit)
    feeds = {"x": picture(1, 6, 5, 2)}
    plain = by_id(session.run(feeds))
    doubled = by_id(session.run(feeds, None, {"kernel": plain["kernel"].array * 2, "bias": plain["bias"].array * 2}))
    np.testing.assert_array_equal(doubled["kernel"].array, plain["kernel"].array)
    np.testing.assert_allclose(doubled["conv"].array, 2 * plain["conv"].array, rtol=1e-5, atol=1e-5)


def test_injected_arrays_are_read_late_and_once():
    session = opened(residual_network(), memory_limit=1)
    feeds = {"x": picture(1, 6, 5, 2)}
    own = {tensor.value: tensor.array for tensor in session.run(feeds)}
    events = []

    class Noted(dict):
        def __getitem__(self, name):
            events.append(("read", name))
            return super().__getitem__(name)

    for tensor in session.run(feeds, None, Noted(own)):
        events.append(("seen", tensor.value))
    reads = [name for what, name in events if what == "read"]
    assert sorted(reads) == ["conv", "point_out", "relu", "sum", "x"]  # the mean has no consumer
    assert events.index(("read", "sum")) > events.index(("seen", "relu"))


def test_quantised_tensors_arrive_as_stored():
    session = opened(quantised_network())
    spec = session.signature.inputs[0]
    assert (spec.dtype, spec.quantization.scale, spec.quantization.zero_point) == ("int8", (0.5,), (-3,))
    feeds = {"x": (picture(1, 4, 4, 3) * 9).astype(np.int8)}
    seen = by_id(session.run(feeds))
    stored, real = seen["y"], seen["z"].array
    assert stored.array.dtype == np.int8
    assert stored.dtype == "int8"
    np.testing.assert_allclose(real, (stored.array.astype(np.float32) - 4) * 8.0)
    graph = session.graph(None)
    assert graph.weights["kernel"].quantization.axis == 3
    assert graph.nodes[0].attributes["groups"] == 3
    other = by_id(session.run(feeds, None, {"y": np.full((1, 4, 4, 3), 5, np.int8)}))
    np.testing.assert_allclose(other["z"].array, 8.0)


def test_ids_are_unique_and_names_are_kept():
    graph = opened(namesakes()).graph(None)
    assert [(value.id, value.name, value.index) for value in graph.values.values()] == [
        ("same#0", "same", 0),
        ("same#1#1", "same", 1),
        ("#2", "", 2),
        ("same#1", "same#1", 3),
    ]
    assert graph.inputs == ("same#0",)


def test_variables_start_anew_in_each_run():
    session = opened(DATA / "call_once_mul.bin")
    feeds = {"serving_default_x:0": np.float32(3).reshape(())}
    first, second = (by_id(session.run(feeds)) for _ in range(2))
    assert first.keys() == second.keys()
    np.testing.assert_array_equal(first[session.graph(None).outputs[0]].array, session.predict(feeds)[0].array)
    read = next(node for node in session.graph(None).nodes if node.op == "READ_VARIABLE")
    assert read.attributes["variable"] == "Variable"
    assert read.inputs == ("",)
    assert any("2 subgraphs" in note for note in session.notes)
    assert any("state" in note for note in session.notes)


def test_signature_names_are_aliases():
    session = opened(DATA / "call_once_mul.bin")
    by_alias = session.predict({"x": np.float32(3).reshape(())})
    by_name = session.predict({"serving_default_x:0": np.float32(3).reshape(())})
    np.testing.assert_array_equal(by_alias[0].array, by_name[0].array)
    assert session.graph(None).values["serving_default_x:0"].aliases == ("x",)


@pytest.mark.parametrize(
    ("feeds", "words"),
    [
        ({}, "needs an input"),
        ({"x": picture(1, 6, 5, 2), "y": picture(1)}, "no input 'y'"),
        ({"x": picture(6, 5, 2)}, "another shape"),
        ({"x": picture(1, 7, 5, 2)}, "another shape"),
        ({"x": picture(1, 6, 5, 2).astype(np.float64)}, "another dtype"),
    ],
)
def test_wrong_feeds_are_named(feeds, words):
    with pytest.raises(InputError, match=words) as caught:
        opened(residual_network(open_batch=True)).predict(feeds)
    assert caught.value.hint


@pytest.mark.parametrize("verb", ["observe", "inject"])
def test_unknown_values_are_named(verb):
    session = opened(residual_network())
    arguments = {"observe": ["nowhere"]} if verb == "observe" else {"inject": {"nowhere": picture(1)}}
    with pytest.raises(InputError, match=f"no value to {verb}"):
        list(session.run({"x": picture(1, 6, 5, 2)}, **arguments))


def test_an_injected_array_must_fit():
    session = opened(residual_network())
    for array in (picture(1, 4, 3, 3), picture(1, 3, 3, 4).astype(np.float16)):
        with pytest.raises(InputError, match="another shape or dtype"):
            list(session.run({"x": picture(1, 6, 5, 2)}, None, {"relu": array}))


def test_a_size_that_cannot_be_is_our_error():
    """The interpreter may resize what the file fixes; where it fails, the input is to blame."""
    session = opened(residual_network())
    assert session.predict({"x": picture(2, 12, 10, 2)})[0].array.shape == (2, 6, 5, 4)
    builder = ModelBuilder()
    x = builder.input("x", (1, 4))
    shape = builder.constant("shape", np.array([2, 2], np.int32))
    builder.op("RESHAPE", [x, shape], [builder.tensor("y", (2, 2))])
    session = opened(builder.build(2))
    for verb in (session.predict, session.run):
        with pytest.raises(InputError, match="another shape") as caught:
            list(verb({"x": picture(1, 5)}))
        assert "[1, 5] given" in caught.value.found and "operator 0 RESHAPE (y)" in caught.value.found
        assert "x [1, 4] float32" in caught.value.hint


def test_an_operator_that_fails_is_named():
    builder = ModelBuilder()
    x = builder.input("x", (1, 4))
    axes = builder.constant("axes", np.array([7], np.int32))
    builder.op("SUM", [x, axes], [builder.tensor("y", (4,))], builder.schema.ReducerOptionsT())
    with pytest.raises(ModelExecutionError, match=r"operator 0 SUM \(y\)"):
        opened(builder.build(2)).predict({"x": picture(1, 4)})


def test_unknown_custom_operators_are_named():
    session = opened(custom_network("NoSuchOperator"))
    assert session.graph(None).nodes[0].kind == "opaque"
    with pytest.raises(UnsupportedModelError, match="NoSuchOperator"):
        session.predict({"x": picture(1, 4)})


def test_select_tf_without_tensorflow_says_the_way_out(monkeypatch):
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "tensorflow" else real(name, *a))
    session = opened(custom_network("FlexSinh"))
    assert session.graph(None).nodes[0].op == "FlexSinh"
    assert "no interpreter" in session.runtime
    with pytest.raises(UnsupportedModelError, match="FlexSinh") as caught:
        session.predict({"x": picture(1, 4)})
    assert "aligner[tensorflow]" in caught.value.hint


def test_files_that_are_none(tmp_path):
    with pytest.raises(ModelNotFoundError):
        opened(tmp_path / "absent.tflite")
    for content in (b"", b"\0" * 40, b"\x1c\0\0\0TFL3"):
        path = tmp_path / "wrong.tflite"
        path.write_bytes(content)
        with pytest.raises(ModelFormatError):
            opened(path)
    with pytest.raises(ModelFormatError):
        opened(tmp_path)


def test_damage_is_found_before_the_interpreter_sees_it():
    content = residual_network()
    rng = np.random.default_rng(5)
    for length in range(20, len(content) - 64, 97):
        with pytest.raises(ModelFormatError):
            opened(content[:length]).graph(None)
    for _ in range(300):
        damaged = bytearray(content)
        damaged[rng.integers(8, len(content))] = rng.integers(256)
        try:
            graph = opened(bytes(damaged)).graph(None)
            for weight in graph.weights.values():
                weight.load()
        except (ModelFormatError, UnsupportedModelError):
            pass


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda graph: graph.operators[0].inputs.append(99), "refer to tensor 99"),
        (lambda graph: setattr(graph.tensors[1], "buffer", 77), "buffer 77"),
        (lambda graph: setattr(graph.operators[0], "opcodeIndex", 9), "operator code 9"),
        (lambda graph: graph.inputs.append(-1), "no tensor"),
    ],
)
def test_indices_out_of_range_are_found(change, words):
    builder = ModelBuilder()
    x = builder.input("x", (2, 2))
    y = builder.op("ABS", [x], [builder.tensor("y", (2, 2))], builder.schema.AbsOptionsT())
    change(builder.graph)
    with pytest.raises(ModelFormatError, match=words):
        opened(builder.build(y))


def test_strings_and_empty_tensors_pass():
    builder = ModelBuilder()
    x = builder.input("x", (0, 3))
    y = builder.op("ABS", [x], [builder.tensor("y", (0, 3))], builder.schema.AbsOptionsT())
    session = opened(builder.build(y))
    assert session.predict({"x": np.zeros((0, 3), np.float32)})[0].array.shape == (0, 3)
    assert [tensor.array.shape for tensor in session.run({"x": np.zeros((0, 3), np.float32)})] == [(0, 3), (0, 3)]

    builder = ModelBuilder()
    words = builder.input("words", (2,), "string")
    shape = builder.constant("shape", np.array([2, 1], np.int32))
    out = builder.op("RESHAPE", [words, shape], [builder.tensor("out", (2, 1), "string")])
    tensor = opened(builder.build(out)).predict({"words": np.array(["né", "b"], dtype=object)})[0]
    assert tensor.dtype == "string"
    assert tensor.array.tolist() == [["né"], ["b"]]


def sparse_matrix(builder, dense, blocks=()):
    """A float32 matrix with compressed columns of ``dense``; ``blocks``: (rows, columns) of dense 2-D blocks."""
    schema = builder.schema
    rows, columns = blocks or (1, 1)
    outer = dense.reshape(dense.shape[0] // rows, rows, dense.shape[1] // columns, columns).transpose(0, 2, 1, 3)
    kept = np.argwhere(np.abs(outer).max((2, 3)) > 0)
    segments = [0, *np.cumsum(np.bincount(kept[:, 0], minlength=outer.shape[0]))]
    values = outer[tuple(kept.T)].reshape(-1)
    index = builder.tensor("w", dense.shape, content=values.astype(np.float32))
    dimensions = [
        schema.DimensionMetadataT(format=0, denseSize=outer.shape[0]),
        schema.DimensionMetadataT(
            format=1,
            arraySegmentsType=schema.SparseIndexVector.Uint8Vector,
            arraySegments=schema.Uint8VectorT(values=[int(one) for one in segments]),
            arrayIndicesType=schema.SparseIndexVector.Int32Vector,
            arrayIndices=schema.Int32VectorT(values=[int(one) for one in kept[:, 1]]),
        ),
    ]
    dimensions += [schema.DimensionMetadataT(format=0, denseSize=size) for size in blocks]
    builder.graph.tensors[index].sparsity = schema.SparsityParametersT(
        traversalOrder=list(range(2 + len(blocks))), blockMap=[0, 1][: len(blocks)], dimMetadata=dimensions
    )
    return index


@pytest.mark.parametrize("blocks", [(), (4, 2)])
def test_sparse_constants_are_read_as_the_runtime_reads_them(blocks):
    dense = np.where(np.arange(64).reshape(8, 8) % 5 < 2, np.arange(64).reshape(8, 8) + 1.0, 0).astype(np.float32)
    dense[:4, 2:6] = 0
    builder = ModelBuilder()
    x = builder.input("x", (8, 8))
    weight = sparse_matrix(builder, dense, blocks)
    wide = builder.op("DENSIFY", [weight], [builder.tensor("wide", (8, 8))])
    y = builder.op("ADD", [x, wide], [builder.tensor("y", (8, 8))], builder.schema.AddOptionsT())
    session = opened(builder.build(y))
    stored = session.graph(None).weights
    assert [np.array_equal(one.load(), dense) for one in stored.values()] == [True]
    (found,) = session.predict({"x": np.zeros((8, 8), np.float32)})
    np.testing.assert_array_equal(found.array, dense)


def test_a_sparse_constant_that_claims_too_much_is_refused():
    builder = ModelBuilder()
    x = builder.input("x", (8, 8))
    weight = sparse_matrix(builder, np.eye(8, dtype=np.float32))
    sparsity = builder.graph.tensors[weight].sparsity
    sparsity.dimMetadata[1].arrayIndices.values[3] = 900
    wide = builder.op("DENSIFY", [weight], [builder.tensor("wide", (8, 8))])
    y = builder.op("ADD", [x, wide], [builder.tensor("y", (8, 8))], builder.schema.AddOptionsT())
    with pytest.raises(ModelFormatError, match="does not hold together"):
        next(iter(opened(builder.build(y)).graph(None).weights.values())).load()


def test_either_of_the_two_64_bit_integers_of_c_can_be_fed():
    builder = ModelBuilder()
    x = builder.input("x", (3,), "int64")
    y = builder.op("ADD", [x, x], [builder.tensor("y", (3,), "int64")], builder.schema.AddOptionsT())
    session = opened(builder.build(y))
    for kind in ("l", "q"):
        (found,) = session.predict({"x": np.arange(3, dtype=kind)})
        np.testing.assert_array_equal(found.array, [0, 2, 4])


def ending_in(activation, folder):
    """A sum with that activation fused into it."""
    builder = ModelBuilder()
    x = builder.input("x", (1, 3, 4))
    twice = builder.schema.AddOptionsT(fusedActivationFunction=activation)
    half = builder.op("LOGISTIC", [x], [builder.tensor("half", (1, 3, 4))])
    sum_ = builder.op("ADD", [x, half], [builder.tensor("sum", (1, 3, 4))], twice)
    out = builder.op("TANH", [sum_], [builder.tensor("out", (1, 3, 4))])
    path = folder / f"{activation}.tflite"
    path.write_bytes(builder.build(out))
    return path


@pytest.mark.parametrize(("before", "after"), [(1, 0), (0, 3)])
def test_another_activation_in_a_fused_sum_is_named(before, after, tmp_path):
    first, *_ = aligner.compare(ending_in(before, tmp_path), ending_in(after, tmp_path), picture(1, 3, 4)).causes
    assert (first.id, first.evidence_class, first.node) == ("activation-variant", "proven", "sum"), first
