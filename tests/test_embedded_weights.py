"""Large weights stay in the model's file until they are asked for; what is read is the same."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from aligner.errors import ModelFormatError, UntrustedFileError

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402 - only where onnx is there

from aligner.adapters.base import OpenOptions  # noqa: E402
from aligner.adapters.onnx_adapter import embedded  # noqa: E402
from aligner.adapters.onnx_adapter.adapter import OnnxAdapter  # noqa: E402
from aligner.adapters.onnx_adapter.file import read_onnx  # noqa: E402


@pytest.fixture(autouse=True)
def every_weight_is_large(monkeypatch):
    monkeypatch.setattr(embedded, "LARGE", 1)
    monkeypatch.setattr(embedded, "_WORTHWHILE", 1)


def model(**weights):
    """y = x @ a + b, beside which other weights may lie."""
    drawn = np.random.default_rng(0).standard_normal((2, 40, 40)).astype(np.float32)
    stored = {"a": drawn[0], "b": drawn[1]} | weights
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "a"], ["m"]), helper.make_node("Add", ["m", "b"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [40, 40])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [40, 40])],
        [numpy_helper.from_array(array, name) for name, array in stored.items()],
        doc_string="words " * 40,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="p")


def saved(tmp_path, proto, name="model.onnx"):
    path = tmp_path / name
    path.write_bytes(proto.SerializeToString())
    return path


def test_what_is_read_is_the_same(tmp_path):
    half, odd = np.arange(30, dtype=np.float16).reshape(5, 6), np.arange(7, dtype=np.int8)
    path = saved(tmp_path, model(half=half, odd=odd), "c:odd\\..\\name.onnx")
    (thin, _), whole = embedded.read_without_weights(path), onnx.load(path)
    assert [tensor.data_location for tensor in thin.graph.initializer] == [TensorProto.EXTERNAL] * 4
    assert thin.ByteSize() < whole.ByteSize() / 4
    file = read_onnx(path)
    for tensor, expected in zip(thin.graph.initializer, whole.graph.initializer, strict=True):
        assert (tensor.name, tensor.dims) == (expected.name, expected.dims)
        assert np.array_equal(file.array(tensor), numpy_helper.to_array(expected))
        stored = file.stored(tensor)
        assert np.array_equal(stored, numpy_helper.to_array(expected)) and stored.flags.aligned
        del tensor.external_data[:]
        tensor.ClearField("data_location")
        tensor.raw_data = expected.raw_data
    assert thin == whole


def test_it_runs_as_the_model_does(tmp_path):
    x = np.random.default_rng(1).standard_normal((40, 40)).astype(np.float32)
    path = saved(tmp_path, model())
    session, live = (OnnxAdapter().open(target, OpenOptions()) for target in (path, onnx.load(path)))
    for one, other in zip(session.run({"x": x}), live.run({"x": x}), strict=True):
        assert one.value == other.value and np.array_equal(one.array, other.array)
    assert np.array_equal(session.predict({"x": x})[0].array, live.predict({"x": x})[0].array)
    assert session.graph({"x": x}) == live.graph({"x": x})


def test_numbers_that_are_not_in_one_piece_are_left_to_the_parser(tmp_path):
    proto = model()
    a = proto.graph.initializer[0]
    a.float_data.extend(numpy_helper.to_array(a).ravel())
    a.ClearField("raw_data")
    thin, _ = embedded.read_without_weights(saved(tmp_path, proto))
    assert not thin.graph.initializer[0].data_location and len(thin.graph.initializer[0].float_data) == 1600


def test_a_place_that_the_file_names_itself_is_checked(tmp_path):
    proto = model()
    a = proto.graph.initializer[0]
    a.data_location = TensorProto.EXTERNAL
    a.external_data.add(key="location", value="../elsewhere.bin")
    with pytest.raises(UntrustedFileError):
        read_onnx(saved(tmp_path, proto))


@pytest.mark.parametrize("place", [{}, {"offset": "x", "length": "1"}, {"offset": "0", "length": str(1 << 60)}])
def test_a_file_that_says_so_itself_is_not_believed(tmp_path, place):
    proto = model()
    a = proto.graph.initializer[0]
    a.ClearField("raw_data")
    a.data_location = TensorProto.EXTERNAL
    for key, value in ({"location": embedded.HERE} | place).items():
        a.external_data.add(key=key, value=value)
    with pytest.raises(ModelFormatError):
        file = read_onnx(saved(tmp_path, proto))
        file.array(file.tensors["a"])


def test_a_weight_that_does_not_fill_its_shape_is_told(tmp_path):
    proto = model()
    proto.graph.initializer[0].dims[0] = 41
    file = read_onnx(saved(tmp_path, proto))
    with pytest.raises(ModelFormatError, match="'a'"):
        file.stored(file.tensors["a"])
    with pytest.raises(ModelFormatError, match="'a'"):
        file.array(file.tensors["a"])


@pytest.mark.parametrize("cut", [1, 100, 7000])
def test_a_damaged_file_is_told(tmp_path, cut):
    whole = model().SerializeToString()
    path = tmp_path / "cut.onnx"
    path.write_bytes(whole[:-cut])
    with pytest.raises(ModelFormatError):
        read_onnx(path)
    path.write_bytes(whole[:50] + b"\xff" * 50 + whole[100:])
    with pytest.raises(ModelFormatError):
        read_onnx(path)


def test_the_file_may_go_but_not_change(tmp_path, monkeypatch):
    path = saved(tmp_path, model())
    expected = numpy_helper.to_array(onnx.load(path).graph.initializer[0])
    monkeypatch.chdir(tmp_path)
    file = read_onnx(type(path)(path.name))
    monkeypatch.chdir(tmp_path.parent)
    path.rename(tmp_path / "moved.onnx")
    assert np.array_equal(file.array(file.tensors["a"]), expected)
    (tmp_path / "moved.onnx").write_bytes(b"x" * 20000)
    with pytest.raises(ModelFormatError, match="written to"):
        file.array(file.tensors["a"])


def test_a_file_of_many_small_fields_is_left_to_the_parser(tmp_path, monkeypatch):
    monkeypatch.setattr(embedded, "_MOST_PARTS", 100)
    path = tmp_path / "many.onnx"
    path.write_bytes(model().SerializeToString() + b"\xf8\x06\x01" * 200)
    assert embedded.read_without_weights(path) is None
    assert len(read_onnx(path).skeleton.graph.node) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="names are text there")
def test_any_name_will_do(tmp_path):
    path = tmp_path / os.fsdecode(b"mod\xff.onnx")
    path.write_bytes(model().SerializeToString())
    file = read_onnx(path)
    assert file.array(file.tensors["a"]).shape == (40, 40)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="tells resident pages of files by /proc")
def test_pages_of_weights_are_given_back_while_a_runtime_packs_them(tmp_path):
    from aligner.adapters.onnx_adapter.mapped_pages import given_back

    def resident():
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("RssFile"))

    size = 300 << 20
    with (tmp_path / "weights").open("wb") as file:
        file.truncate(size)
    weights = [np.memmap(tmp_path / "weights", np.float32, "r", half, (size // 8,)) for half in (0, size // 2)]
    before = resident()
    with given_back([weights[0].reshape(-1, 1024), weights[1], np.zeros(3)]):
        assert [float(one.sum()) for one in weights] == [0, 0]
    assert resident() - before < size // 4
    assert float(weights[1][-1]) == 0
